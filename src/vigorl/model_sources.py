"""What `model.path` may be besides a Hugging Face folder: the name of a model that ships
(tiny_start, tiny_trained), "owner/name" on the hub, also as "hub:owner/name@revision", a checkpoint
of a run, or a folder of LoRA adapters as peft writes it. The last two become such a folder first,
since every engine reads one.
"""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from hydra.utils import instantiate
from peft import PeftModel
from safetensors import SafetensorError
from safetensors.torch import load_file

from vigorl.callbacks.checkpoint import check_whole
from vigorl.core.digests import write_folder_digests
from vigorl.core.errors import ConfigError
from vigorl.core.files import written_whole
from vigorl.models.policy import Policy
from vigorl.models.pretrained import HUB, find_folder
from vigorl.resolvers import shipped
from vigorl.rollout.chat_files import CHAT, add_chat_files
from vigorl.run_folder import read_settings
from vigorl.targets import check_foreign
from vigorl.training.tensor_files import of_this_run, tensors_only

_LOG = logging.getLogger(__name__)
_ADAPTERS = "adapter_config.json"


def as_folder(path: str, *, into: Path, dtype: str, plugins: Sequence[str] = ()) -> str:
    """A model as a Hugging Face folder (or hub name): itself, or what is made of it.

    Args:
        path: A folder, a hub name (with a prefix or revision it is fetched), the name of one that
            ships, a checkpoint of a run, or a folder of adapters.
        into: Where to write; what a start before has made there of the same is taken, and of
            something else made again.
        dtype: In which adapters are merged.
        plugins: As of `export`.
    Raises:
        ConfigError: A checkpoint or adapters that cannot be used; says what to do.
        DataError: The checkpoint is damaged.
    """
    path = shipped(path)
    if path.startswith(HUB) or ("@" in path and not Path(path).exists()):
        return str(find_folder(path))  # engines know neither the prefix nor revisions
    source = Path(path)
    is_checkpoint = source.suffix == ".ckpt" and source.exists()
    if not is_checkpoint and not (source / _ADAPTERS).is_file():
        return path
    note = into.with_suffix(".json")
    made_of = json.dumps({"path": str(source.resolve()), "dtype": dtype})
    if not note.is_file() or note.read_text() != made_of:
        _LOG.warning("%s is made a model folder first: %s", path, into)
        note.unlink(missing_ok=True)
        shutil.rmtree(into, ignore_errors=True)
        if is_checkpoint:
            export(path, str(into), plugins=plugins)
        else:
            merge_adapters(source, into, dtype=dtype)
        with written_whole(note) as part:
            part.write_text(made_of)
    return str(into)


def short_name(path: str) -> str:
    """What tells one model from another: RUN/model by its run."""
    parts = Path(path).parts
    return "/".join(parts[-3:-1]) or parts[-1] if parts[-1] == "model" else parts[-1]


def merge_adapters(adapters: Path, folder: Path, *, dtype: str) -> None:
    """Write the model that a folder of adapters and its base make.

    Raises:
        ConfigError: The adapters cannot be read, or name no base that can be found.
    """
    try:
        base = json.loads((adapters / _ADAPTERS).read_bytes())["base_model_name_or_path"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{adapters / _ADAPTERS} names no base model ({error!r})") from error
    if not isinstance(base, str) or not base:
        raise ConfigError(
            f"{adapters / _ADAPTERS} names no base model: write its folder or hub name there, as "
            '"base_model_name_or_path"'
        )
    policy = Policy.from_pretrained(base, dtype=dtype)
    try:
        with warnings.catch_warnings(action="ignore"):  # of names, which are looked at below
            model = PeftModel.from_pretrained(policy.model, str(adapters))
        written = load_file(adapters / "adapter_model.safetensors")
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise ConfigError(f"{adapters}: its adapters do not go on {base}: {first}") from error
    names = {name.replace(".default.", ".") for name, _ in model.named_parameters()}
    if unknown := sorted(written.keys() - names):
        raise ConfigError(
            f"{adapters}: its adapters do not go on {base}: {len(unknown)} of {len(written)} are "
            f"for layers that it has not, such as {unknown[0]}"
        )
    model.merge_and_unload()
    policy.save_pretrained(folder)


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
        shipped(model["path"]), dtype=model["dtype"], lora=instantiate(model["lora"])
    )
    prefix = "policy.model."
    weights = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    with of_this_run(path):
        policy.model.load_state_dict(weights)
    policy.save_pretrained(folder, dtype=getattr(torch, dtype) if dtype else None)
    if add_chat_files(Path(folder), config.parent / CHAT):
        files = [one for one in Path(folder).iterdir() if one.is_file()]
        write_folder_digests(Path(folder), [one for one in files if one.suffix != ".md"])
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
