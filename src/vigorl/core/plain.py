"""Frozen dataclasses as JSON values and back.

A dataclass is an object of its fields. A `Scorer` may be anyone's class, so it says which:

    >>> plain = to_plain(PointInBox(Box(190, 70, 210, 90)))
    >>> plain["_target_"], plain["box"]["left"]
    ('vigorl.core.scoring.point.PointInBox', 190)
    >>> from_plain(Scorer, plain)
    PointInBox(box=Box(left=190, top=70, right=210, bottom=90))
"""

from __future__ import annotations

import dataclasses
import importlib
import types
import typing
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Any

from vigorl.core.scoring.scorer import Scorer

TARGET = "_target_"


def to_plain(value: Any) -> Any:
    """What `json.dumps` takes, floats kept bit for bit.

    Raises:
        ValueError: A scorer that could not be found again: no dataclass, or made in a function.
    """
    if dataclasses.is_dataclass(value):
        fields = {
            field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
        return {TARGET: path_of(type(value)), **fields} if isinstance(value, Scorer) else fields
    if isinstance(value, Scorer):
        raise ValueError(f"{type(value).__qualname__} cannot be kept: make it a dataclass")
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        if value and isinstance(value[0], int | float):  # the long ones: ids and logprobs
            return value
        return [to_plain(item) for item in value]
    return value


@cache
def _fields(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def from_plain(kind: Any, value: Any, where: str = "value") -> Any:
    """Rebuild a value.

    Args:
        kind: Its type, from a dataclass's annotations.
        value: As `to_plain` gave it.
        where: The path to it, for errors.
    Raises:
        ValueError: A field is missing, unknown or of the wrong type, or a scorer is not there.
    """
    if kind is Scorer:
        fields = dict(_expect(dict, value, where))
        kind = _scorer_at(_expect(str, fields.pop(TARGET, None), f"{where}.{TARGET}"), where)
        return _dataclass_from_plain(kind, fields, where)
    origin = typing.get_origin(kind)
    if origin is types.UnionType or origin is typing.Union:
        if value is None:
            return None
        options = [option for option in typing.get_args(kind) if option is not type(None)]
        if len(options) > 1:  # dataclasses that differ in their fields
            options = [
                one for one in options if set(_fields(one)) == set(_expect(dict, value, where))
            ]
        if not options:
            raise ValueError(f"{where}: no kind of value has the fields {sorted(value)}")
        return from_plain(options[0], value, where)
    if origin is tuple:
        item = typing.get_args(kind)[0]
        items = _expect(list, value, where)
        if item in (int, float):  # the long ones: ids and logprobs
            return tuple(_number(item, one, where) for one in items)
        return tuple(from_plain(item, one, f"{where}[{i}]") for i, one in enumerate(items))
    if origin is not None and issubclass(origin, Mapping):
        item = typing.get_args(kind)[1]
        pairs = _expect(dict, value, where).items()
        return {key: from_plain(item, one, f"{where}.{key}") for key, one in pairs}
    if dataclasses.is_dataclass(kind):
        return _dataclass_from_plain(kind, value, where)
    if kind is bool:
        return _expect(bool, value, where)
    if kind in (int, float):
        return _number(kind, value, where)
    text = _expect(str, value, where)
    return kind(text) if issubclass(kind, StrEnum) else text


def _dataclass_from_plain(kind: Any, value: Any, where: str) -> Any:
    fields = _fields(kind)
    plain = _expect(dict, value, where)
    if set(plain) != set(fields):
        missing, unknown = sorted(set(fields) - set(plain)), sorted(set(plain) - set(fields))
        raise ValueError(f"{where}: fields missing {missing}, unknown {unknown}")
    return kind(
        **{name: from_plain(fields[name], one, f"{where}.{name}") for name, one in plain.items()}
    )


def _number(kind: type, value: Any, where: str) -> Any:
    # an int may stand where a float is declared (box corners), and stays one
    if type(value) is int or (kind is float and type(value) is float):
        return value
    raise ValueError(f"{where}: {value!r} is not {'an integer' if kind is int else 'a number'}")


def _expect(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"{where}: expected {kind.__name__}, got {type(value).__name__}")
    return value


@cache
def path_of(kind: type) -> str:
    """Where a class is imported from.

    Raises:
        ValueError: It is made in a function, and so from nowhere.
    """
    path = f"{kind.__module__}.{kind.__qualname__}"
    if "<locals>" in path:
        raise ValueError(f"{path} cannot be kept: make it at the top of a module")
    return path


@cache
def _scorer_at(path: str, where: str) -> type[Scorer]:
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{where}: there is no scorer {path!r} here ({error})") from error
    if not (isinstance(found, type) and issubclass(found, Scorer)):
        raise ValueError(f"{where}: {path!r} is no scorer")
    return found
