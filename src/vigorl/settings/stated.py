"""Ranges that code states beside its own fields (`vigorl.core.ranges`), read before torch is
imported: what is added to a room below needs no line in `vigorl.settings`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, Field, create_model

from vigorl.core.ranges import Range, hints_of, names_of
from vigorl.settings.kinds import AnyText, Flag, Group, Node, Text, says

# rooms that import torch, and what brings it, for type checkers alone or inside of functions
STATED = (
    "vigorl.core.rewards.",
    "vigorl.data.clips.draw.",
    "vigorl.data.clips.teacher.",
    "vigorl.data.frames.",
    "vigorl.rollout.inference.",
    "vigorl.rollout.probes.",
    "vigorl.rollout.tools.",
    "vigorl.search.keeping.",
    "vigorl.training.algorithms.",
    "vigorl.training.estimators.",
    "vigorl.training.groups.",
    "vigorl.training.samplers.",
)
_KINDS: dict[Any, Any] = {bool: Flag, str: Text}


def code_of(target: str) -> type | None:
    """The dataclass behind a `_target_` of these rooms; None of all other code."""
    module, _, name = target.rpartition(".")
    if not target.startswith(STATED):
        return None
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError):  # there is no such code: `vigorl.targets` says so
        return None
    return found if isinstance(found, type) and dataclasses.is_dataclass(found) else None


def names_in(code: type | None) -> list[str]:
    """The settings that it takes."""
    return [one.name for one in dataclasses.fields(code) if one.init] if code else []


@lru_cache
def stated_by(target: str) -> type[BaseModel] | None:
    """The settings that such a dataclass takes; None too where one of its numbers has no range."""
    code = code_of(target)
    if code is None:
        return None
    fields = [one for one in dataclasses.fields(code) if one.init]
    hints = {one.name: hints_of(code)[one.name] for one in fields}
    if any(kind in (int, float) for hint in hints.values() for kind in _parts(hint)):
        return None
    found: dict[str, Any] = {one.name: (_of_field(one, hints[one.name]), ...) for one in fields}
    return create_model(code.__name__, __base__=Group, **found)


def _of_field(field: dataclasses.Field[Any], hint: Any) -> Any:
    """What a plain value is compared with: texts and lists may be empty where the default is."""
    if field.default == "":
        return AnyText
    allowed = _allowed(hint)
    is_list = get_origin(allowed) is list
    if is_list and field.default != () and field.default_factory is dataclasses.MISSING:
        return Annotated[allowed, Field(min_length=1), says("a list, and not an empty one")]
    return allowed


def _parts(hint: Any) -> Iterator[Any]:
    """The types that an annotation is made of, those with a range left out."""
    if get_origin(hint) is Annotated and any(isinstance(one, Range) for one in get_args(hint)):
        return
    yield hint
    for one in get_args(hint):
        yield from _parts(one)


def _allowed(hint: Any) -> Any:
    """What pydantic compares a plain value with; objects are groups of settings."""
    inner, origin = get_args(hint), get_origin(hint)
    if NoneType in inner:
        return _allowed(next(one for one in inner if one is not NoneType)) | None
    if names := names_of(hint):
        return Literal[names]
    if origin is Annotated:
        return hint
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return dict[str, _allowed(inner[1])]
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return list[_allowed(inner[0])]
    return _KINDS.get(hint, Node)
