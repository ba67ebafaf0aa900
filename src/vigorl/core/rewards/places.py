"""Where a rollout says or shows the places it means, and where they are.

Boxes and points in texts are in the text frame of the first picture; here they are mapped to the
ORIGINAL frame of that picture, where the targets are.
"""

from __future__ import annotations

from typing import Literal, get_args

from vigorl.core.geometry import Box, Point
from vigorl.core.records import TaskRecord
from vigorl.core.rewards.words import tag_list, thoughts_of
from vigorl.core.rollout import Rollout
from vigorl.core.scoring.boxes import find_boxes
from vigorl.core.trace import find_points

# written in the answer | written in the thoughts of all turns | cut out by the tools
Where = Literal["answer", "thoughts", "looks"]
WHERE: tuple[str, ...] = get_args(Where)


def boxes_of(rollout: Rollout, where: Where) -> list[Box]:
    """The ORIGINAL-frame boxes that a rollout names or looks at, in order, repeats included."""
    first = rollout.prompt_views[0]
    if where == "looks":
        return [view.region for view in rollout.crops if view.unmarked == first.unmarked]
    return find_boxes(text_at(rollout, where), view=first)


def points_of(rollout: Rollout, where: Where) -> list[Point]:
    """The ORIGINAL-frame points that a rollout names or looks at, in order, repeats included."""
    first = rollout.prompt_views[0]
    if where == "looks":
        return [look.point for look in rollout.looks_at_first]
    return [first.to_original(point) for point in find_points(text_at(rollout, where))]


def targets_of(task: TaskRecord, reward: str) -> tuple[Box, ...]:
    """The task's target boxes, ORIGINAL frame, at least one, each once.

    Raises:
        ValueError: It has none, so that the reward named `reward` knows nothing of its places.
    """
    if not task.target_boxes:
        raise ValueError(f"reward {reward!r} needs targets, and task {task.id!r} has none")
    return task.target_boxes


def per_target(task: TaskRecord, tag: str, reward: str) -> tuple[str, ...]:
    """What a tag lists for each of the task's targets, in order; empty without the tag.

    Raises:
        ValueError: It lists another number than the task has targets.
    """
    found, wanted = tag_list(task, tag), len(task.target_boxes)
    if found and len(found) != wanted:
        raise ValueError(
            f"reward {reward!r}: tag {tag!r} of task {task.id!r} lists {len(found)} for "
            f"{wanted} targets; it needs one each, separated by ';'"
        )
    return found


def text_at(rollout: Rollout, where: Where) -> str:
    """The thoughts or the answer; "" where there is none."""
    return thoughts_of(rollout) if where == "thoughts" else rollout.answer or ""
