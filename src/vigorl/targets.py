"""Whether the code behind each `_target_` of a config takes what the config gives it."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from importlib.util import find_spec
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hydra._internal.utils import _locate  # get_object, without the lines that it prints
from pydantic import TypeAdapter, ValidationError

from vigorl.core.errors import ConfigError


def nearest(name: str, known: Collection[str]) -> str | None:
    """The known name that is most like another, as a whole or by its part after the last dot."""
    if whole := get_close_matches(name, known, n=1, cutoff=0.75):
        return whole[0]
    by_end = {one.rpartition(".")[2]: one for one in known}
    ends = get_close_matches(name.rpartition(".")[2], by_end, n=1, cutoff=0.75)
    return by_end[ends[0]] if ends else None


def key_paths(node: Any, path: str = "") -> list[str]:
    """Every key of nested settings, inner ones too, as "plan" and "plan.group_size"."""
    if not isinstance(node, dict):
        return []
    found: list[str] = []
    for key, value in node.items():
        inner = f"{path}.{key}".lstrip(".")
        found += [inner, *key_paths(value, inner)]
    return found


def check_targets(cfg: Any) -> None:
    """Compare the keys of every node that has a `_target_` with the signature behind it.

    Args:
        cfg: Nested dicts and lists, without interpolations.
    Raises:
        ConfigError: A node has a key that its target does not take, or a plain value of another
            type than the plain one in its signature.
    """
    for path, node in _targets(cfg):
        try:
            names = _accepted_names(_locate(node["_target_"]))
        except ImportError as error:
            if _is_of_another_package(error, node["_target_"]):
                continue  # not installed: whoever makes the object says so
            raise ConfigError(f"{path}._target_: {_not_found(node['_target_'])}") from error
        for key, value in node.items():
            if names is None or key.startswith("_"):
                continue
            if key not in names:
                meant = nearest(key, names)
                guess = f"did you mean {path}.{meant}?" if meant else f"it takes {sorted(names)}"
                raise ConfigError(f"{path}.{key}: {node['_target_']} takes no {key}; {guess}")
            if not isinstance(value, dict | list) and not _fits(value, names[key]):
                wanted = getattr(names[key], "__name__", names[key])
                raise ConfigError(f"{path}.{key} must be {wanted}, got {value!r}")


def _not_found(target: str) -> str:
    package = target.partition(".")[0]
    if find_spec(package) is None:
        return f"there is no module {package} for {target}; PYTHONPATH says where your own are"
    return f"there is no {target}"


def _is_of_another_package(error: ImportError, target: str) -> bool:
    cause = error.__cause__
    if not isinstance(cause, ModuleNotFoundError) or cause.name is None:
        return False
    return cause.name.partition(".")[0] != target.partition(".")[0]


def _targets(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All nodes with a `_target_`, and where they stand."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield path, node
        for key, value in node.items():
            yield from _targets(value, f"{path}.{key}".lstrip("."))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _targets(value, f"{path}.{index}")


def _accepted_names(target: Any) -> dict[str, Any] | None:
    """Keyword arguments of a callable and their types, through **kwargs to the bases of a class;
    None is any.
    """
    places = [base.__init__ for base in target.__mro__] if inspect.isclass(target) else [target]
    names: dict[str, Any] = {}
    for place in places:
        found = inspect.signature(place).parameters.values()
        types = _types(place)
        for one in found:
            if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD) and one.name != "self":
                names.setdefault(one.name, types.get(one.name, Any))
        if not any(one.kind is one.VAR_KEYWORD for one in found):
            return names
    return None


def _types(function: Any) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except (NameError, TypeError):  # a type that only type checkers see, or none that can be asked
        return {}


def _fits(value: Any, kind: Any) -> bool:
    """Whether a plain value is of a plain type; of any other type its code is the judge."""
    if not _is_plain(kind) or value == "auto":  # what whoever makes the object puts in
        return True
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


def _is_plain(kind: Any) -> bool:
    if get_origin(kind) in (Union, UnionType):
        return all(map(_is_plain, get_args(kind)))
    return get_origin(kind) is Literal or kind in (bool, int, float, str, type(None))
