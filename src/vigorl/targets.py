"""Whether the code behind each `_target_` of a config takes what the config gives it, and whether
it may be run at all: a person's own command line and YAMLs are their word, a run's folder is not.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from types import UnionType
from typing import (
    Any,
    Literal,
    Protocol,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    runtime_checkable,
)

from hydra._internal.utils import _locate  # get_object, without the lines that it prints
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from pydantic import TypeAdapter, ValidationError

from vigorl.core.errors import ConfigError

# of other packages, what our own YAMLs name
_SHORT_LIST = (
    "lightning.Trainer",
    "lightning.pytorch.loggers.MLFlowLogger",
    "lightning.pytorch.loggers.TensorBoardLogger",
    "lightning.pytorch.loggers.WandbLogger",
    "lightning.pytorch.loggers.logger.DummyLogger",
    "lightning.pytorch.strategies.DDPStrategy",
)
_IMPORTS_ANYTHING = ("vigorl.families.lookup",)
# all others, such as oc.decode, can write a `_target_` where nobody sees it
_PLAIN_INTERPOLATION = re.compile(r"\$\{(?:now:|vigorl_\w+:|[\w.\[\]]+\})")


@runtime_checkable
class SaysWhy(Protocol):
    """A class that says of settings of its kin why they have no meaning with it."""

    __name__: str
    refused: dict[str, str]


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
            target = _locate(node["_target_"])
            names = _accepted_names(target)
        except ImportError as error:
            if _is_of_another_package(error, node["_target_"]):
                continue  # not installed: whoever makes the object says so
            raise ConfigError(f"{path}._target_: {_not_found(node['_target_'])}") from error
        for key, value in node.items():
            if names is None or key.startswith("_"):
                continue
            if isinstance(target, SaysWhy) and key in target.refused and value is not None:
                raise ConfigError(
                    f"{path}.{key} has no meaning with {target.__name__}: {target.refused[key]}"
                )
            if key not in names:
                meant = nearest(key, names)
                guess = f"did you mean {path}.{meant}?" if meant else f"it takes {sorted(names)}"
                raise ConfigError(f"{path}.{key}: {node['_target_']} takes no {key}; {guess}")
            if not isinstance(value, dict | list) and not _fits(value, names[key]):
                wanted = getattr(names[key], "__name__", names[key])
                raise ConfigError(f"{path}.{key} must be {wanted}, got {value!r}")


def is_trusted(target: object, *, plugins: Collection[str]) -> bool:
    """Whether what a run's folder names may be instantiated: it is defined in a room of vigorl,
    stands on a short list, or in a package that the user names.

    Args:
        target: A `_target_`.
        plugins: Modules of the setting `plugins`, from the user's own command line or YAMLs.
    """
    if not isinstance(target, str):
        return False
    if target in _SHORT_LIST or any(f"{target}.".startswith(f"{own}.") for own in plugins):
        return True
    parts = target.split(".")
    if parts[0] != "vigorl" or any(part.startswith("_") for part in parts):
        return False
    try:
        found = _locate(target)
    except (ImportError, ValueError):  # no such code, or no name of any
        return True  # whoever makes the object says so; nothing of another package was imported
    # what a module of ours has imported (`vigorl.build.os.system`) is not ours, and doors do more
    # than make an object
    home = str(found.__module__) if callable(found) else ""
    return home.count(".") > 1 and home.startswith("vigorl.") and home not in _IMPORTS_ANYTHING


def check_foreign(node: Any, *, where: object, plugins: Collection[str]) -> None:
    """Refuse settings of a run's folder that would run code of someone else's.

    Args:
        node: Nested dicts and lists, as they stand in the file.
        where: The file, for the error.
        plugins: See `is_trusted`.
    Raises:
        ConfigError: A `_target_` that is not trusted.
    """
    for path, settings in _targets(node):
        target = settings["_target_"]
        if not is_trusted(target, plugins=plugins):
            raise ConfigError(_untrusted(where, f"{path}._target_".lstrip("."), target))


def check_foreign_overrides(
    overrides: Sequence[str], *, where: object, plugins: Collection[str], groups: Collection[str]
) -> None:
    """The same for overrides that a run's folder says were on its command line.

    Args:
        overrides: Without those that the user says again.
        where: The file, for the error.
        plugins: See `is_trusted`.
        groups: Names of the groups of YAMLs, whose choices must not leave them.
    Raises:
        ConfigError: It names code that is not trusted, chooses a YAML elsewhere, or is no override.
    """
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        first = str(error).splitlines()[0]
        raise ConfigError(f"{where}: not what a command line can say: {first:.200}") from error
    for text, override in zip(overrides, parsed, strict=True):
        key, value = override.key_or_group, override.value()
        top = key.partition(".")[0]
        if top == "plugins" or top.partition("/")[0] == "hydra":
            raise ConfigError(_untrusted(where, key, value))
        chosen = value if isinstance(value, list) else [value]
        if key in groups and any("/" in one or ".." in one for one in chosen if type(one) is str):
            raise ConfigError(f"{where}: {text} chooses a YAML outside of configs/{key}")
        for part in key.split(".")[::-1]:
            value = {part: value}
        check_foreign(value, where=where, plugins=plugins)
        if text.count("${") != len(_PLAIN_INTERPOLATION.findall(text)):
            raise ConfigError(_untrusted(where, key, text.partition("=")[2]))


def _untrusted(where: object, key: str, value: object) -> str:
    return (
        f"{where}: {key}={value} could run code that is not vigorl's; if you trust it, say "
        f"{key}=... or plugins=[ITS_PACKAGE] on this command line"
    )


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
