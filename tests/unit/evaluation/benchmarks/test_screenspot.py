"""ScreenSpot-v2 and -Pro as they are downloaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box, Size
from vigorl.core.media import FileImage, ImageView
from vigorl.data.images import read_size
from vigorl.evaluation.benchmarks.benchmark import cluster_of
from vigorl.evaluation.benchmarks.screenspot import (
    ScreenSpotPro,
    ScreenSpotProLR,
    ScreenSpotV2,
)


def save(path: Path, *, size: tuple[int, int] = (100, 80)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


def row(kind: str, **fields: object) -> dict[str, object]:
    return {"img_filename": "a.png", "bbox": [10, 20, 30, 40], "instruction": "Close.", **fields,
            "ui_type": kind, "data_type": kind}  # fmt: skip


@pytest.mark.parametrize("folder", ["screenspotv2_image", "images"])
def test_v2_has_a_cell_per_platform_and_type(tmp_path: Path, folder: str):
    save(tmp_path / folder / "a.png")
    for platform in ("web", "mobile"):
        rows = [row("icon", data_source="shop"), row("text", data_source="ios")]
        (tmp_path / f"screenspot_{platform}_v2.json").write_text(json.dumps(rows))
    bench = ScreenSpotV2(name="v2", download="", root=str(tmp_path))
    tasks = bench.tasks()
    assert [task.category for task in tasks] == [
        "mobile/icon", "mobile/text", "web/icon", "web/text",
    ]  # fmt: skip
    assert len({task.id for task in tasks}) == 4
    assert {cluster_of(task) for task in tasks} == {f"{folder}/a.png"}
    view = ImageView(FileImage(tasks[0].images[0]), Size(100, 80), Size(100, 80))
    assert tasks[0].scorer.boxes == (Box(10, 20, 40, 60),)  # x, y, width, height
    assert tasks[0].is_right("(40, 60)", view=view)
    assert not tasks[0].is_right("(41, 60)", view=view)


def test_pro_has_corners_and_groups(tmp_path: Path):
    save(tmp_path / "images/vscode/a.png")
    (tmp_path / "annotations").mkdir()
    rows = [row("icon", img_filename="vscode/a.png", group="Dev", id="dev_1", img_size=[100, 80])]
    (tmp_path / "annotations/vscode_macos.json").write_text(json.dumps(rows))
    (task,) = ScreenSpotPro(name="pro", download="", root=str(tmp_path)).tasks()
    assert (task.id, task.category) == ("dev_1", "Dev/icon")
    assert task.scorer.boxes == (Box(10, 20, 30, 40),)


@pytest.mark.parametrize("kind", [ScreenSpotV2, ScreenSpotPro])
def test_another_folder_is_refused_with_the_command(tmp_path: Path, kind: type):
    with pytest.raises(
        ConfigError, match=r"holds no .*json, nor it/.*json; get it by\n    hf download"
    ):
        kind(name="it", download="hf download", root=str(tmp_path)).tasks()


def test_pro_lr_shrinks_screenshots_once_and_scales_boxes_as_floats(tmp_path: Path):
    save(tmp_path / "images/a.png", size=(160, 120))
    save(tmp_path / "images/small.png", size=(60, 40))
    (tmp_path / "annotations").mkdir()
    rows = [
        row("icon", group="Dev", id="a", bbox=[10, 21, 30, 41]),
        row("icon", group="Dev", id="small", img_filename="small.png"),
    ]
    (tmp_path / "annotations/vscode.json").write_text(json.dumps(rows))
    bench = ScreenSpotProLR(name="lr", download="", root=str(tmp_path), longest_side_px=60)
    shrunken, small = bench.tasks()
    made = Path(shrunken.images[0])
    assert read_size(made) == Size(60, 45)
    assert shrunken.scorer.boxes == (Box(3.75, 7.875, 11.25, 15.375),)  # times 60 / 160
    assert small.images == (str(tmp_path / "images/small.png"),)
    written = made.stat().st_mtime_ns
    assert bench.tasks()[0].images == (str(made),)
    assert made.stat().st_mtime_ns == written
    made.write_bytes(b"")  # a made picture that is damaged is made again
    bench.tasks()
    assert read_size(made) == Size(60, 45)
    view = ImageView(FileImage(str(made)), Size(60, 45), Size(60, 45))
    assert shrunken.is_right("(4, 8)", view=view)
    assert not shrunken.is_right("(3, 8)", view=view)


def test_pro_lr_checks_its_side():
    with pytest.raises(ConfigError, match=r"data\.longest_side_px=0 must be from 28"):
        ScreenSpotProLR(name="lr", download="", root="x", longest_side_px=0)
