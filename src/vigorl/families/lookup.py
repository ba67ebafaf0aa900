"""Which family a model is of: the `model_type` in its config.json decides."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from transformers import PreTrainedConfig

import vigorl.families as room
from vigorl.core.errors import ConfigError
from vigorl.families.family import Family


@cache
def known_families() -> dict[str, Family]:
    """By model type: the `FAMILIES` of every file in this room that has any, and of plugins."""
    return _by_type(family for module in _modules() for family in vars(module).get("FAMILIES", ()))


@cache
def refused() -> dict[str, str]:
    """What is not supported, and why: the `REFUSED` of every file, by model type, or by model type
    and engine, as "glm46v engine=vllm".
    """
    return {
        model_type: why
        for module in _modules()
        for model_type, why in vars(module).get("REFUSED", {}).items()
    }


@cache
def _modules() -> list[ModuleType]:
    return [import_module(f"{room.__name__}.{found.name}") for found in iter_modules(room.__path__)]


def _by_type(families: Iterable[Family]) -> dict[str, Family]:
    return {model_type: family for family in families for model_type in family.model_types}


def import_plugins(modules: Iterable[str]) -> None:
    """Import modules of the user's own; the `FAMILIES` of any that has some join those that ship.

    Args:
        modules: By import path.
    Raises:
        ConfigError: There is no such module.
    """
    for name in modules:
        try:
            module = import_module(name)
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"plugins: there is no module {error.name}; PYTHONPATH says where your own are"
            ) from error
        known_families().update(_by_type(vars(module).get("FAMILIES", ())))


def family_named(model_type: object, *, where: object) -> Family:
    """The family of a model type.

    Args:
        model_type: As config.json says.
        where: The model's folder or name, for the error.
    Raises:
        ConfigError: It is not supported.
    """
    known = known_families()
    if isinstance(model_type, str) and model_type in known:  # first: a plugin's may be refused here
        return known[model_type]
    if why := refused().get(str(model_type)):
        raise ConfigError(f"{where}: model_type {model_type} is {why}")
    raise ConfigError(f"{where}: model_type {model_type!r:.80} is not one of {', '.join(known)}")


def family_called(name: str) -> Family | None:
    """The family that a model's name says it is of, where nothing but its name is here.

    >>> family_called("OpenGVLab/InternVL3_5-8B-HF").name
    'InternVL3'
    >>> family_called("me/qwen3_vl_4b_sft").name
    'Qwen3-VL'
    """
    found = [one for one in known_families().values() if _letters(one.name) in _letters(name)]
    return max(found, key=lambda one: len(one.name), default=None)


def _letters(name: str) -> str:
    """And digits; people write hyphens, underscores and points as they like."""
    return "".join(filter(str.isalnum, name.casefold()))


def family_of(folder: str | os.PathLike[str]) -> Family:
    """The family of a model folder, or of a name on the hub.

    Raises:
        ConfigError: There is no config.json, or its family is not supported.
    """
    name = os.fspath(folder)
    if os.path.isabs(name) and not os.path.isdir(name):
        raise ConfigError(f"{name}: no such folder; {what_to_name(name)}")
    if not os.path.isdir(name) and name.count("/") != 1:  # no "owner/name" of the hub
        raise ConfigError(f"{name}: no such folder; {what_to_name(name)}")
    try:
        config, _ = PreTrainedConfig.get_config_dict(name)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"{folder}: no config.json of a model ({reason}); {what_to_name(name)}"
        ) from error
    if not config:
        raise ConfigError(
            f"{folder}: no config.json, so this is not a model folder; {what_to_name(name)}"
        )
    return family_in(config, where=folder)


def family_in(config: Mapping[str, Any], *, where: object) -> Family:
    """The family of a config.json.

    Raises:
        ConfigError: It is not supported, or its language model is not.
    """
    text = config.get("text_config")
    kind = text.get("model_type") if isinstance(text, Mapping) else None
    if kind in refused():
        return family_named(kind, where=where)
    return family_named(config.get("model_type"), where=where)


def what_to_name(name: str) -> str:
    """What to do where a model's name leads to none."""
    if os.path.isfile(os.path.join(name, "model", "config.json")):
        return f"its model is {os.path.join(name, 'model')}"
    fetch = f"hf download {name} fetches one of the hub, or " if name.count("/") == 1 else ""
    return (
        f"{fetch}name a model's folder (RUN/model of a training), a RUN/checkpoints/*.ckpt, or "
        "OWNER/NAME of the hub"
    )


def check_runs(family: Family, *, engine: str) -> None:
    """Refuse an engine that cannot run a family.

    Args:
        family: The model's.
        engine: Module in `rollout.engines`.
    Raises:
        ConfigError: It cannot.
    """
    if engine not in family.engines:
        others = ", ".join(f"engine={name}" for name in family.engines)
        why = refused().get(f"{family.model_types[0]} engine={engine}", "")
        why = f" ({why})" if why else ""
        raise ConfigError(f"engine={engine} cannot run {family.name}; take {others or 'none'}{why}")
