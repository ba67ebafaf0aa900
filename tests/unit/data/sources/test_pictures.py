"""Pictures of tables as files."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vigorl.core.errors import DataError
from vigorl.core.geometry import Size
from vigorl.data.images import FORMATS, read_size
from vigorl.data.sources.pictures import FOLDER, Pictures
from vigorl.data.sources.rows import Row
from vigorl.data.sources.tables import table_rows


def picture(colour: str = "red", kind: str = "PNG") -> bytes:
    held = io.BytesIO()
    Image.new("RGB", (30, 20), colour).save(held, kind)
    return held.getvalue()


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


RED, BLUE = picture("red"), picture("blue")


def row(cell: Any, *, root: Path, index: Any = 0) -> Row:
    return Row({"index": index, "image": cell}, root / "t.tsv", 2, root=root)


def held(files: tuple[str, ...]) -> list[bytes]:
    return [Path(file).read_bytes() for file in files]


@pytest.mark.parametrize(
    "cell",
    [
        RED,
        {"bytes": RED, "path": "gone.png"},
        [{"bytes": RED, "path": None}],
        text(RED),
        base64.encodebytes(RED).decode(),
        f"data:image/png;base64,{text(RED)}",
        f"['{text(RED)}']",
        f'["{text(RED)}"]',
        {"bytes": text(RED), "path": None},
    ],
    ids=lambda cell: str(cell)[:12],
)
def test_every_form_of_a_picture_is_the_same_file(tmp_path: Path, cell: Any):
    (file,) = Pictures().files(row(cell, root=tmp_path), "image")
    assert Path(file).parent == tmp_path / FOLDER
    assert Path(file).read_bytes() == RED
    assert Pictures().files(row(RED, root=tmp_path), "image") == (file,)
    assert len(list((tmp_path / FOLDER).iterdir())) == 1


def test_several_pictures_keep_their_order_and_none_is_none(tmp_path: Path):
    files = Pictures().files(row(f"['{text(RED)}', '{text(BLUE)}']", root=tmp_path), "image")
    assert held(files) == [RED, BLUE]
    for nothing in (None, "", [], {"bytes": None, "path": None}):
        assert Pictures().files(row(nothing, root=tmp_path), "image") == ()


def test_names_of_files_stay_below_the_root(tmp_path: Path):
    (tmp_path / "MMVP Images").mkdir()
    (tmp_path / "MMVP Images/1.png").write_bytes(RED)
    (file,) = Pictures().files(row("./MMVP Images/1.png", root=tmp_path), "image")
    assert Path(file).read_bytes() == RED
    with pytest.raises(DataError, match=r"t\.tsv:2: picture '\.\./1\.png' leads out"):
        Pictures().files(row("../1.png", root=tmp_path), "image")
    with pytest.raises(DataError, match=r"picture 'gone\.png' is not in"):
        Pictures().files(row({"bytes": None, "path": "gone.png"}, root=tmp_path), "image")


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        (b"<html>", r"t\.tsv:2: a picture of no known kind: 6 bytes that begin b'<html>'"),
        (text(RED)[:-3], r"t\.tsv:2: 'image' is no whole base64 text"),
        (text(RED)[:20] + "%" + text(RED)[21:], "no whole base64 text"),
        ("['abc", "begins as a list: is no list"),
        (3.5, "holds no picture: 3.5"),
        ("7", r"'image' points to the picture of row '7', and there is no such row"),
    ],
)
def test_what_is_no_picture_is_named(tmp_path: Path, cell: Any, fault: str):
    (tmp_path / "t.tsv").write_text("index\timage\n0\t\n")
    with pytest.raises(DataError, match=fault):
        Pictures().files(row(cell, root=tmp_path), "image")
    with pytest.raises(DataError, match=r"no column 'figure'; columns: index, image"):
        Pictures().files(row(cell, root=tmp_path), "figure")


def test_a_short_cell_is_the_picture_of_another_row_also_of_a_later_one(tmp_path: Path):
    file = tmp_path / "t.tsv"
    cells = {"8": "10", "9": text(RED), "10": text(BLUE), "11": "9", "12": "9"}
    file.write_text("index\timage\n" + "".join(f"{k}\t{cell}\n" for k, cell in cells.items()))
    pictures = Pictures()
    found = [pictures.files(one, "image") for one in table_rows(file) if isinstance(one, Row)]
    assert [held(one) for one in found] == [[BLUE], [RED], [BLUE], [RED], [RED]]
    # a filter may have left out the row that has the picture
    *_, last = (one for one in table_rows(file) if isinstance(one, Row))
    assert held(Pictures().files(last, "image")) == [RED]


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_that_is_decoded_is_known_by_its_first_bytes(tmp_path: Path, kind: str):
    file = Pictures().write(picture(kind=kind), row("", root=tmp_path))
    assert read_size(file) == Size(30, 20)


def test_a_folder_that_takes_nothing_sends_them_to_the_cache(tmp_path: Path):
    root, cache = tmp_path / "data", tmp_path / "cache"
    root.mkdir()
    (root / FOLDER).write_text("a file where the folder should be")
    (file,) = Pictures(cache=cache).files(row(RED, root=root), "image")
    assert Path(file).parent == cache / FOLDER
    cache = root / FOLDER
    with pytest.raises(DataError, match=r"cannot be written to .*data nor to"):
        Pictures(cache=cache).files(row(RED, root=root), "image")


def test_a_file_cut_short_is_written_again_and_a_whole_one_is_left(tmp_path: Path):
    one = row(RED, root=tmp_path)
    (file,) = Pictures().files(one, "image")
    os.truncate(file, 10)
    assert held(Pictures().files(one, "image")) == [RED]
    os.utime(file, (1, 1))
    Pictures().files(one, "image")
    assert os.path.getmtime(file) == 1
