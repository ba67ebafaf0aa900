"""My own benchmark with its own way to judge: estimate a number, and near is half right.

    python examples/my_benchmark.py my_counts
    PYTHONPATH=examples python -m vigorl.evaluate --config-dir examples/configs \\
        benchmark=my_benchmark data.root=my_counts

The first line writes pictures of dots and counts.csv; put your own there instead. Prompt, turns,
decoding and scorer are locked by configs/benchmark/my_benchmark.yaml: who changes one gets a score
that says so. report.json holds the protocol, its fingerprint and every question's score.
"""

from __future__ import annotations

import csv
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from vigorl.core.media import ImageView
from vigorl.core.records import TaskRecord
from vigorl.core.scoring import Scorer
from vigorl.evaluation.benchmarks.benchmark import Benchmark


@dataclass(frozen=True, slots=True)
class NearNumber(Scorer):
    """1.0 for the right whole number, 0.5 for one at most `tolerance` away, else 0.0."""

    tolerance: int

    def score(
        self, answer: str | None, task: TaskRecord, *, view: ImageView | None = None
    ) -> float:
        if answer is None or not answer.strip().isdecimal():
            return 0.0
        error = abs(int(answer) - int(task.answer))
        return 1.0 if error == 0 else 0.5 * (error <= self.tolerance)


@dataclass(frozen=True, kw_only=True)
class CountBench(Benchmark):
    """Reads counts.csv: picture, question, count. Few and many dots are its categories."""

    tolerance: int = 2

    def tasks(self) -> Sequence[TaskRecord]:
        with (self.folder / "counts.csv").open(newline="") as file:
            return [self._task(row) for row in csv.DictReader(file)]

    def _task(self, row: Mapping[str, str]) -> TaskRecord:
        return TaskRecord(
            id=row["picture"],
            question=row["question"],
            answer=row["count"],
            images=(str(self.folder / row["picture"]),),
            scorer=NearNumber(self.tolerance),
            category="few" if int(row["count"]) < 10 else "many",
        )


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["picture,question,count"]
    for count in range(4, 16):
        picture, rng = Image.new("RGB", (448, 448), "white"), random.Random(count)
        for _ in range(count):
            x, y = rng.randrange(430), rng.randrange(430)
            ImageDraw.Draw(picture).ellipse((x, y, x + 8, y + 8), fill="black")
        picture.save(folder / f"{count}.png")
        lines.append(f"{count}.png,How many dots are there?,{count}")
    (folder / "counts.csv").write_text("\n".join(lines) + "\n")
