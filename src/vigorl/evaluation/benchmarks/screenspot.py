"""ScreenSpot-v2 and -Pro: a point in the box of the element that an instruction speaks of.

Quoted by the share of points inside over all questions; GUI papers often print the mean of the
cells (platform or group, times text or icon) as "Avg", which is another number. Questions on one
screenshot are a cluster. The budget of pixels, which moves Pro by tens of points, is in the
protocol's settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from vigorl.core.errors import DataError
from vigorl.core.records import TaskRecord
from vigorl.data.sources.screenspot import read_screenspot_pro, read_screenspot_v2
from vigorl.evaluation.benchmarks.benchmark import (
    Benchmark,
    Metric,
    mean_of_categories,
    mean_score,
)


@dataclass(frozen=True, kw_only=True)
class _ScreenSpot(Benchmark):
    """What both have in common."""

    @property
    def metrics(self) -> Mapping[str, Metric]:
        return {"overall": mean_score, "mean of cells": mean_of_categories}

    def _files(self, pattern: str) -> list[Path]:
        found = sorted(Path(self.root).glob(pattern))
        if not found:
            raise DataError(f"there is no {pattern}; {self.download}", path=self.root)
        return found


@dataclass(frozen=True, kw_only=True)
class ScreenSpotV2(_ScreenSpot):
    """ScreenSpot-v2: 1,272 instructions; cells are mobile, desktop and web, text and icon."""

    name: ClassVar[str] = "screenspot_v2"
    download: ClassVar[str] = (
        "hf download OS-Copilot/ScreenSpot-v2 --repo-type dataset --local-dir path "
        "(and unzip path/screenspotv2_image.zip there)"
    )

    def tasks(self) -> Sequence[TaskRecord]:
        unpacked = Path(self.root) / "screenspotv2_image"
        pictures = unpacked if unpacked.is_dir() else Path(self.root) / "images"
        return [
            replace(task, category=f"{_platform(file)}/{task.category.rpartition('/')[2]}")
            for file in self._files("screenspot_*_v2.json")
            for task in read_screenspot_v2(file, image_root=pictures)
        ]


@dataclass(frozen=True, kw_only=True)
class ScreenSpotPro(_ScreenSpot):
    """ScreenSpot-Pro: 1,581 instructions on screens of up to 3840x2160; cells are its six groups of
    programs, text and icon.
    """

    name: ClassVar[str] = "screenspot_pro"
    download: ClassVar[str] = (
        "hf download likaixin/ScreenSpot-Pro --repo-type dataset --local-dir path"
    )

    def tasks(self) -> Sequence[TaskRecord]:
        pictures = Path(self.root) / "images"
        return [
            task
            for file in self._files("annotations/*.json")
            for task in read_screenspot_pro(file, image_root=pictures)
        ]


def _platform(file: Path) -> str:
    """Of a file of ScreenSpot-v2; its rows name sites and systems instead."""
    return file.stem.removeprefix("screenspot_").removesuffix("_v2")
