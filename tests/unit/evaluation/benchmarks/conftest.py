"""Downloads in small: rows written as the benchmarks' own files hold them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image


def png(shade: int = 0, *, size: tuple[int, int] = (40, 30)) -> bytes:
    """A picture of one grey, so that another shade is another picture."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (shade, shade, shade)).save(buffer, "PNG")
    return buffer.getvalue()


def cell(shade: int = 0, *, size: tuple[int, int] = (40, 30)) -> dict[str, Any]:
    """A picture as Parquet holds it."""
    return {"bytes": png(shade, size=size), "path": None}


Write = Callable[[str, Sequence[Mapping[str, Any]]], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes rows below `tmp_path` in the form that the name's ending says, and gives the root."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def rows(name: str, values: Sequence[Mapping[str, Any]]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist(list(values)), path)
        elif path.suffix == ".json":
            path.write_text(json.dumps(list(values)))
        elif path.suffix == ".jsonl":
            path.write_text("\n".join(map(json.dumps, values)))
        else:
            lines = [list(values[0]), *([str(one) for one in row.values()] for row in values)]
            path.write_text("\n".join("\t".join(line) for line in lines) + "\n")
        return tmp_path

    return rows


@pytest.fixture
def picture(tmp_path: Path) -> Callable[..., str]:
    """Writes a picture file below `tmp_path`."""

    def save(name: str, *, shade: int = 0, size: tuple[int, int] = (40, 30)) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(shade, size=size))
        return str(path)

    return save
