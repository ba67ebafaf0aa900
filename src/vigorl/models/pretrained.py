"""Hugging Face folders: where a model comes from, what of it is frozen, and how it is written back.

A saved folder is what `AutoModel` and vLLM load: weights under the names of the released
checkpoints, config, tokenizer and image processor. The last two are copied byte by byte, so saving
cannot change how a prompt is tokenized.
"""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import torch
from huggingface_hub import save_torch_state_dict, snapshot_download
from huggingface_hub.errors import HTTPError  # pyright: ignore[reportPrivateImportUsage]
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.auto.processing_auto import (
    PROCESSOR_MAPPING_NAMES,  # pyright: ignore[reportPrivateImportUsage]
)

from vigorl.core.digests import check_digests, write_folder_digests
from vigorl.core.errors import ConfigError
from vigorl.families.family import Family
from vigorl.families.lookup import family_named, family_of, what_to_name

_COMPANIONS = ("*.json", "*.txt", "*.jinja", "*.model")
_HUB_NAME = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(\w[\w./-]*))?")
HUB = "hub:"  # before a name that is never taken for a folder
_NEVER_COPIED = ("config.json", "model.safetensors.index.json", "pytorch_model.bin.index.json")


def parse_dtype(name: torch.dtype | str) -> torch.dtype:
    """A dtype from its torch name, such as "bfloat16".

    Raises:
        ConfigError: torch has no such dtype.
    """
    dtype = getattr(torch, name, None) if isinstance(name, str) else name
    if not isinstance(dtype, torch.dtype):
        raise ConfigError(f"dtype={name!r} is no torch dtype; try float32 or bfloat16")
    return dtype


def find_folder(folder_or_id: str | Path) -> Path:
    """The local folder of a model; an "owner/name" that is none is fetched from the hub, of a
    revision where it is "owner/name@revision", and so is "hub:owner/name" in any case.

    Raises:
        ConfigError: There is no such folder and no such model, or the folder holds no supported
            model.
    """
    folder = local_folder(folder_or_id) or _download(str(folder_or_id))
    family_of(folder)
    return folder


def local_folder(folder_or_id: str | Path) -> Path | None:
    """The folder that is named; None for an "owner/name" on the hub.

    Raises:
        ConfigError: It is neither, or the folder has no config.json.
    """
    folder = Path(folder_or_id).expanduser()
    if str(folder_or_id).startswith(HUB):
        if hub_name(str(folder_or_id)) is None:
            raise ConfigError(
                f"{folder_or_id} is no name on the hub: write hub:owner/name, or "
                "hub:owner/name@revision"
            )
        return None
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ConfigError(
                f"{folder}: no config.json, so this is not a Hugging Face model folder; "
                f"{what_to_name(str(folder))}"
            )
        return folder
    if hub_name(str(folder_or_id)) is None or folder.parent.is_dir():
        raise ConfigError(f"{folder}: no such folder; {what_to_name(str(folder))}")
    return None


def hub_name(text: str) -> tuple[str, str | None] | None:
    """The name and the revision; None for what is no name.

    >>> hub_name("hub:owner/name@v1"), hub_name("owner/name"), hub_name("a/b/c")
    (('owner/name', 'v1'), ('owner/name', None), None)
    """
    found = _HUB_NAME.fullmatch(text.removeprefix(HUB))
    return (found[1], found[2]) if found else None


def _download(text: str) -> Path:
    name, revision = hub_name(text) or (text, None)
    files = [*_COMPANIONS, "*.safetensors"]
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=files))
    except (OSError, ValueError, HTTPError) as error:
        first = " ".join((str(error) or type(error).__name__).split())[:300]
        raise ConfigError(
            f"{text}: no such folder, and the Hugging Face hub gives no such model; a private one "
            f"needs HF_TOKEN or hf auth login: {first}"
        ) from error


def check_folder(folder: Path) -> None:
    """Whether a model folder is as it was written, where it has digests; once per process.

    Raises:
        DataError: A file is missing or has another content.
    """
    if folder.is_dir():
        stats = [(file.name, file.stat()) for file in sorted(folder.iterdir())]
        _check_once(folder, tuple((name, one.st_mtime_ns, one.st_size) for name, one in stats))


@cache
def _check_once(folder: Path, _state: tuple[tuple[str, int, int], ...]) -> None:
    check_digests(folder)


def cast_weights(module: nn.Module, dtype: torch.dtype) -> None:
    """Cast the parameters in place. Buffers stay as they are: with rotary frequencies in bfloat16
    a far token is somewhere else.
    """
    for weight in module.parameters():
        weight.data = weight.data.to(dtype)


def freeze_parts(
    model: PreTrainedModel,
    family: Family,
    *,
    is_tower_frozen: bool,
    is_merger_frozen: bool,
    is_language_model_frozen: bool = False,
) -> None:
    """Set which parts learn."""
    if is_language_model_frozen:
        model.requires_grad_(False)
    for name, weight in family.tower(model).named_parameters():
        is_frozen = is_merger_frozen if family.is_merger(name) else is_tower_frozen
        weight.requires_grad_(not is_frozen)


def write_folder(
    folder: Path, *, weights: Mapping[str, Tensor], model: PreTrainedModel, source: Path
) -> None:
    """Write a complete model folder.

    Args:
        folder: Made when missing; an older model in it is replaced.
        weights: Under the names of the released checkpoints; see `weight_export.export_weights`.
        model: Whose config is written.
        source: The folder whose tokenizer, image processor and chat template are copied.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if folder.resolve() != source.resolve():
        for pattern in _COMPANIONS:
            for file in sorted(source.glob(pattern)):
                if file.name not in _NEVER_COPIED:
                    shutil.copyfile(file, folder / file.name)
    config = copy.deepcopy(model.config)
    config.architectures = [type(model).__name__]
    config.dtype = next(weight.dtype for weight in weights.values() if weight.is_floating_point())
    config.save_pretrained(folder)
    save_torch_state_dict(dict(weights), folder)
    _add_chat(folder, config.model_type)
    kinds = (*_COMPANIONS, "*.safetensors")
    write_folder_digests(folder, {file for kind in kinds for file in folder.glob(kind)})


def _add_chat(folder: Path, model_type: str) -> None:
    """What transformers' AutoProcessor and chat endpoints ask for, where the source has none."""
    known = folder / "tokenizer_config.json"
    has_template = any(folder.glob("chat_template.*")) or (
        known.is_file() and "chat_template" in json.loads(known.read_text())
    )
    if not has_template:
        chat = family_named(model_type, where=folder).chat
        (folder / "chat_template.jinja").write_text(chat.template())
    processor = folder / "processor_config.json"
    if not processor.exists() and model_type in PROCESSOR_MAPPING_NAMES:
        processor.write_text(json.dumps({"processor_class": PROCESSOR_MAPPING_NAMES[model_type]}))
