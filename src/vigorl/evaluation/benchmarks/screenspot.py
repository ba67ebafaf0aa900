"""ScreenSpot-v2 and -Pro: a point in the box of the element that an instruction speaks of.

Quoted by the share of points inside over all questions; GUI papers often print the mean of the
cells (platform or group, times text or icon) as "Avg", which is another number. Questions on one
screenshot are a cluster. The budget of pixels, which moves Pro by tens of points, is in the
protocol's settings.

ViGoRL also reports Pro on shrunken screenshots ("Pro-LR"), of which neither files nor a script are
public: here the longest side is at most 1920, LANCZOS, and boxes are scaled without rounding.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.files import written_whole
from vigorl.core.geometry import FrameMap, Size, fit_size
from vigorl.core.records import TaskRecord
from vigorl.core.scoring.point import PointInBox, box_text
from vigorl.data.images import open_image, read_size
from vigorl.data.sources.pictures import picture_folder
from vigorl.data.sources.screenspot import read_screenspot_pro, read_screenspot_v2
from vigorl.data.sources.tables import user_cache
from vigorl.evaluation.benchmarks.benchmark import Benchmark


@dataclass(frozen=True, kw_only=True)
class ScreenSpotV2(Benchmark):
    """ScreenSpot-v2: 1,272 instructions; cells are mobile, desktop and web, text and icon."""

    def tasks(self) -> Sequence[TaskRecord]:
        unpacked = self.folder / "screenspotv2_image"
        pictures = unpacked if unpacked.is_dir() else self.folder / "images"
        return [
            replace(task, category=f"{_platform(file)}/{task.category.rpartition('/')[2]}")
            for file in self.files("screenspot_*_v2.json")
            for task in read_screenspot_v2(file, image_root=pictures, rules=self.rules)
        ]


@dataclass(frozen=True, kw_only=True)
class ScreenSpotPro(Benchmark):
    """ScreenSpot-Pro: 1,581 instructions on screens of up to 3840x2160; cells are its six groups of
    programs, text and icon.
    """

    def tasks(self) -> Sequence[TaskRecord]:
        pictures = self.folder / "images"
        return [
            task
            for file in self.files("annotations/*.json")
            for task in read_screenspot_pro(file, image_root=pictures, rules=self.rules)
        ]


@dataclass(frozen=True, kw_only=True)
class ScreenSpotProLR(ScreenSpotPro):
    """ScreenSpot-Pro on shrunken screenshots, which are made once, beside the originals.

    Attributes:
        longest_side_px: Of a screenshot as it is asked about; smaller ones stay as they are.
    """

    longest_side_px: int = 1920

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 28 <= self.longest_side_px <= 100_000:
            raise ConfigError(
                f"data.longest_side_px={self.longest_side_px} must be from 28 to 100000"
            )

    def tasks(self) -> Sequence[TaskRecord]:
        place = hashlib.sha256(str(self.folder.resolve()).encode()).hexdigest()[:8]
        made = picture_folder(self.folder, cache := user_cache())
        if made is None:
            raise ConfigError(f"shrunken screenshots cannot be written to {self.root} nor {cache}")
        folder = made / f"longest_{self.longest_side_px}_{place}"
        return [self._shrunken(task, folder) for task in super().tasks()]

    def _shrunken(self, task: TaskRecord, folder: Path) -> TaskRecord:
        (path,), (box,) = task.images, task.scorer.boxes
        size = read_size(path, source=task.source)
        fitted = fit_size(size, self.longest_side_px)
        if fitted == size:
            return task
        name = os.path.relpath(path, self.folder / "images").replace("..", "up")
        made = (folder / name).with_suffix(".png")
        if not _has_size(made, fitted):
            made.parent.mkdir(parents=True, exist_ok=True)
            shrunken = open_image(path, source=task.source).resize(
                (fitted.width, fitted.height), Image.Resampling.LANCZOS
            )
            with written_whole(made) as part:
                shrunken.save(part)
        box = FrameMap(size, fitted).box(box)
        return replace(
            task, images=(str(made),), answer=box_text(box), scorer=PointInBox(box), targets=(box,)
        )


def _has_size(path: Path, size: Size) -> bool:
    """Whether a picture is there, whole and of that size."""
    try:
        return path.is_file() and read_size(path) == size
    except DataError:
        return False


def _platform(file: Path) -> str:
    """Of a file of ScreenSpot-v2; its rows name sites and systems instead."""
    return file.stem.removeprefix("screenspot_").removesuffix("_v2")
