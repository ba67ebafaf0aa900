"""ZoomBench: 845 questions on details, each asked of the whole picture and of the crop that matters
(inclusionAI, 2026).

How much a model gains by the crop is its zooming gap. Questions without a crop are asked of the
whole picture alone, and their share is told. Tags: "view" is full or crop; "paired" is the same for
questions that have both, else alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from vigorl.core.errors import ConfigError
from vigorl.core.records import TaskRecord
from vigorl.data.option_orders import QUESTION
from vigorl.data.sources.pictures import Pictures
from vigorl.data.sources.rows import Row
from vigorl.evaluation.benchmarks.benchmark import cluster_of
from vigorl.evaluation.benchmarks.table import TableBenchmark

_FULL, _CROP, _ALONE = "full", "crop", "alone"


@dataclass(frozen=True, kw_only=True)
class ZoomBench(TableBenchmark):
    """ZoomBench.

    Attributes:
        crops: The column of the crop, by form.
    """

    crops: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.crops, Mapping) or self.form not in self.crops:
            raise ConfigError(f"data.crops names no column for data.form={self.form}")

    @property
    def more_columns(self) -> Sequence[str]:
        return (self.crops[self.form],)

    def tasks_of(self, row: Row, pictures: Pictures) -> Sequence[TaskRecord]:
        (task,) = super().tasks_of(row, pictures)
        views = {_FULL: task.images}
        if crop := pictures.files(row, self.crops[self.form]):
            views[_CROP] = crop
        return [
            row.checked(
                replace(
                    task,
                    id=f"{task.id}/{view}",
                    images=images,
                    cluster=cluster_of(task),
                    tags={
                        **task.tags,
                        QUESTION: task.id,
                        "view": view,
                        "paired": view if len(views) > 1 else _ALONE,
                    },
                )
            )
            for view, images in views.items()
        ]
