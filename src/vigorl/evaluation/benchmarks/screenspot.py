"""ScreenSpot-v2 and -Pro: a point in the box of the element that an instruction speaks of.

Quoted by the share of points inside over all questions; GUI papers often print the mean of the
cells (platform or group, times text or icon) as "Avg", which is another number. Questions on one
screenshot are a cluster. The budget of pixels, which moves Pro by tens of points, is in the
protocol's settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vigorl.core.records import TaskRecord
from vigorl.data.sources.screenspot import read_screenspot_pro, read_screenspot_v2
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


def _platform(file: Path) -> str:
    """Of a file of ScreenSpot-v2; its rows name sites and systems instead."""
    return file.stem.removeprefix("screenspot_").removesuffix("_v2")
