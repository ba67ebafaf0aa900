"""Frozen dataclasses as JSON values and back.

A dataclass is an object of its fields. A `Scorer` may be anyone's class, so it says which:

    >>> plain = to_plain(PointInBox(Box(190, 70, 210, 90)))
    >>> plain["_target_"], plain["box"]["left"]
    ('vigorl.core.scoring.point.PointInBox', 190)
    >>> read_scorer(plain)
    PointInBox(box=Box(left=190, top=70, right=210, bottom=90))
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Mapping
from functools import cache
from types import GenericAlias
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import SchemaValidator, core_schema

from vigorl.core.scoring.scorer import Scorer

TARGET = "_target_"
Kind = TypeVar("Kind")


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


def exact_reader(adapter: TypeAdapter[Any]) -> SchemaValidator:
    """Reads what `to_plain` makes of a type and nothing else: all fields and no others, no text for
    a number, and an int that stands where a float is declared (box corners) stays one.

    Args:
        adapter: Of the type; its config allows arbitrary types where there are scorers.
    """
    return SchemaValidator(_exact(adapter.core_schema))


def _exact(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_exact(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    if kind == "default":
        return _exact(schema["schema"])
    if kind == "is-instance" and schema["cls"] is Scorer:
        return core_schema.no_info_plain_validator_function(read_scorer)
    if kind == "float":
        numbers = [{"type": "int", "strict": True}, {"type": "float", "strict": True}]
        return {"type": "union", "choices": numbers}
    exact = {key: _exact(value) for key, value in schema.items()}
    if kind == "dataclass-args":
        exact["extra_behavior"] = "forbid"
    elif kind in ("int", "str", "bool"):
        exact["strict"] = True
    return exact


def faults(error: ValidationError) -> str:
    """What an `exact_reader` has found wrong and where, the first four."""
    places = [
        f"{'.'.join(map(str, one['loc']))}: {one['msg']}, got {one['input']!r:.40}"
        for one in error.errors()
    ]
    return "; ".join(places[:4])


def read_scorer(plain: Any) -> Scorer:
    """The scorer that `to_plain` has written; see `read_target`."""
    return read_target(plain, Scorer, name="scorer")


def read_target(plain: Any, kind: type[Kind], *, name: str) -> Kind:
    """A dataclass of which a file says by `_target_` which one it is.

    Args:
        plain: Its fields and its path.
        kind: What it must be.
        name: What it is called in messages.
    Raises:
        ValueError: It is not there, or a field is missing, unknown or of the wrong type.
    """
    if not isinstance(plain, dict) or not isinstance(path := plain.get(TARGET), str):
        raise ValueError(
            f"{name}: expected an object whose {TARGET!r} says which, got {plain!r:.60}"
        )
    fields = {key: value for key, value in plain.items() if key != TARGET}
    try:
        return _target_reader(path, kind, name).validate_python({name: fields})[name]
    except ValidationError as error:
        raise ValueError(faults(error)) from error


@cache
def _target_reader(path: str, kind: type, name: str) -> SchemaValidator:
    module, _, class_name = path.rpartition(".")
    # a file runs no code: importing a module would
    if module and not module.startswith("vigorl.") and module not in sys.modules:
        raise ValueError(
            f"{name} {path!r} is not vigorl's: import {module} first, or name it in plugins"
        )
    try:
        found = getattr(importlib.import_module(module), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"there is no {name} {path!r} here ({error})") from error
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise ValueError(f"{path!r} is no {name}")
    whole: Any = GenericAlias(dict, (str, found))  # a dataclass itself takes no config
    return exact_reader(TypeAdapter(whole, config=ConfigDict(arbitrary_types_allowed=True)))


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
