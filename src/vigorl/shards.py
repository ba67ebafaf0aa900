"""Work in parts: `shard=3/8` of it in a folder of its own, and `merge=FOLDER` for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from vigorl.core.errors import ConfigError
from vigorl.run_folder import read_settings
from vigorl.run_settings import changed_settings


def parts_of(
    cfg: DictConfig, *, leaves: str, asked_by: Sequence[str], moved: Sequence[str] = ()
) -> list[Path]:
    """The folders of all parts, below the one that `merge` names, in their order.

    Args:
        cfg: Of the whole.
        leaves: A file that a part has once it has ended.
        asked_by: Settings in which the parts and the whole must agree.
        moved: Of these, such as may differ.
    Raises:
        ConfigError: A part is missing, has not ended, is there twice, or was asked otherwise.
    """
    found: dict[int, Path] = {}
    counts: set[int] = set()
    for config in sorted(Path(cfg.merge).glob("*/config.yaml")):
        folder, part = config.parent, read_settings(config)
        if not part.get("shard"):
            continue
        number, of = map(int, part["shard"].split("/"))
        if not (folder / leaves).is_file():
            raise ConfigError(
                f"merge={cfg.merge}: {folder} (shard={part['shard']}) has not ended; "
                f"resume={folder} goes on with it"
            )
        if number in found:
            both = f"{found[number]} and {folder}"
            raise ConfigError(f"merge={cfg.merge}: {both} are the same part")
        if lines := asked_otherwise(part, cfg, asked_by, moved=moved):
            raise ConfigError("\n".join([f"{folder} was asked with other settings:", *lines]))
        found[number] = folder
        counts.add(of)
    missing = sorted(set(range(1, max(counts, default=0) + 1)) - set(found))
    if found and len(counts) == 1 and not missing:
        return [found[number] for number in sorted(found)]
    said = "it holds no part, a folder with shard=... in its config.yaml"
    if len(counts) > 1:
        said = f"its parts are of {' and of '.join(map(str, sorted(counts)))}"
    elif missing:
        said = f"the parts {missing} of {max(counts)} are not there"
    raise ConfigError(f"merge={cfg.merge}: {said}")


def asked_otherwise(
    before: dict[str, Any], cfg: DictConfig, keys: Sequence[str], *, moved: Sequence[str] = ()
) -> list[str]:
    """What has changed of some settings, a line each, without those that may."""
    return [
        f"  {key}: {a} -> {b}"
        for key, (a, b) in changed_settings(before, cfg).items()
        if _is_under(key, keys) and not _is_under(key, moved)
    ]


def _is_under(key: str, parents: Sequence[str]) -> bool:
    return any(f"{key}.".startswith(f"{one}.") for one in parents)
