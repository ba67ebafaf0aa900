"""What a setting may be, said once: beside its field.

    tau: Positive = 1.0
    clip_low: Annotated[float, Range(gt=0, lt=1)] = 0.2

Whoever makes the object is refused by `check_ranges`. A command line is refused earlier, by
`vigorl.settings`, which reads the same annotations, and so without torch: the modules of its
`STATED` rooms import it where they need it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from vigorl.core.errors import ConfigError

MOST = 10**9  # more is a slip of the hand


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Bounds of a number, which is finite and, where its type is int, whole.

    Attributes:
        gt: Below all allowed values; None: see `ge`.
        ge: The least one; without both it is -`MOST`.
        lt: Above all of them; None: see `le`.
        le: The largest one; without both it is `MOST`.
        words: In place of those that are made of the bounds.
    """

    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None
    words: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """What pydantic asks of an annotation."""

        def check(value: Any) -> Any:
            if not self.allows(value, source):
                raise ValueError(self.of(source))
            return value

        return {"type": "function-plain", "function": {"type": "no-info", "function": check}}

    def allows(self, value: object, kind: type) -> bool:
        """Whether a value of any type is a number of this kind within the bounds."""
        if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
            return False
        return (
            -MOST <= value <= (MOST if self.le is None else self.le)  # neither infinite nor nan
            and (self.gt is None or value > self.gt)
            and (self.ge is None or value >= self.ge)
            and (self.lt is None or value < self.lt)
        )

    def of(self, kind: type) -> str:
        """What is allowed, in words.

        >>> Range(ge=1).of(int), Range(gt=0, lt=1).of(float)
        ('a whole number from 1 on', 'above 0 and below 1')
        """
        if self.words:
            return self.words
        is_open = self.lt is None and self.le is None
        number = "a whole number" if kind is int else "a finite number" if is_open else ""
        if self.ge is not None:
            ends = [f"from {self.ge:g}", "on" if is_open else ""]
            ends += ["" if self.lt is None else f"to below {self.lt:g}"]
            ends += ["" if self.le is None else f"to {self.le:g}"]
        else:
            ends = ["" if self.gt is None else f"above {self.gt:g}"]
            ends += ["" if self.gt is None or is_open else "and"]
            ends += ["" if self.lt is None else f"below {self.lt:g}"]
            ends += ["" if self.le is None else f"up to {self.le:g}"]
        return " ".join(part for part in (number, *ends) if part)


Count = Annotated[int, Range(ge=0)]
AtLeastOne = Annotated[int, Range(ge=1)]
AtLeastTwo = Annotated[int, Range(ge=2)]
Seed = Annotated[int, Range(ge=0, le=2**32 - 1, words="a whole number from 0 to 2^32-1")]
Finite = Annotated[float, Range()]
Positive = Annotated[float, Range(gt=0)]
NotNegative = Annotated[float, Range(ge=0)]
FromOne = Annotated[float, Range(ge=1)]
Share = Annotated[float, Range(ge=0, le=1, words="a share, from 0 to 1")]
ShareAboveZero = Annotated[float, Range(gt=0, le=1)]
BelowOne = Annotated[float, Range(ge=0, lt=1)]


def check_ranges(settings: Any, where: str) -> None:
    """Compare the numbers and names of a dataclass with what stands beside its fields.

    Args:
        settings: A dataclass instance; of its fields those that have a `Range`, a `StrEnum` or a
            `Literal` are looked at.
        where: Its group of settings, such as "algorithm".
    Raises:
        ConfigError: The first that is not allowed; names the key.
    """
    hints = hints_of(type(settings))
    for one in fields(settings):
        value = getattr(settings, one.name)
        if said := _refusal(value, hints[one.name]):
            raise ConfigError(f"{where}.{one.name} must be {said}, got {value!r}")


@lru_cache
def hints_of(kind: type) -> dict[str, Any]:
    """The annotations of a class and its bases, with their ranges."""
    return get_type_hints(kind, include_extras=True)


def names_of(hint: Any) -> tuple[str, ...]:
    """The names that a `Literal`, or a `StrEnum` beside plain texts, allows; else none."""
    for one in (hint, *get_args(hint)):
        if isinstance(one, type) and issubclass(one, StrEnum):
            return tuple(map(str, one))
        if get_origin(one) is Literal:
            return tuple(get_args(one))
    return ()


def _refusal(value: object, hint: Any) -> str:
    """What is allowed in its place, or nothing."""
    if value is None and type(None) in get_args(hint):
        return ""
    if names := names_of(hint):
        return "" if value in names else f"one of {', '.join(names)}"
    for kind, bounds in _bounds(hint):
        if not bounds.allows(value, kind):
            return bounds.of(kind)
    return ""


def _bounds(hint: Any) -> Iterator[tuple[type, Range]]:
    if get_origin(hint) is Annotated:
        kind, *marks = get_args(hint)
        yield from ((kind, one) for one in marks if isinstance(one, Range))
    elif type(None) in get_args(hint):
        for one in get_args(hint):
            yield from _bounds(one)
