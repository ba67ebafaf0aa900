"""Rows that a program holds, and those of a Hugging Face data set on disk.

    for row in rows_of([{"question": ..., "answer": ..., "image": PIL.Image}], name="train"):
        ...                                             # a Row

Nothing is decoded here: of a `Dataset` the pictures stay the bytes that it holds.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vigorl.core.errors import DataError
from vigorl.data.sources.rows import Row

if TYPE_CHECKING:
    from datasets import Dataset

SAVED = ("dataset_dict.json", "state.json")  # what `save_to_disk` leaves


def is_saved(path: str | os.PathLike[str]) -> bool:
    """Whether `save_to_disk` has written the folder."""
    return any((Path(path) / name).is_file() for name in SAVED)


def load_saved(path: str | os.PathLike[str]) -> Any:
    """The `Dataset`, or the `DatasetDict` of several splits, that a folder holds.

    Raises:
        DataError: It is damaged.
    """
    from datasets import load_from_disk  # takes two seconds to import

    try:
        return load_from_disk(os.fspath(path))
    except (OSError, ValueError, KeyError) as error:
        first = " ".join(str(error).split())
        raise DataError(f"is no whole data set ({first:.200}); save it again", path=path) from error


def rows_of(table: Any, *, name: str, root: Path | None = None) -> Iterator[Row | DataError]:
    """The rows of a list of dicts or of a `Dataset`.

    Args:
        table: The rows.
        name: What to call it in errors and ids, such as "train".
        root: Where picture names start; the working directory when None.
    Returns:
        In place of a row that is no dict, its error.
    Raises:
        DataError: It is no table.
    """
    library = sys.modules.get("datasets")  # who holds a Dataset has imported it
    if library is not None and isinstance(table, library.Dataset):
        table = _undecoded(table)
    elif not isinstance(table, Sequence) or isinstance(table, str):
        raise DataError(f"{type(table).__name__} is no list of rows and no Dataset", path=name)
    place = Path(name)
    for number in range(len(table)):
        values, at = table[number], f"row {number + 1}"
        if not isinstance(values, Mapping):
            yield DataError(f"{at}: must be a dict, got {values!r:.60}", path=place)
            continue
        filled = {key: None if _is_nan(value) else value for key, value in values.items()}
        yield Row(filled, place, name=at, root=root or Path.cwd(), pictures_anywhere=root is None)


def _is_nan(value: object) -> bool:
    """As pandas writes an empty cell."""
    return isinstance(value, float) and math.isnan(value)


def _undecoded(table: Dataset) -> Dataset:
    """A data set whose pictures stay bytes."""
    from datasets import Image, List

    for name, kind in table.features.items():
        if isinstance(kind, Image):
            table = table.cast_column(name, Image(decode=False))
        elif isinstance(kind, List) and isinstance(kind.feature, Image):
            table = table.cast_column(name, List(Image(decode=False)))
    return table.with_format(None)
