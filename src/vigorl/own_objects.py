"""Objects that a Python program hands to a run as they are: a reward, a tool, an algorithm, probes,
a scorer, a data set. They stand in its settings beside everything else, so all that reads settings
reads them:

    reward:
      _target_: vigorl.own_objects.given
      object: BrevityReward(max_words=60)      # an OwnObject: this text, and the object behind it

`instantiate` gives the object back. A run's folder holds the text alone, so nothing but a program
that has the object can go on with the run (`lost_objects`).
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from types import FunctionType
from typing import Any, Protocol, runtime_checkable

from omegaconf import DictConfig, OmegaConf, open_dict

from vigorl.core.errors import ConfigError
from vigorl.core.protocols import GroupReward, Reward, Tool, TurnReward
from vigorl.core.rewards import AccuracyReward, WeightedReward
from vigorl.core.rewards.function import FunctionReward
from vigorl.core.rewards.named import named_reward
from vigorl.core.scoring import Scorer

GIVEN = "vigorl.own_objects.given"
KINDS = ("reward", "tool", "algorithm", "probe", "data", "scorer")  # a scorer stands in the data
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_INNER = re.compile(r"\([^()]*\)")
_NO_CLASS = re.compile(
    r"[\w<>]+\.|\b\d[\d.e-]*( x)? |\(.*"
)  # modules, weights and counts, what is cut
_MAX_TEXT = 200  # characters


@runtime_checkable
class _Source(Protocol):
    """What makes a `data.splits.DataSource`, whose room imports torch."""

    def prepare(self) -> None: ...
    def load(self) -> Any: ...


@runtime_checkable
class _Asking(Protocol):
    """What all kinds of `rollout.probes.probe` share."""

    @property
    def schedule(self) -> Any: ...


@runtime_checkable
class _Learning(Protocol):
    """What tells a `training.algorithms.protocol.Algorithm` apart."""

    credit: Any
    loss: Any


@runtime_checkable
class _Table(Protocol):
    """Rows by their number: a list, a pandas frame's records, a Hugging Face data set."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...


class OwnObject(str):
    """An object in a config, which files and pages show as a text.

    Attributes:
        value: The object.
    """

    __slots__ = ("value",)
    value: Any

    def __new__(cls, value: Any, text: str = "") -> OwnObject:
        own = super().__new__(cls, text or text_of(value))
        own.value = value
        return own

    def __deepcopy__(self, memo: object) -> OwnObject:
        return self  # copies of settings are of the same object

    def __reduce__(self) -> tuple[Any, ...]:
        return OwnObject, (self.value, str(self))  # pickle would take the text for the object


def given(object: Any, **settings: Any) -> Any:
    """What stands behind an `OwnObject`; a class is called with the settings beside it.

    Raises:
        ConfigError: It is the text that a run's folder has kept.
    """
    if not isinstance(object, OwnObject):
        raise ConfigError(
            f"{object} was an object of a Python program, and a folder keeps no objects: hand it "
            "over again from there"
        )
    return object.value(**settings) if isinstance(object.value, type) else object.value


def text_of(value: Any) -> str:
    """An object in a line: dataclasses by their fields, all else by where it is defined."""
    if isinstance(value, type | FunctionType):
        text = f"{value.__module__}.{value.__qualname__}"
    elif dataclasses.is_dataclass(value):
        text = _ADDRESS.sub("", repr(value))
    elif isinstance(value, Mapping):
        text = ", ".join(f"{name}: {text_of(one)}" for name, one in value.items())
    elif isinstance(value, _Table):
        text = f"{len(value)} rows of a {type(value).__name__}"
    else:
        text = f"{type(value).__module__}.{type(value).__qualname__}"
    text = " ".join(text.replace("${", "$ {").split())
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}..."


def as_texts(node: Any) -> Any:
    """Nested dicts and lists with the texts alone, as files keep them."""
    if isinstance(node, dict):
        return {key: as_texts(value) for key, value in node.items()}
    if isinstance(node, list):
        return [as_texts(value) for value in node]
    return str(node) if isinstance(node, OwnObject) else node


def is_given(node: Any) -> bool:
    """Whether a node of a config is an object of one's own."""
    return isinstance(node, Mapping | DictConfig) and node.get("_target_") == GIVEN


def objects_in(cfg: DictConfig) -> dict[str, str]:
    """Where objects stand in the settings, and their texts."""
    return dict(_objects(OmegaConf.to_container(cfg, resolve=False), ""))


def _objects(node: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict) and node.get("_target_") == GIVEN:
        yield path, str(node["object"])
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _objects(value, f"{path}.{key}".lstrip("."))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _objects(value, f"{path}.{index}")


def place(cfg: DictConfig, objects: Mapping[str, Any]) -> DictConfig:
    """The settings with objects in them, in place.

    Args:
        cfg: As composed.
        objects: By what they are, of `KINDS`. A reward is a `WeightedReward`, another reward, a
            function of a rollout, or pairs (reward, weight); a tool, one or several, which replace
            the env's; an algorithm, of whose class the YAML's settings are kept that it takes; a
            probe, one or several by name, beside those chosen; a scorer, of the questions that the
            data have without options; data, a `DataSource`, or rows, which data=my_file reads.
    Raises:
        ConfigError: It is nothing of the kind, or the settings have no place for it.
    """
    cfg._set_flag("allow_objects", True)  # OmegaConf's own name for it
    with open_dict(cfg):
        for kind in (one for one in KINDS if one in objects):
            for key, node in _nodes(cfg, kind, objects[kind]):
                OmegaConf.update(cfg, key, node, merge=False)
    return cfg


def _nodes(cfg: DictConfig, kind: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The keys to set, and what to."""
    if kind == "reward":
        reward = as_reward(value)
        pairs = value if isinstance(value, list | tuple) else ()
        text = ", ".join(f"{weight} x {text_of(part)}" for part, weight in pairs)
        yield "reward", _node(reward, text or text_of(value))
    elif kind == "tool":
        tools = value if isinstance(value, list | tuple) else [value]
        yield "env.tools", [_node(_made(one, kind, Tool)) for one in tools]
    elif kind == "algorithm":
        yield "algorithm", _algorithm(cfg, value)
    elif kind == "probe":
        probes = value if isinstance(value, Mapping) else {_name_of(value): value}
        for name, one in probes.items():
            yield f"probes.{name}", _node(_made(one, kind, _Asking))
    elif kind == "scorer":
        if "scorer" not in cfg.data:
            raise ConfigError(f"scorer={text_of(value)} has no effect: these data name their own")
        yield "data.scorer", _node(_made(value, kind, Scorer))
    elif isinstance(value, _Source):
        yield "data", _node(value)
    else:
        yield "data.path", _node(value)


def _node(value: Any, text: str = "") -> dict[str, Any]:
    return {"_target_": GIVEN, "object": OwnObject(value, text)}


def as_reward(value: Any) -> WeightedReward:
    """What is handed over as a reward, as the sum that a run takes.

    Raises:
        ConfigError: It is none.
    """
    if isinstance(value, WeightedReward):
        return value
    pairs = value if isinstance(value, list | tuple) else [(value, 1.0)]
    if not pairs or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        raise ConfigError(f"reward={value!r:.80} must be a reward, or pairs (reward, weight)")
    parts = [(_as_part(part), float(weight)) for part, weight in pairs]
    if not any(isinstance(part, Reward) for part, _ in parts):  # a sum needs one
        parts.append((AccuracyReward(), 0.0))
    return named_reward(
        "own",
        parts={part.name: part for part, _ in parts},
        weights={part.name: weight for part, weight in parts},
    )


def _as_part(value: Any) -> Reward | GroupReward | TurnReward:
    if isinstance(value, FunctionType):
        return FunctionReward(value)
    return _made(value, "reward", Reward, GroupReward, TurnReward)


def _made(value: Any, kind: str, *needed: type) -> Any:
    """An object, or what a class makes without arguments.

    Raises:
        ConfigError: It is not of its kind, or the class wants arguments.
    """
    try:
        made = value() if isinstance(value, type) else value
    except TypeError as error:
        raise ConfigError(f"{kind}={text_of(value)}: hand over an object ({error})") from error
    if not isinstance(made, needed):
        example = "benchmark" if kind == "scorer" else kind
        raise ConfigError(f"{kind}={text_of(value)} is no {kind}; examples/my_{example}.py has one")
    return made


def _algorithm(cfg: DictConfig, value: Any) -> dict[str, Any]:
    if not cfg.get("algorithm"):
        raise ConfigError(f"algorithm={text_of(value)} has no effect: nothing is learned here")
    if not isinstance(value, type):
        return _node(_made(value, "algorithm", _Learning))
    settings: Any = OmegaConf.to_container(cfg.algorithm, resolve=False)
    taken = inspect.signature(value).parameters
    return {**{key: one for key, one in settings.items() if key in taken}, **_node(value)}


def _name_of(value: Any) -> str:
    return (value if isinstance(value, type) else type(value)).__name__.lower()


def _classes(text: str) -> str:
    """Of a text of `text_of`, without modules, settings, weights and counts.

    >>> _classes("1.0 x AccuracyReward(), 0.2 x my.Brevity(max_words=60)")
    'AccuracyReward, Brevity'
    """
    before = ""
    while text != before:
        before, text = text, _INNER.sub("", text)
    return _NO_CLASS.sub("", text)


def lost_objects(
    cfg: DictConfig, before: Mapping[str, str], *, said: Sequence[str], folder: object
) -> None:
    """Refuse to go on with a run without the objects that it had, or with others; their settings
    may differ, as settings may that are said again.

    Args:
        cfg: What it would go on with.
        before: Its objects, by key.
        said: The command line, which may say another value for a key.
        folder: Of the run, for the error.
    Raises:
        ConfigError: Names the first that is lost.
    """
    there = objects_in(cfg)
    keys = [one.partition("=")[0].lstrip("+~") for one in said]
    for key, text in before.items():
        if key in there and _classes(there[key]) != _classes(text):
            raise ConfigError(
                f"{key} was {text} in {folder}, and is {there[key]} now: go on with an object of "
                "the same class, or begin another run"
            )
        if key in there or any(f"{key}.".startswith(f"{one}.") for one in keys):
            continue
        kind = {"env": "tool", "probes": "probe"}.get(key.partition(".")[0], key.partition(".")[0])
        raise ConfigError(
            f"{key} was an object of a Python program, {text}, which {folder} cannot keep: go on "
            f"from there, vigorl.train(vigorl.compose(..., {kind}=...), resume={str(folder)!r})"
        )
