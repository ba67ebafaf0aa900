"""What a data set holds, and what is wrong with it, before anything is trained on it."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from vigorl.core.errors import DataError
from vigorl.core.geometry import Box, Size
from vigorl.core.records import TaskRecord
from vigorl.data.datasets import first_copies, picture_files, task_of
from vigorl.data.images import ImageStore, read_size
from vigorl.data.splits import DataSplits

_NUMBER = re.compile(r"[-+]?\d[\d.,]*\s*%?")
_LOPSIDED, _FEWEST = 0.6, 20  # share of one answer, and of how many questions, that is a problem


@dataclass(frozen=True, slots=True)
class Spread:
    """Numbers in short."""

    least: float
    median: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """None of nothing."""
        return cls(min(values), statistics.median(values), max(values)) if values else None

    def __str__(self) -> str:
        return f"{self.least:,.0f} to {self.most:,.0f}, median {self.median:,.0f}"


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found.

    Attributes:
        questions: Of each split.
        pictures: Of each split, different files.
        kinds: Of answers, and how many questions have each.
        answers: The most frequent ones.
        widths, heights: Of the pictures, in pixels.
        tokens: Of a picture, as the policy sees it; None where no model says.
        boxes: Questions with target boxes.
        problems: Errors, each with its place, in the order in which they were found.
        remarks: What is allowed, and often a slip.
    """

    questions: Mapping[str, int]
    pictures: Mapping[str, int]
    kinds: Mapping[str, int]
    answers: Sequence[tuple[str, int]]
    widths: Spread | None
    heights: Spread | None
    tokens: Spread | None
    boxes: int
    problems: Sequence[str]
    remarks: Sequence[str]

    def lines(self) -> Iterator[str]:
        """For a terminal."""
        for name, number in self.questions.items():
            yield f"{name:<10} {number:,} questions on {self.pictures[name]:,} pictures"
        if self.questions:
            yield f"{'answers':<10} {', '.join(f'{n:,} {kind}' for kind, n in self.kinds.items())}"
            top = ", ".join(f"{text!r:.40} ({n:,})" for text, n in self.answers)
            yield f"{'frequent':<10} {top}"
            yield f"{'boxes':<10} {self.boxes:,} questions say what must be seen"
            yield f"{'width':<10} {self.widths} px"
            yield f"{'height':<10} {self.heights} px"
        if self.tokens is not None:
            yield f"{'tokens':<10} {self.tokens} for a whole picture"
        yield from (f"remark: {one}" for one in self.remarks)
        yield from (f"problem: {one}" for one in self.problems)
        yield f"{len(self.problems)} problems, {len(self.remarks)} remarks"


def inspect_splits(
    splits: DataSplits, faults: Sequence[DataError], *, images: ImageStore | None
) -> Inspection:
    """Look at all questions of a data set.

    Args:
        splits: Those that can be used.
        faults: What could not, and what leaks.
        images: Sizes pictures as the policy sees them; None where there is no model.
    """
    of_split: dict[str, list[TaskRecord]] = {}
    for name, records in splits.records.items():
        if records:
            split, _, what = name.partition("_")
            of_split[split if what == "tasks" else name] = [task_of(one) for one in records]
    tasks = [task for some in of_split.values() for task in some]
    files = sorted({path for task in tasks for path in task.images})
    sizes = {path: read_size(path) for path in files}
    tokens = [images.num_tokens(images.whole(path)) for path in files] if images else []
    return Inspection(
        questions={name: len(some) for name, some in of_split.items()},
        pictures={name: len(picture_files(some)) for name, some in of_split.items()},
        kinds=dict(Counter(map(kind_of, tasks)).most_common()),
        answers=Counter(task.answer for task in tasks).most_common(5),
        widths=Spread.of([size.width for size in sizes.values()]),
        heights=Spread.of([size.height for size in sizes.values()]),
        tokens=Spread.of(tokens),
        boxes=sum(bool(task.target_boxes) for task in tasks),
        problems=[*map(str, faults), *_contradictions(tasks)],
        remarks=[*_repeats(tasks), *_lopsided(tasks), *_sizes(tasks, sizes)],
    )


def kind_of(task: TaskRecord) -> str:
    """Of an answer, in words."""
    if task.options:
        return f"choices of {len(task.options)}"
    if task.scorer.is_place:
        return "places"
    said = task.answer.strip()
    if said.casefold() in ("yes", "no"):
        return "yes or no"
    if _NUMBER.fullmatch(said):
        return "numbers"
    return "single words" if len(said.split()) == 1 else "texts of several words"


def _same(tasks: Sequence[TaskRecord]) -> list[list[TaskRecord]]:
    """Questions that are asked again about the same pictures, copies of them included."""
    firsts = first_copies({path for task in tasks for path in task.images})
    groups: dict[object, list[TaskRecord]] = {}
    for task in tasks:
        key = (" ".join(task.question.split()).casefold(), tuple(firsts[p] for p in task.images))
        groups.setdefault((*key, tuple(sorted(task.options))), []).append(task)
    return [some for some in groups.values() if len(some) > 1]


def _contradictions(tasks: Sequence[TaskRecord]) -> Iterator[str]:
    for first, *others in _same(tasks):
        for other in others:
            if other.answer != first.answer:
                yield (
                    f"{other.source}: the answer is {other.answer!r:.60}, and to the same question "
                    f"about the same picture at {first.source} {first.answer!r:.60}"
                )


def _repeats(tasks: Sequence[TaskRecord]) -> Iterator[str]:
    for first, *others in _same(tasks):
        same = [other.source for other in others if other.answer == first.answer]
        if same:
            more = f" and {len(same) - 3} more" if len(same) > 3 else ""
            yield f"{first.source}: asked again at {', '.join(same[:3])}{more}"


def _lopsided(tasks: Sequence[TaskRecord]) -> Iterator[str]:
    """What can be answered without a picture."""
    if len(tasks) < _FEWEST:
        return
    (answer, number), *_ = Counter(task.answer for task in tasks).most_common(1)
    if number > _LOPSIDED * len(tasks):
        yield f"{number} of {len(tasks)} answers are {answer!r:.60}: who always says so is right"
    chosen = [task for task in tasks if task.answer in task.options]
    places = Counter(task.options.index(task.answer) for task in chosen)
    if len(chosen) >= _FEWEST and (most := places.most_common(1)[0])[1] > _LOPSIDED * len(chosen):
        yield (
            f"the right option is number {most[0] + 1} in {most[1]} of {len(chosen)} questions: "
            "shuffle the options"
        )


def _sizes(tasks: Sequence[TaskRecord], sizes: Mapping[str, Size]) -> Iterator[str]:
    """Boxes that say nothing."""
    for task in tasks:
        if task.targets and task.images:
            size = sizes[task.images[0]]
            if any(box.covers(Box(0, 0, size.width, size.height)) for box in task.targets):
                yield f"{task.source}: a box is all of the picture, so every look hits it"
