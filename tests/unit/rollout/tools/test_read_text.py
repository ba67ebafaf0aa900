from __future__ import annotations

import sys

import pytest
from PIL import Image, ImageDraw, ImageFont

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box, Size
from vigorl.core.media import FileImage, Fill, ImageView
from vigorl.core.protocols import Scene
from vigorl.rollout.tools import read_text
from vigorl.rollout.tools.read_text import ReadText, TextLine


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> ImageView:
    """Two lines in 320 x 160, shown at half of that."""
    picture = Image.new("RGB", (320, 160), "white")
    pen = ImageDraw.Draw(picture)
    pen.text((20, 20), "OPEN 9-17", fill="black", font=ImageFont.load_default(28))
    pen.text((120, 110), "Platform 4", fill=(200, 0, 0), font=ImageFont.load_default(20))
    path = tmp_path_factory.mktemp("text") / "a.png"
    picture.save(path)
    return ImageView(FileImage(str(path)), Size(320, 160), Size(160, 80))


def test_the_lines_of_a_picture_come_with_their_places(view: ImageView) -> None:
    hidden = view.edited(Fill())  # what is drawn on it is not read
    seen = ReadText().call({}, scene=Scene((hidden,)))
    first, second = str(seen.parts[0]).splitlines()
    assert first.startswith("OPEN 9-17 [")
    assert second.startswith("Platform 4 [")
    left, top, right, bottom = map(float, second.rpartition("[")[2].rstrip("]").split(", "))
    assert Box(52, 48, 120, 72).covers(
        Box(left, top, right, bottom)
    )  # (120, 110) shown is (60, 55)


def test_a_box_is_read_alone_in_the_frame_of_the_whole(
    view: ImageView, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[int, int]] = []

    def lines_of(picture: Image.Image) -> list[TextLine]:
        read.append(picture.size)
        return [TextLine("Platform 4", (20, 20, 120, 40), 0.9)]

    monkeypatch.setattr(read_text, "lines_of", lines_of)
    seen = ReadText().call({"bbox": [50, 45, 140, 75]}, scene=Scene((view,)))
    assert read == [(180, 60)]
    assert seen.parts == ("Platform 4 [60, 55, 110, 65]",)  # (100 + 20) / 2
    assert seen.focus is not None
    assert seen.focus.box == Box(100, 90, 280, 150)


def test_what_is_unsure_or_too_long_is_left_out(
    view: ImageView, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [TextLine(f"line {n}", (0, 0, 20, 10), 1 - n / 10) for n in range(9)]
    monkeypatch.setattr(read_text, "_lines", lambda part, most: lines)
    seen = ReadText(min_score=0.55, text_characters=70).call({}, scene=Scene((view,)))
    assert seen.parts == (
        "line 0 [0, 0, 10, 5]\nline 1 [0, 0, 10, 5]\nline 2 [0, 0, 10, 5]\n"
        "(2 more lines: read a smaller part)",
    )
    monkeypatch.setattr(read_text, "_lines", lambda part, most: [])
    assert ReadText().call({}, scene=Scene((view,))).parts == ("No text was found.",)


def test_without_the_engine_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(ConfigError, match=r"tools=\[read_text\] .* pip install 'vigorl\[ocr\]'"):
        ReadText()
