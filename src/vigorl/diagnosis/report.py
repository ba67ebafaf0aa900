"""The doctor's table: plain text, at most 100 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

WIDTH = 100
_NAME_WIDTH = 24


class Status(StrEnum):
    """NOTE says something that is neither right nor wrong; only FAIL makes the exit code 1."""

    OK = "ok"
    NOTE = ""
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was looked at.

    Attributes:
        status: The verdict.
        name: What was looked at.
        text: What was found, and what to do if that is wrong.
    """

    status: Status
    name: str
    text: str


def render(rows: Iterable[Row]) -> str:
    """Aligned columns: status, name, text; long texts go on below themselves."""
    indent = " " * (6 + _NAME_WIDTH + 1)
    lines: list[str] = []
    for row in rows:
        head = f"{row.status:<6}{row.name:<{_NAME_WIDTH}} "
        text = " ".join(row.text.split())
        lines += textwrap.wrap(
            text, WIDTH, initial_indent=head, subsequent_indent=indent, break_on_hyphens=False
        ) or [head.rstrip()]
    return "\n".join(lines)
