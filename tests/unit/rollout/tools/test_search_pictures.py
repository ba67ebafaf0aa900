from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from tests import builders
from tests.unit.held_lock import said_while_held
from vigorl.core.errors import ConfigError, DataError
from vigorl.core.geometry import Size
from vigorl.core.media import FileImage
from vigorl.rollout.tools import search_pictures
from vigorl.rollout.tools.read_text import TextLine
from vigorl.rollout.tools.search_pictures import NOTHING, SearchPictures, WordIndex

NAMES = ("report/page_1.png", "report/page_2.png", "cat.jpg")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (60 + number, 30), "white").save(tmp_path / name)
    rows = [("report/page_1.png", "revenue by region"), ("report/page_2.png", "costs by region")]
    lines = [json.dumps({"file": file, "text": text}) for file, text in rows]
    (tmp_path / "captions.jsonl").write_text("\n".join(lines))
    return tmp_path


def test_ranks_are_those_of_bm25() -> None:
    index = WordIndex(["a a b", "a c", "b c d d"])  # mean length 3
    # of "a": 2 / (2 + 1.2) = 0.625 in the first, 1 / (1 + 0.9) = 0.526 in the second
    assert index.ranked("A!") == [0, 1]
    assert index.ranked("c a") == [1, 0, 2]
    assert index.ranked("e") == []


def test_each_call_shows_the_best_that_was_not_shown(folder: Path) -> None:
    tool = SearchPictures(folder=str(folder), captions=str(folder / "captions.jsonl"), view_px=30)
    trunk, scene = tool.open(builders.task()), builders.scene()
    first = trunk.call({"query": "costs of a region"}, scene=scene)
    assert first.parts[0] == "report/page_2.png:\n"
    (view,) = first.views
    assert view.source == FileImage(str(folder / "report/page_2.png"))
    assert (view.original, view.size) == (Size(61, 30), Size(30, 15))
    branch = trunk.fork()
    for opened in (branch, trunk):  # neither knows what the other has shown
        assert opened.call({"query": "region"}, scene=scene).parts[0] == "report/page_1.png:\n"
        assert opened.call({"query": "region"}, scene=scene).parts == (NOTHING,)
    several = SearchPictures(folder=str(folder), most=2).open(builders.task())
    assert several.call({"query": "page"}, scene=scene).parts[::2] == (
        "report/page_1.png:\n",
        "\nreport/page_2.png:\n",
    )


def test_what_is_written_in_pictures_is_read_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def lines_of(picture: Image.Image) -> list[TextLine]:
        read.append(picture.width)
        return [TextLine(f"width {picture.width}", (0, 0, 1, 1), 1.0)]

    monkeypatch.setattr(search_pictures, "lines_of", lines_of)
    for _ in range(2):
        tool = SearchPictures(folder=str(folder), read=True, index=str(tmp_path / "index"))
        seen = tool.open(builders.task()).call({"query": "61"}, scene=builders.scene())
        assert seen.parts[0] == "report/page_2.png:\n"
    assert read == [62, 60, 61]
    (kept,) = (tmp_path / "index").glob("*.json")
    kept.write_text("{")  # damaged: they are read again
    tool = SearchPictures(folder=str(folder), read=True, index=str(tmp_path / "index"))
    assert tool.words.ranked("61") == [2]
    Image.new("RGB", (99, 30)).save(folder / "cat.jpg")
    assert SearchPictures(
        folder=str(folder), read=True, index=str(tmp_path / "index")
    ).words.ranked("99") == [0]
    assert read == [62, 60, 61, 62, 60, 61, 99]  # of those that are the same none


def test_what_was_read_before_a_kill_is_not_read_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def lines_of(picture: Image.Image) -> list[TextLine]:
        if len(read) == 2:
            read.append(0)
            raise KeyboardInterrupt
        read.append(picture.width)
        return []

    monkeypatch.setattr(search_pictures, "lines_of", lines_of)
    monkeypatch.setattr(search_pictures, "_SAVE_S", 0.0)
    tool = SearchPictures(folder=str(folder), read=True, index=str(tmp_path / "index"))
    with pytest.raises(KeyboardInterrupt):
        tool.open(builders.task())  # before any call
    tool.open(builders.task())
    assert read == [62, 60, 0, 61]


def test_who_waits_for_another_process_says_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(search_pictures, "lines_of", lambda _: [])
    tool = SearchPictures(folder=str(folder), read=True, index=str(tmp_path / "index"))
    tool.open(builders.task())
    assert not caplog.messages
    (kept,) = (tmp_path / "index").glob("*.json")
    again = SearchPictures(folder=str(folder), read=True, index=str(tmp_path / "index"))
    wait = partial(again.open, builders.task())
    messages = said_while_held(kept, wait, caplog=caplog, monkeypatch=monkeypatch)
    said = f"another process reads {folder}; waiting until it lets go of {kept}.lock"
    assert [said in message for message in messages] == [True]


def test_a_folder_or_captions_that_are_none_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tools\.search_pictures\.folder=.*no such folder"):
        SearchPictures(folder=str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no picture is in it"):
        SearchPictures(folder=str(tmp_path / "empty"))
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"file": "a", "text": "b"}\n{"name": 1}\n')
    with pytest.raises(DataError, match=r"bad\.jsonl:2: a caption is a line like"):
        _ = SearchPictures(folder=str(folder), captions=str(bad)).words
