"""All of a run's tasks as they will be asked, before the first one is: what would stop a run hours
later stops it now. Doors, training and the doctor go through the same pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from vigorl.core.errors import DataError
from vigorl.core.records import TaskRecord
from vigorl.data.datasets import Record, task_of
from vigorl.data.encoding import ChatCodec
from vigorl.data.faults import Rules, settle
from vigorl.data.images import ImageStore, open_image
from vigorl.data.prompts import Prompt
from vigorl.data.sources.files import chosen


class Asks(Protocol):
    """What tasks are asked by, such as a `rollout.environment.Environment`."""

    @property
    def prompt(self) -> Prompt: ...
    @property
    def codec(self) -> ChatCodec: ...
    @property
    def images(self) -> ImageStore: ...


def dry_pass(records: Sequence[Record], asks: Asks | None, *, rules: Rules) -> Sequence[Record]:
    """The records that can be asked, in their order: the prompt is encoded, every picture's header
    is read and its size fitted, and with `rules.decode_pictures` every picture is decoded.

    Args:
        records: Tasks, or traces, of which only the questions are looked at.
        asks: None where there is no model yet: then prompts and sizes are not looked at.
        rules: What becomes of those that cannot be asked.
    Raises:
        DataError: Names them all.
    """
    broken = _broken_pictures(map(task_of, records)) if rules.decode_pictures else {}
    kept: list[int] = []
    faults: list[DataError] = []
    for index, task in enumerate(map(task_of, records)):
        try:
            if asks is not None:
                asks.codec.prompt_ids(asks.prompt.messages(task))
                for path in task.images:
                    asks.images.whole(path, source=task.source)
            if found := next((broken[path] for path in task.images if path in broken), None):
                raise found
            kept.append(index)
        except DataError as error:
            is_placed = error.path is not None
            faults.append(error if is_placed else DataError(error.message, path=task.source))
    settle(faults, num_rows=len(records), skip=rules.skip_bad_rows)
    return chosen(records, kept)


def _broken_pictures(tasks: Iterable[TaskRecord]) -> dict[str, DataError]:
    """The picture files that cannot be decoded; each is decoded once."""
    named: dict[str, str] = {}
    for task in tasks:
        for path in task.images:
            named.setdefault(path, task.source)

    def fault(path: str) -> DataError | None:
        try:
            open_image(path, source=named[path] or None)
        except DataError as error:
            return error
        return None

    with ThreadPoolExecutor() as pool:  # Pillow decodes without the interpreter's lock
        found = zip(named, pool.map(fault, named), strict=True)
        return {path: error for path, error in found if error is not None}
