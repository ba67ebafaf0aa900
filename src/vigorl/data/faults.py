"""What becomes of rows that cannot be used: all are named at once, or left out and counted."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from vigorl.core.errors import DataError
from vigorl.data.frames import Frames

NAMED = 20  # of the bad rows of one file; the others are counted


@dataclass(frozen=True, slots=True)
class Rules:
    """How strict a reader is.

    Attributes:
        skip_bad_rows: Rows that cannot be used are left out and counted, instead of one error that
            names them all.
        pictures_anywhere: Picture names may lead out of the folder where they start.
        decode_pictures: Every picture is decoded before the run begins, not its header alone.
        frames: Which frames of a video are shown; None: there is none.
    """

    skip_bad_rows: bool = False
    pictures_anywhere: bool = False
    decode_pictures: bool = False
    frames: Frames | None = None


STRICT = Rules()

_LOG = logging.getLogger(__name__)
_NOTED: ContextVar[list[DataError] | None] = ContextVar("noted", default=None)


@contextmanager
def noted() -> Iterator[list[DataError]]:
    """Inside, rows that cannot be used are left out whatever the rules say, and pictures may leak:
    all of it is noted in the list, for whoever inspects a data set.
    """
    found: list[DataError] = []
    token = _NOTED.set(found)
    try:
        yield found
    finally:
        _NOTED.reset(token)


def refuse(fault: DataError) -> None:
    """Raise a fault of a whole data set, or note it."""
    found = _NOTED.get()
    if found is None:
        raise fault
    found.append(fault)


def settle(faults: Sequence[DataError], *, num_rows: int, skip: bool) -> None:
    """Stop for rows that cannot be used, or say which are left out.

    Args:
        faults: One per bad row, in their order.
        num_rows: Good and bad ones.
        skip: Whether bad rows are left out (`data.skip_bad_rows`).
    Raises:
        DataError: There are some and they are not left out, or nothing else is left; one line that
            names the first `NAMED` by file and line, and counts the others.
    """
    if not faults:
        return
    if (found := _NOTED.get()) is not None:
        found += faults
        return
    if len(faults) == 1 and not skip:
        (fault,) = faults
        raise DataError(
            f"{fault.message}; data.skip_bad_rows=true leaves it out",
            path=fault.path,
            line=fault.line,
        ) from fault
    text = f"{len(faults)} of {num_rows} rows cannot be used: " + "; ".join(
        map(str, faults[:NAMED])
    )
    if len(faults) > NAMED:
        text += f"; and {len(faults) - NAMED} more"
    if not skip:
        raise DataError(f"{text}; data.skip_bad_rows=true leaves them out") from faults[0]
    if len(faults) == num_rows:
        raise DataError(f"{text}; none is left") from faults[0]
    _LOG.warning("left out, as data.skip_bad_rows=true says: %s", text)
