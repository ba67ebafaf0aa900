"""Export: `python -m vigorl.export checkpoint=RUN/checkpoints/phase-00120.ckpt folder=my_model`.

A training checkpoint becomes an ordinary Hugging Face folder (safetensors, tokenizer, image
processor). A finished run has one already, in RUN/model; this is for the phases before.
"""

from __future__ import annotations

from vigorl.door import door, refuse_early

refuse_early(__name__, "export")  # before the imports below, which take seconds

from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from vigorl.build import prepare_process
from vigorl.core.errors import ConfigError
from vigorl.families.lookup import import_plugins
from vigorl.models.policy import Policy

prepare_process()


def export(checkpoint: str, folder: str, *, dtype: str | None = None) -> Path:
    """Write the policy of a checkpoint.

    Args:
        checkpoint: A file of this trainer, or the folder that DeepSpeed makes.
        folder: To write.
        dtype: Of the weights; None keeps the training's.
    Raises:
        ConfigError: No such checkpoint, or it does not stand in a run's folder.
    """
    path = Path(checkpoint)
    if not path.exists():
        raise ConfigError(f"checkpoint={checkpoint!r} does not exist")
    config = path.resolve().parents[1] / "config.yaml"
    if not config.is_file():
        raise ConfigError(f"{config} is missing: the checkpoint must stand in its run's folder")
    model = OmegaConf.load(config).model
    policy = Policy.from_pretrained(model.path, dtype=model.dtype, lora=instantiate(model.lora))
    prefix = "policy.model."
    weights = {k.removeprefix(prefix): v for k, v in _state(path).items() if k.startswith(prefix)}
    policy.model.load_state_dict(weights)
    policy.save_pretrained(folder, dtype=getattr(torch, dtype) if dtype else None)
    return Path(folder)


def _state(path: Path) -> dict[str, torch.Tensor]:
    if path.is_file():
        return torch.load(path, map_location="cpu", weights_only=False)["state_dict"]
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    # DeepSpeed's reader leaves out what stage 1 froze; there, as in 2, one file has all weights
    whole = path / "checkpoint" / "mp_rank_00_model_states.pt"
    state: dict[str, torch.Tensor] = {}
    if whole.is_file():
        state |= torch.load(whole, map_location="cpu", weights_only=False)["module"]
    return state | (get_fp32_state_dict_from_zero_checkpoint(str(path), tag="checkpoint") or {})


@door("export")
def main(cfg: DictConfig) -> None:
    import_plugins(cfg.plugins)
    print(f"wrote {export(cfg.checkpoint, cfg.folder, dtype=cfg.dtype)}")


if __name__ == "__main__":
    main()
