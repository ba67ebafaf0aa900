"""Draw what an answer says and compare it with what is there: RRVF's reward, without a judge.

scene    "red disc at (50, 20); blue square at (9, 90)"      the targets, with the tag "labels"
chart    "apples: 3; pears: 5"                               bars; the right answer's
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from PIL import Image, ImageChops, ImageDraw, ImageStat

from vigorl.core.geometry import Point, Size
from vigorl.core.rewards.places import Where, per_target, targets_of
from vigorl.core.rewards.scene_list import WRITTEN, described_objects
from vigorl.core.rewards.structured import read_items, right_items
from vigorl.core.rewards.unit import UnitReward, check_choice
from vigorl.core.rewards.words import words_of
from vigorl.core.rollout import Rollout
from vigorl.data.scenes.draw import COLOURS, RADIUS_PX

Kind = Literal["scene", "chart"]

GROUND = (112, 112, 112)
CHART = Size(224, 168)
MOST_OBJECTS = 64  # of a description that are drawn
UNNAMED = (20, 20, 20)  # of an object whose colour is not named


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderReward(UnitReward):
    """How alike the drawing of the answer and that of the truth are: 1 - |a - b| / (|a| + |b|).

    |.| sums, over pixels and channels, what differs from the bare ground; so a blank drawing, or
    one with everything elsewhere, is 0.0 and the same drawing 1.0. The paper's judge compares the
    render with the picture; in a drawn world both are drawn by the same code, and clutter is in
    neither.

    Attributes:
        kind: What is described.
        where: Where a scene is described: answer, or thoughts.
    Source: RRVF, arXiv:2507.20766 (weights and training code not published).
    """

    kind: Kind = "scene"
    where: Where = "answer"
    name: str = "render"

    def __post_init__(self) -> None:
        check_choice(self.name, get_args(Kind), kind=self.kind)
        check_choice(self.name, WRITTEN, where=self.where)

    def __call__(self, rollout: Rollout) -> float:
        drawn = self._chart(rollout) if self.kind == "chart" else self._scene(rollout)
        return likeness(*drawn)

    def _scene(self, rollout: Rollout) -> tuple[Image.Image, Image.Image]:
        targets = targets_of(rollout.task, self.name)
        labels = per_target(rollout.task, "labels", self.name) or ("",) * len(targets)
        there = list(zip(labels, (box.center for box in targets), strict=True))
        said = described_objects(rollout, self.where)
        size = rollout.prompt_views[0].original
        return draw_objects(said, size=size), draw_objects(there, size=size)

    def _chart(self, rollout: Rollout) -> tuple[Image.Image, Image.Image]:
        said = bars_of(read_items(rollout.answer or ""))
        there = bars_of(right_items(rollout.task, self.name))
        if not there:
            raise ValueError(
                f"reward {self.name!r} needs bars such as 'apples: 3; pears: 5' as the answer, and "
                f"task {rollout.task.id!r} has {rollout.task.answer!r:.60}"
            )
        top = float(rollout.task.tags.get("top", 1.25 * max(there.values())))
        said_chart, right_chart = (
            draw_chart(bars, names=tuple(there), top=top) for bars in (said, there)
        )
        return said_chart, right_chart


def draw_objects(objects: Sequence[tuple[str, Point]], *, size: Size) -> Image.Image:
    """Each object as its words name it, at its place; the first `MOST_OBJECTS` of them.

    Args:
        objects: Words with a colour and a shape, and an ORIGINAL-frame place.
        size: Of the picture.
    """
    image = Image.new("RGB", (size.width, size.height), GROUND)
    canvas = ImageDraw.Draw(image)
    for words, place in objects[:MOST_OBJECTS]:
        said = words_of(words)
        fill = next((COLOURS[word] for word in reversed(said) if word in COLOURS), UNNAMED)
        shape = next((word for word in reversed(said) if word in RADIUS_PX), "disc")
        x, y = (min(max(one, -1e4), 1e4) for one in (place.x, place.y))
        r = RADIUS_PX[shape]
        draw = canvas.ellipse if shape == "disc" else canvas.rectangle
        draw((x - r, y - r, x + r, y + r), fill=fill)
    return image


def draw_chart(bars: Mapping[str, float], *, names: Sequence[str], top: float) -> Image.Image:
    """A bar chart of `CHART` pixels: one bar per name, from the bottom up, `top` at the upper edge.

    Args:
        bars: Heights by name; names that are not among `names` stand beside them, at the right.
        names: The bars' places, from the left.
        top: Value at the upper edge, above 0.
    """
    image = Image.new("RGB", (CHART.width, CHART.height), GROUND)
    canvas = ImageDraw.Draw(image)
    places = dict.fromkeys([*names, *bars])
    step = CHART.width / max(len(places), 1)
    fills = list(COLOURS.values())
    for i, name in enumerate(places):
        share = min(max(bars.get(name, 0.0) / top, 0.0), 1.0)
        left, height = i * step + step / 8, share * CHART.height
        if height >= 1:
            edges = (left, CHART.height - height, left + 0.75 * step, CHART.height)
            canvas.rectangle(edges, fill=fills[i % len(fills)])
    return image


def bars_of(items: Sequence[tuple[str, ...]]) -> dict[str, float]:
    """The bars of "name: value" items; those whose value is no number are left out."""
    found: dict[str, float] = {}
    for name, *rest in items[:MOST_OBJECTS]:
        try:
            value = float(rest[-1]) if rest else math.nan
        except ValueError:
            continue
        if math.isfinite(value) and value > 0:
            found[name] = value
    return found


def likeness(one: Image.Image, other: Image.Image) -> float:
    """1 - |a - b| / (|a| + |b|) over what differs from the ground, in [0, 1]; 1.0 when both are
    bare.
    """
    bare = Image.new("RGB", one.size, GROUND)
    most = _difference(one, bare) + _difference(other, bare)
    return 1 - _difference(one, other) / most if most else 1.0


def _difference(one: Image.Image, other: Image.Image) -> float:
    """The sum over pixels and channels."""
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).sum)
