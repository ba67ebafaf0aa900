from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vigorl.core.files import written_whole


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("old")
    with written_whole(path) as part:
        part.write_text("ne")
        assert path.read_text() == "old"
        part.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_threads_that_write_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with written_whole(path) as part, ThreadPoolExecutor(1) as other:
        part.write_text("first")
        other.submit(_write, path, "second").result()
        assert path.read_text() == "second"
    assert path.read_text() == "first"


def _write(path: Path, text: str) -> None:
    with written_whole(path) as part:
        part.write_text(text)


def test_an_error_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("old")
    with pytest.raises(KeyError), written_whole(path) as part:  # noqa: PT012
        part.write_text("half")
        raise KeyError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
