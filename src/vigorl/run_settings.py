"""What a run's command lines say, from its first to the one that goes on with it, and which of its
settings have changed since it began.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vigorl.core.errors import ConfigError
from vigorl.mlflow_store import without_passwords
from vigorl.own_objects import as_texts, lost_objects, objects_in
from vigorl.processes import is_first_process
from vigorl.run_folder import identity_files, read_identity, read_settings
from vigorl.targets import check_foreign_overrides

_FREE = ("resume", "dry_run", "paths", "num_threads", "stage")  # it may stand and compute elsewhere
_ABSENT = "(absent)"


def resumed_settings(
    cfg: DictConfig,
    stages_of: Callable[[DictConfig], Sequence[DictConfig]],
    *,
    place: Callable[[DictConfig], DictConfig] = lambda cfg: cfg,
) -> DictConfig:
    """The settings of the run in `resume`: what its command lines said, then what this one says.

    Args:
        cfg: As composed from this command line alone.
        stages_of: The stages that a config leaves to do; the config itself where it has none.
        place: Puts a program's objects into a config.
    Raises:
        ConfigError: `resume` names a folder that is not a run, or its YAMLs have changed since, or
            an object of a program is not handed over again.
    """
    folder, said = Path(cfg.resume), _command_line()
    before = _overrides(folder)
    check_foreign_overrides(
        _may_run(before, said),
        where=identity_files(folder)[0],
        plugins=cfg.plugins,
        groups=GlobalHydra.instance().config_loader().list_groups(""),
    )
    resumed = place(_composed(_merged(before, said), folder))
    had = read_identity(identity_files(folder)[0]).objects
    lost_objects(resumed, had, said=said, folder=folder)
    if is_first_process():
        unchanged = stages_of(place(_composed(before, folder)))
        before_by_folder = {str(old.paths.run): old for old in unchanged}
        for new in stages_of(resumed):  # perhaps fewer, or more: the command line may say so
            if old := before_by_folder.get(str(new.paths.run)):
                named = [*(_key(one).lstrip("+~") for one in said), *objects_in(new)]
                _refuse_drift(Path(new.paths.run) / "config.yaml", old, new, named)
    return resumed


def _composed(overrides: Sequence[str], folder: Path) -> DictConfig:
    """With `resume`, which is put in as it is: a folder's name may hold "=", "," and brackets."""
    try:
        cfg = compose(HydraConfig.get().job.config_name, list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        where, first = identity_files(folder)[0], str(error).partition("\n")[0]
        raise ConfigError(f"{where}: it does not fit the YAMLs of today: {first}") from error
    OmegaConf.update(cfg, "resume", str(folder))
    return cfg


def changed_settings(
    old: DictConfig | dict[str, Any], new: DictConfig
) -> dict[str, tuple[Any, Any]]:
    """{key: (old value, new value)} of what may change a run's numbers, and what is not named after
    the clock; a setting that is newer than the old ones, and left off, changes none.
    """
    new = copy.deepcopy(new)
    OmegaConf.set_struct(new, False)
    new.paths = old["paths"]  # many values hold a folder's name
    raw = flatten(OmegaConf.to_container(new, resolve=False))
    clock = [key for key, value in raw.items() if "${now:" in str(value)]
    clock += [k for k, v in raw.items() if any(f"${{{key}}}" in str(v) for key in clock)]
    if isinstance(old, DictConfig):  # what a file holds is final, whatever it looks like
        old = cast(dict[str, Any], OmegaConf.to_container(old, resolve=True))
    before, after = (
        {key: without_passwords(value) for key, value in flatten(one).items()}
        for one in (old, OmegaConf.to_container(new, resolve=True))
    )
    pairs = {k: (before.get(k, _ABSENT), after.get(k, _ABSENT)) for k in sorted(before | after)}
    return {
        key: (a, b)
        for key, (a, b) in pairs.items()
        if a != b
        and key not in clock
        and key.partition(".")[0] not in _FREE
        and not (a == _ABSENT and (b is None or b is False))
    }


def _refuse_drift(path: Path, old: DictConfig, new: DictConfig, named: Sequence[str]) -> None:
    """Differences to what the run used are taken only from keys that this command line names."""
    if not path.exists():
        return
    taken = changed_settings(old, new)
    drifted = [
        f"  {key}: {a} -> {b}"
        for key, (a, b) in changed_settings(read_settings(path), new).items()
        if key not in taken and not any(f"{key}.".startswith(f"{one}.") for one in named)
    ]
    if drifted:
        lines = [
            f"{path} holds other settings than the run's command line gives today:",
            *drifted,
            "undo that change, or say on this command line which values shall be taken",
        ]
        raise ConfigError("\n".join(lines))


def _command_line() -> list[str]:
    """Its overrides, as they were said; none outside a door."""
    if not HydraConfig.initialized():
        return []
    said = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    return [str(override) for override in cast(list[Any], said)]


def _may_run(before: Sequence[str], said: Sequence[str]) -> list[str]:
    """What of a run.json takes effect: not what this command line says otherwise, except for the
    prompt and its tools, which interpolations make of both.
    """
    merged = _merged(before, said)
    return [
        one
        for one in before
        if one not in said and (one in merged or _key(one).lstrip("+~").startswith("env"))
    ]


def said_of(cfg: DictConfig) -> list[str]:
    """What all command lines of the run said, this one last; none outside a door."""
    now = _command_line()
    is_resumed = any(_key(override) == "resume" for override in now)
    all_said = _merged(_overrides(Path(cfg.paths.base)), now) if is_resumed else now
    # a URL with a password is asked for again
    return [one for one in all_said if without_passwords(one) == one]


def _merged(before: Sequence[str], now: Sequence[str]) -> list[str]:
    last = {_key(override): override for override in (*before, *now)}
    return [override for key, override in last.items() if key != "resume"]


def _key(override: str) -> str:
    return override.partition("=")[0]


def _overrides(folder: Path) -> list[str]:
    return read_identity(identity_files(folder)[0]).overrides


def flatten(node: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings as {"a.b": value}."""
    if not isinstance(node, dict):
        return {prefix: as_texts(node)}
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat
