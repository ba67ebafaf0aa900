"""Dialogs that are kept to be learned from: `data=traces data.path=FOLDER/dialogs.jsonl`.

FOLDER/dialogs.jsonl    a line each, as `data.sources.sft_json` reads them
FOLDER/pictures/        what they are about, named by content
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

from vigorl.core.digests import sha256_of
from vigorl.core.files import written_whole
from vigorl.core.media import file_of
from vigorl.core.records import TraceRecord
from vigorl.data.sources.sft_json import read_sft_json, write_sft

_LOCK = Lock()  # people save at once


@dataclass(frozen=True, slots=True)
class SavedDialogs:
    """A folder of records that grows; made with the first.

    Attributes:
        folder: Where.
    """

    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / "dialogs.jsonl"

    def add(self, record: TraceRecord) -> int:
        """Keep a dialog and a copy of its picture; one of the same id is replaced. Returns how many
        there are.

        Raises:
            DataError: The file is damaged.
        """
        pictures = self.folder / "pictures"
        with _LOCK:
            pictures.mkdir(parents=True, exist_ok=True)
            names = tuple(_copied(one, pictures) for one in record.task.images)
            kept = replace(record, task=replace(record.task, images=names))
            before = read_sft_json(self.path) if self.path.is_file() else []
            records = [*(one for one in before if one.task.id != kept.task.id), kept]
            with written_whole(self.path) as part:
                write_sft(records, part)
        return len(records)


def _copied(name: str, folder: Path) -> str:
    """The name of a copy of the picture; of a frame, its video is copied whole."""
    file = Path(file_of(name))
    copy = folder / f"{sha256_of(file)[:16]}{file.suffix.lower()}"
    if not copy.is_file():
        with written_whole(copy) as part:
            shutil.copyfile(file, part)
    return f"{copy}{name[len(file_of(name)) :]}"
