"""Splitting records without leaking pictures, and naming exactly what a run was fed."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TypeVar

from vigorl.core.digests import sha256_of
from vigorl.core.errors import ConfigError, DataError
from vigorl.core.media import file_of
from vigorl.core.records import TaskRecord, TraceRecord
from vigorl.data.plain import to_plain
from vigorl.data.sources.files import all_names, chosen

_LOG = logging.getLogger(__name__)
Record = TypeVar("Record", TaskRecord, TraceRecord)


def split_by_image(
    records: Sequence[Record], *, holdout_frac: float, seed: int = 0
) -> tuple[Sequence[Record], Sequence[Record]]:
    """Hold out whole pictures: no picture is on both sides, not even as a copy; both keep the
    input's order.

    Which pictures are held out depends on the seed and the record ids alone, not on the records'
    order or on where they lie.

    Args:
        records: Tasks or traces; those that share a picture, even through a third one, stay
            together.
        holdout_frac: Share of the records to hold out, in [0, 1); approached from below, but at
            least one picture if above 0.
        seed: Another seed, another split.
    Returns:
        (train, held out).
    Raises:
        ConfigError: `holdout_frac` is outside [0, 1).
        DataError: All records share one picture, so nothing can be held out.
    """
    if not 0 <= holdout_frac < 1:
        raise ConfigError(f"holdout_frac must be in [0, 1), got {holdout_frac}")
    if holdout_frac == 0:
        return records, []
    names = list(all_names(records))
    groups = _groups_by_image([images for _, *images in names])
    if len(groups) < 2:
        raise DataError(
            f"{len(records)} records share {len(groups)} picture(s); nothing can be held out "
            "without showing it in training as well"
        )
    ordered = sorted(groups, key=lambda group: _lot(seed, [names[i][0] for i in group]))
    limit, held = holdout_frac * len(records), set[int]()
    for group in ordered[:-1]:
        if not held or len(held) + len(group) <= limit:
            held.update(group)
    train = chosen(records, (i for i in range(len(records)) if i not in held))
    return train, chosen(records, sorted(held))


def fingerprint(records: Iterable[TaskRecord | TraceRecord]) -> str:
    """The sha256 of what records say, wherever they lie: all fields but `source`, and pictures by
    name and content.

    Returns:
        64 hexadecimal digits; another order of the records gives another value.
    Raises:
        DataError: A picture cannot be read.
    """
    total = hashlib.sha256()
    for record in records:
        task = task_of(record)
        pictures = [[Path(path).name, _content(path)] for path in task.images]
        bare = replace(task, images=(), source="")
        row = to_plain(replace(record, task=bare) if isinstance(record, TraceRecord) else bare)
        said = row["task"] if isinstance(record, TraceRecord) else row
        for key in ("cluster", "tags"):  # where they say nothing, as before there were any
            if not said[key]:
                del said[key]
        total.update(json.dumps([row, pictures], sort_keys=True).encode() + b"\n")
    return total.hexdigest()


def picture_files(records: Sequence[TaskRecord | TraceRecord]) -> set[str]:
    """The picture and video files of records, as absolute paths without symbolic links: two ways to
    one file are one, and so are all frames of a video.
    """
    return {_real_path(path) for _, *images in all_names(records) for path in images}


def first_copies(files: Iterable[str]) -> dict[str, str]:
    """For each picture file the first one by name that holds the same bytes, often itself; only
    files of one size are read.
    """
    by_size: dict[object, list[str]] = {}
    for file in sorted(files):
        by_size.setdefault(os.path.getsize(file) if os.path.isfile(file) else file, []).append(file)
    firsts: dict[str, str] = {}
    for alike in by_size.values():
        seen: dict[str, str] = {}
        for file in alike:
            content = _content(file) if len(alike) > 1 else ""
            firsts[file] = seen.setdefault(content, file)
    return firsts


def _real_path(path: str) -> str:
    return _follow_links(os.path.join(os.getcwd(), file_of(path)))


@cache  # a look at the disk per folder on the way; every picture is asked for several times
def _follow_links(path: str) -> str:
    return os.path.realpath(path)


def task_of(record: TaskRecord | TraceRecord) -> TaskRecord:
    """The task itself, or a trace's."""
    return record.task if isinstance(record, TraceRecord) else record


def _groups_by_image(images: Sequence[Sequence[str]]) -> list[list[int]]:
    """Indices of records that share pictures, joined as far as the sharing reaches."""
    parents = list(range(len(images)))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = index = parents[parents[index]]
        return index

    firsts = first_copies({_real_path(path) for paths in images for path in paths})
    first_with: dict[str, int] = {}
    for index, paths in enumerate(images):
        for path in paths:
            first = first_with.setdefault(firsts[_real_path(path)], index)
            parents[root(index)] = root(first)
    groups: dict[int, list[int]] = {}
    for index in range(len(images)):
        groups.setdefault(root(index), []).append(index)
    return list(groups.values())


def _lot(seed: int, ids: Sequence[str]) -> str:
    return hashlib.sha256(f"{seed}:{min(ids)}".encode()).hexdigest()


def _content(path: str) -> str:
    """The sha256 of a file."""
    path = file_of(path)
    try:
        found = os.stat(path)
        return _digest(path, found.st_size, found.st_mtime_ns)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", path=path) from error


@cache  # leaks and fingerprints ask for the same files
def _digest(path: str, size: int, mtime_ns: int) -> str:
    return sha256_of(path)


def without_pictures(
    records: Sequence[Record], pictures: set[str], key: str, split: str
) -> Sequence[Record]:
    """The records that show none of the pictures of a held-out split, nor copies of them.

    Raises:
        DataError: That leaves none.
    """
    firsts = first_copies(picture_files(records) | pictures)
    held_out = {firsts[file] for file in pictures}
    kept = [
        index
        for index, (_, *images) in enumerate(all_names(records))
        if not any(firsts[_real_path(path)] in held_out for path in images)
    ]
    if len(kept) < len(records):
        if not kept:
            raise DataError(f"all pictures of {key} are in {split} too; nothing is left")
        _LOG.warning(
            "%s: %d of %d records left out, their pictures are in %s too",
            key,
            len(records) - len(kept),
            len(records),
            split,
        )
    return chosen(records, kept)
