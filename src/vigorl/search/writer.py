"""Traces into the files that supervised training reads; apart, so that the rest of the room needs
no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.records import TraceRecord
from vigorl.data.sources.sft_json import write_sft_json, write_sft_jsonl


def write_traces(
    records: Sequence[TraceRecord], path: str | Path, *, image_root: str | Path | None = None
) -> float:
    """Write traces as the released supervised data; `read_sft_json` reads them back.

    Args:
        records: At least one.
        path: ".json" for one list, as released, or ".jsonl" for a line each.
        image_root: Where picture names start; the file's own folder when None.
    Returns:
        Bytes per trace.
    Raises:
        ConfigError: Another ending.
        DataError: No record.
    """
    path = Path(path)
    writers = {".json": write_sft_json, ".jsonl": write_sft_jsonl}
    if path.suffix not in writers:
        raise ConfigError(f"path must end in one of {sorted(writers)}, got {path.name!r}")
    if not records:
        raise DataError("there is no trace to write", path=path)
    writers[path.suffix](records, path, image_root=image_root)
    return path.stat().st_size / len(records)
