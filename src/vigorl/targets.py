"""Whether the code behind each `_target_` of a config takes what the config gives it."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any

from hydra._internal.utils import _locate  # get_object, without the lines that it prints

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
        ConfigError: A node has a key that its target does not take.
    """
    for path, node in _targets(cfg):
        try:
            names = _accepted_names(_locate(node["_target_"]))
        except ImportError as error:
            if _is_of_another_package(error, node["_target_"]):
                continue  # not installed: whoever makes the object says so
            raise ConfigError(f"{path}._target_: {_not_found(node['_target_'])}") from error
        for key in node:
            if names is not None and not key.startswith("_") and key not in names:
                meant = nearest(key, names)
                guess = f"did you mean {path}.{meant}?" if meant else f"it takes {sorted(names)}"
                raise ConfigError(f"{path}.{key}: {node['_target_']} takes no {key}; {guess}")


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


def _accepted_names(target: Any) -> set[str] | None:
    """Keyword arguments of a callable, through **kwargs to the bases of a class; None is any."""
    places = [base.__init__ for base in target.__mro__] if inspect.isclass(target) else [target]
    names: set[str] = set()
    for place in places:
        found = inspect.signature(place).parameters.values()
        names |= {p.name for p in found if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
        if not any(p.kind is p.VAR_KEYWORD for p in found):
            return names - {"self"}
    return None
