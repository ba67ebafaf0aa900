"""A scripted, hasty teacher: its traces show the form (point, zoom, say what is seen, answer) and
every good habit, but most of the time not the good habit.

It sees well and aims well. But it mostly goes by the colour alone and looks at the leftmost sign of
that colour, seldom looks again when the zoom shows another sign than the asked one, and seldom
looks at the second of two signs that it is to compare: it answers from what it saw. Fine-tuning on
it gives a policy that speaks the grammar and is right about half of the time; what is left to
learn, reinforcement learning has to find: check what the zoom shows, look again, look at all that
is asked.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass, replace

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box, Point
from vigorl.core.media import ImageView
from vigorl.core.protocols import Looking, Tool
from vigorl.core.protocols import Scene as Shown
from vigorl.core.records import TaskRecord, TraceRecord
from vigorl.core.trace import Step, ToolCall, Trace, render_point
from vigorl.data.scenes.draw import STRIPES, Scene, Sign
from vigorl.data.scenes.questions import BETWEEN, BOXES, asked_signs, between, conclude


@dataclass(frozen=True, slots=True)
class TeacherSettings:
    """How hasty the teacher is.

    Attributes:
        hasty_frac: Share of first looks that go to the leftmost sign of the right colour, whatever
            its shape.
        look_again_frac: Share of misses after which it looks again, at the right sign; else it
            answers from what it saw.
        look_at_second_frac: Share of comparisons in which it looks at the second sign too; else it
            guesses that one's stripes.
        error_px: A look falls anywhere within this distance of its sign on each axis, original
            pixels.
        max_looks: Looks at one sign at most.
    """

    hasty_frac: float = 0.8
    look_again_frac: float = 0.2
    look_at_second_frac: float = 0.3
    error_px: int = 8
    max_looks: int = 3

    def __post_init__(self) -> None:
        for key in ("hasty_frac", "look_again_frac", "look_at_second_frac"):
            if not 0 <= getattr(self, key) <= 1:
                raise ConfigError(f"{key} is a share between 0 and 1, got {getattr(self, key)}")
        if self.error_px < 0:
            raise ConfigError(f"error_px must be at least 0, got {self.error_px}")
        if self.max_looks < 1:
            raise ConfigError(f"max_looks must be at least 1, got {self.max_looks}")


class ScriptedTeacher:
    """Writes traces for scenes; all randomness comes from the generator that is passed in."""

    def __init__(self, settings: TeacherSettings, *, tool: Tool, names_boxes: bool = False) -> None:
        """The tool looks at a place; where lines are asked for, it draws them and shows their
        middle (`rollout.tools.draw_line`). With `names_boxes` thoughts name the box of a sign
        instead of a point on it, and the tool, whose argument is a box, is called with it.
        """
        self.settings, self.tool, self.names_boxes = settings, tool, names_boxes

    def zoom_trace(
        self, task: TaskRecord, scene: Scene, image: ImageView, rng: random.Random
    ) -> TraceRecord:
        """A multi-turn trace: zoom at each sign the question names, say what is there, answer."""
        if task.category == BOXES:
            return self.single_look_trace(task, scene, image, rng, grounded=True)
        if task.category == BETWEEN:
            return self._line_trace(task, scene, image, rng)
        settings = self.settings
        asked = asked_signs(task, scene)
        steps: list[Step] = []
        seen = ""  # what the last zoom showed, told at the start of the next thought
        found: list[str] = []
        for sign in asked:
            if found and rng.random() >= settings.look_at_second_frac:
                found.append(rng.choice(STRIPES))
                continue
            stripes = ""
            for look in range(settings.max_looks):
                is_hasty = look == 0 and rng.random() < settings.hasty_frac
                aimed = _leftmost_of_colour(sign, scene) if is_hasty else sign
                point = self._aim(aimed, image, rng)
                turn_around = "Wait. " if look else ""
                call = self._call(sign.box_at(point), image)
                place = self._place(sign.box_at(point), image)
                steps.append(Step(f"{seen}{turn_around}The {sign.name}{place}.", call))
                shown = self._shown(task, scene, call, image)
                seen = _tell(shown)
                stripes = shown.stripes if shown else ""
                if shown == sign or rng.random() >= settings.look_again_frac:
                    break
            found.append(stripes or rng.choice(STRIPES))
        answer = conclude(task, asked, found)
        return TraceRecord(task, Trace((*steps, Step(seen.strip())), answer), frame=image.text_size)

    def _line_trace(
        self, task: TaskRecord, scene: Scene, image: ImageView, rng: random.Random
    ) -> TraceRecord:
        """Draw a line from end to end, say what its middle shows, answer; a hasty line begins at
        the leftmost sign of the right colour.
        """
        first, last, middle = between(scene)
        steps, seen, shown = list[Step](), "", None
        for look in range(self.settings.max_looks):
            is_hasty = look == 0 and rng.random() < self.settings.hasty_frac
            start = _leftmost_of_colour(first, scene) if is_hasty else first
            ends = [image.to_text(self._aim(sign, image, rng)) for sign in (start, last)]
            call = ToolCall(self.tool.name, {"points": [[end.x, end.y] for end in ends]})
            told = zip((first, last), map(render_point, ends), strict=True)
            places = " ".join(f"The {sign.name} is at {place}." for sign, place in told)
            steps.append(Step(f"{seen}{'Wait. ' if look else ''}{places}", call))
            shown = self._shown(task, scene, call, image)
            seen = _tell(shown)
            if shown == middle or rng.random() >= self.settings.look_again_frac:
                break
        answer = shown.stripes if shown else rng.choice(STRIPES)
        return TraceRecord(task, Trace((*steps, Step(seen.strip())), answer), frame=image.text_size)

    def flawed_trace(
        self,
        task: TaskRecord,
        scene: Scene,
        image: ImageView,
        rng: random.Random,
        *,
        wrong: Collection[Sign],
    ) -> TraceRecord:
        """One look for each sign the question names, and an answer from what the looks show; for
        those in `wrong` the look goes to a sign that is not asked about, or where there is none to
        the corner that is farthest from all.
        """
        asked, steps, found, seen = asked_signs(task, scene), list[Step](), list[str](), ""
        others = [sign for sign in scene.signs if sign not in asked]
        for sign in asked:
            aimed = sign
            if sign in wrong:
                aimed = rng.choice(others) if others else _in_a_corner(sign, scene, image)
            box = sign.box_at(self._aim(aimed, image, rng))
            call = self._call(box, image)
            steps.append(Step(f"{seen}The {sign.name}{self._place(box, image)}.", call))
            shown = self._shown(task, scene, call, image)
            seen = _tell(shown)
            found.append(shown.stripes if shown else rng.choice(STRIPES))
        answer = conclude(task, asked, found)
        return TraceRecord(task, Trace((*steps, Step(seen.strip())), answer), frame=image.text_size)

    def single_look_trace(
        self,
        task: TaskRecord,
        scene: Scene,
        image: ImageView,
        rng: random.Random,
        *,
        grounded: bool,
    ) -> TraceRecord:
        """One turn, no zoom: it can only guess the stripes of signs that are not large; with points
        in the thought, or without. Boxes are told around the points that the thought names, which
        a tiny model learns far sooner than boxes alone.
        """
        asked = asked_signs(task, scene)
        thoughts, found = [], []
        for sign in asked:
            guess = rng.choice(STRIPES)
            found.append(sign.stripes if sign.is_large else guess)
            place = self._place(sign.box, image) if grounded else " is here"
            thoughts.append(f"The {sign.name}{place}.")
        if task.category == BOXES:
            boxes = [sign.box_at(self._aim(sign, image, rng)) for sign in asked]
            answer = "; ".join(render_corners(box, image) for box in boxes)
            points = (render_point(image.to_text(box.center)) for box in boxes)
            told = zip(asked, points, strict=True)
            steps = (Step(" ".join(f"The {sign.name} is at {point}." for sign, point in told)),)
        else:
            answer, steps = conclude(task, asked, found), (Step(" ".join(thoughts)),)
        return TraceRecord(task, Trace(steps, answer), frame=image.text_size)

    def _aim(self, sign: Sign, image: ImageView, rng: random.Random) -> Point:
        """A point near the sign, ORIGINAL frame, off the outer tenth, where no sign is."""
        error = self.settings.error_px
        low, high = 0.09 * image.original.width, 0.885 * image.original.width

        def near(center: float) -> float:
            # drawn inside, not pushed back: greedy decoding would pick the pile at the border
            return rng.uniform(max(center - error, low), min(center + error, high))

        return Point(near(sign.center.x), near(sign.center.y))

    def _place(self, box: Box, image: ImageView) -> str:
        if self.names_boxes:
            return f" is in {render_corners(box, image)}"
        return f" is at {render_point(image.to_text(box.center))}"

    def _call(self, box: Box, image: ImageView) -> ToolCall:
        if self.names_boxes:
            argument = self.tool.spec.arguments[0]
            return ToolCall(self.tool.name, {argument.name: list(image.box_to_text(box))})
        assert isinstance(self.tool, Looking)
        return ToolCall(self.tool.name, self.tool.arguments_at(box.center, image=image))

    def _shown(
        self, task: TaskRecord, scene: Scene, call: ToolCall, image: ImageView
    ) -> Sign | None:
        """The sign nearest the middle of the zoom whose whole panel it shows."""
        focus = self.tool.open(task).call(call.arguments, scene=Shown((image,))).focus
        if focus is None or focus.box is None:
            return None
        window, middle = focus.box, focus.point
        inside = [sign for sign in scene.signs if window.covers(sign.panel)]
        return min(inside, key=lambda sign: sign.center.distance(middle), default=None)


def _in_a_corner(sign: Sign, scene: Scene, image: ImageView) -> Sign:
    """As if it were in the corner that is farthest from all signs."""
    near, far = 0.15 * image.original.width, 0.85 * image.original.width
    corners = [Point(x, y) for x in (near, far) for y in (near, far)]
    bare = max(corners, key=lambda one: min(one.distance(other.center) for other in scene.signs))
    return replace(sign, center=bare)


def render_corners(box: Box, image: ImageView) -> str:
    """A box as its two corners in the text frame, "(x1, y1), (x2, y2)"."""
    left, top, right, bottom = image.box_to_text(box)
    return f"{render_point(Point(left, top))}, {render_point(Point(right, bottom))}"


def pointing_trace(
    scene: Scene, image: ImageView, rng: random.Random, *, id: str, names_boxes: bool = False
) -> TraceRecord:
    """Where every sign is, exactly, in random order: the exercise that teaches a tiny model to
    point at all, or to name boxes.
    """
    signs = list(scene.signs)
    rng.shuffle(signs)
    places = [
        f"in {render_corners(sign.box, image)}"
        if names_boxes
        else f"at {render_point(image.to_text(sign.center))}"
        for sign in signs
    ]
    think = " ".join(
        f"The {sign.name} is {place}." for sign, place in zip(signs, places, strict=True)
    )
    task = TaskRecord(
        id=id,
        question="Where is every sign?",
        answer=str(len(signs)),
        images=(image.path,),
        category="pointing",
    )
    return TraceRecord(task, Trace((Step(think),), task.answer), frame=image.text_size)


def _leftmost_of_colour(sign: Sign, scene: Scene) -> Sign:
    same = (one for one in scene.signs if one.colour == sign.colour)
    return min(same, key=lambda one: one.center.x)


def _tell(shown: Sign | None) -> str:
    return (
        f"I see the {shown.name}. Its stripes are {shown.stripes}. " if shown else "I see no sign. "
    )
