"""Export: `python -m vigorl.export checkpoint=RUN/checkpoints/phase-00120.ckpt folder=my_model`.

A training checkpoint becomes an ordinary Hugging Face folder (safetensors, tokenizer, image
processor). A finished run has one already, in RUN/model; this is for the phases before.
"""

from __future__ import annotations

from vigorl.door import door, refuse_early

refuse_early(__name__, "export")  # before the imports below, which take seconds

from collections.abc import Sequence
from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from vigorl.build import prepare_process
from vigorl.callbacks.checkpoint import check_whole
from vigorl.core.errors import ConfigError
from vigorl.families.lookup import import_plugins
from vigorl.models.policy import Policy
from vigorl.run_folder import read_settings
from vigorl.targets import check_foreign
from vigorl.training.tensor_files import of_this_run, tensors_only

prepare_process()


def export(
    checkpoint: str, folder: str, *, dtype: str | None = None, plugins: Sequence[str] = ()
) -> Path:
    """Write the policy of a checkpoint.

    Args:
        checkpoint: A file of this trainer, or the folder that DeepSpeed makes.
        folder: To write.
        dtype: Of the weights; None keeps the training's.
        plugins: Packages whose code the run's folder may name beside vigorl's own.
    Raises:
        ConfigError: No such checkpoint, it does not stand in a run's folder, or one of both would
            run code that is not vigorl's.
        DataError: The checkpoint is damaged.
    """
    path = Path(checkpoint)
    if not path.exists():
        raise ConfigError(f"checkpoint={checkpoint!r} does not exist")
    config = path.resolve().parents[1] / "config.yaml"
    if not config.is_file():
        raise ConfigError(f"{config} is missing: the checkpoint must stand in its run's folder")
    check_whole(path)
    model = read_settings(config)["model"]
    check_foreign(model, where=config, plugins=plugins)
    state = _state(path)
    policy = Policy.from_pretrained(
        model["path"], dtype=model["dtype"], lora=instantiate(model["lora"])
    )
    prefix = "policy.model."
    weights = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    with of_this_run(path):
        policy.model.load_state_dict(weights)
    policy.save_pretrained(folder, dtype=getattr(torch, dtype) if dtype else None)
    return Path(folder)


def _state(path: Path) -> dict[str, torch.Tensor]:
    if path.is_file():
        with tensors_only(path):
            return torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    # DeepSpeed's reader leaves out what stage 1 froze; there, as in 2, one file has all weights
    whole = path / "checkpoint" / "mp_rank_00_model_states.pt"
    state: dict[str, torch.Tensor] = {}
    with tensors_only(path):
        if whole.is_file():
            state |= torch.load(whole, map_location="cpu", weights_only=True)["module"]
        return state | (get_fp32_state_dict_from_zero_checkpoint(str(path), tag="checkpoint") or {})


@door("export")
def main(cfg: DictConfig) -> None:
    import_plugins(cfg.plugins)
    print(f"wrote {export(cfg.checkpoint, cfg.folder, dtype=cfg.dtype, plugins=cfg.plugins)}")


if __name__ == "__main__":
    main()
