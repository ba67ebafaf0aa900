"""What a policy does while it looks: four behaviours, counted in its words and looks by rules.

The four are those of the paper's table 5. There GPT-4o counts them; these rules are OURS, and their
numbers do not compare with the paper's (`behavior_judge` asks a model, as the paper does).

A LOOK is a zoom that worked or, in a rollout without any, a point on the picture in a thought. Two
looks fall into one REGION when they are less than `near_px` apart, or when their windows share more
than `max_overlap_frac` of the larger one; a point in a thought also when it lies in a window that
was shown. A region is as its first look found it, so a row of small moves is not one region.

    regions explored    Regions of all zooms and all points in thoughts.
                        Cannot see: a place that is described in words alone.
    grounded subgoals   Sentences that announce a look and hold a point, and zooms that their own
                        thought announces: by a point in their region, or by such a sentence without
                        a point. Cannot see: whether a policy without a tool then looks there.
    verification        Sentences that say that something is checked, and zooms at a region that was
                        shown before whose thoughts do not say so. Cannot see: a check in other
                        words, and whether anything was really compared.
    backtracking        Moves to another region that was left before, and moves to any other region
                        after words that turn around. A point in a sentence that names several, or
                        that concludes, is a mention and returns nowhere. Cannot see: a plan that is
                        given up without a word, and whether a lone point is a look or a mention.

One act may count for two behaviours: returning to a region to check it is backtracking and
verification. The words are English: `TURNS_AROUND`, `CHECKS`, `DOES_NOT_CHECK`, `ANNOUNCES` and
`CONCLUDES` are all there are. Points of an answer are no looks; nor are points off the picture and
refused calls. A turn without a <think> block is read up to its action.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box, FrameMap, Point
from vigorl.core.rollout import Rollout, Turn
from vigorl.core.trace import ANSWER, TOOL_CALL, find_points, split_at_points


class Behavior(StrEnum):
    """What is counted; the module's docstring defines each."""

    REGIONS = "regions_explored"
    SUBGOALS = "grounded_subgoals"
    VERIFICATION = "verification"
    BACKTRACKING = "backtracking"


def _any_of(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_OPENS = r"(?:^|[.!?]\s+|\n\s*)"  # at the start of a sentence
_INTENDS = r"\b(?:let me|let us|let's|(?:i|we) (?:will|shall|should|must|need to)|i'll|we'll) "
_LOOKS = r"(?:look|zoom|inspect|examine|check|verify|find|locate|search|focus|explore|move|go|turn)"

TURNS_AROUND = _any_of(
    r"\bwait\b(?=\s*[,.!?:;-])",  # "Wait." and "wait, ..."; not "people wait at"
    _OPENS + r"(?:but )?(?:actually|no)\b(?=\s*[,.!?:;-])",  # not "is actually", "no sign"
    r"\bhold on\b",
    r"\bon second thought",
    r"\breconsider",
    r"\b(?:go|going|come|coming|turn|turning|look|looking|step|stepping) back\b",
    r"\breturn(?:ing)? to\b",
    r"\b(?:i was|i am|i'm) (?:wrong|mistaken)\b",
    r"\b(?:that|this|it) (?:is|was) (?:wrong|not right|not it|not the right)\b",
)
CHECKS = _any_of(
    r"\b(?:to|let me|let us|let's|will|should|must|i'll) (?:check|verify|confirm)\b",
    r"\b(?:double-?\s?|re-?)check(?:ing)?\b",
    r"\b(?:verifying|confirming)\b",
    r"\bmak(?:e|ing) sure\b",
    r"\blook(?:ing)? again\b",
    r"\banother look\b",
)
DOES_NOT_CHECK = _any_of(
    r"\bno need to\b", r"\bcannot\b", r"\bcan't\b", r"\bunable to\b", r"n't need"
)
ANNOUNCES = _any_of(
    _INTENDS + r"(?:\w+ ){0,2}?" + _LOOKS + r"\b",
    r"\bnext\b(?! to\b)",  # "next to" is a place
    r"\b(?:i am|i'm) going to " + _LOOKS + r"\b",
    _OPENS + r"(?:now |then |first,? )?" + _LOOKS + r" (?:at|into|for|in on)\b",  # "Look at (x, y)"
)
CONCLUDES = _any_of(
    r"^\W*(?:so|thus|therefore|hence|overall|finally|comparing|compared)\b",
    r"^\W*(?:in (?:conclusion|summary|total)|based on|to (?:conclude|sum up)|the answer)\b",
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass(frozen=True, slots=True)
class _Look:
    """A place that the policy went to.

    Attributes:
        point: RESIZED frame.
        window: What a tool showed, RESIZED frame; None for a point in a thought.
        words: Of all thoughts since the look before.
        is_mention: Names several points, or concludes.
    """

    point: Point
    window: Box | None = None
    words: str = ""
    is_mention: bool = False


@dataclass(frozen=True, slots=True)
class BehaviorRules:
    """Counts the behaviours of a rollout.

    Attributes:
        near_px: Points closer than this are one region, pixels of the picture as shown. 10 is what
            the diversity reward calls a different place: what is paid there and what is counted
            here agree.
        max_overlap_frac: Windows that share more than this part of the larger one are one region.
            Above a half, most of what the later one shows has been shown; a much smaller box inside
            a large one shows something new.
    """

    near_px: float = 10.0
    max_overlap_frac: float = 0.5

    def __post_init__(self) -> None:
        if self.near_px <= 0 or not 0 < self.max_overlap_frac < 1:
            raise ConfigError("need near_px > 0 and max_overlap_frac between 0 and 1")

    def count(self, rollout: Rollout) -> dict[Behavior, int]:
        """Every behaviour, 0 where there is none."""
        zooms = [look for look in _zooms(rollout) if look is not None]
        named = _named_looks(rollout)
        return {
            Behavior.REGIONS: len(set(self._regions([*zooms, *named]))),
            Behavior.SUBGOALS: self._count_subgoals(rollout),
            Behavior.VERIFICATION: self._count_checks(rollout, zooms),
            Behavior.BACKTRACKING: self._count_backtracks(zooms or named),
        }

    def _count_subgoals(self, rollout: Rollout) -> int:
        total = 0
        for turn, zoom in zip(rollout.turns, _zooms(rollout), strict=True):
            said = [(s, _points_on_picture(s, rollout)) for s in _sentences(_thought(turn))]
            announced = [points for sentence, points in said if ANNOUNCES.search(sentence)]
            grounded = [points for points in announced if points]
            total += len(grounded)
            if zoom is None or any(self._holds(zoom, points) for points in grounded):
                continue
            is_named = any(self._holds(zoom, points) for _, points in said)
            total += is_named or len(announced) > len(grounded)
        return total

    def _count_checks(self, rollout: Rollout, zooms: Sequence[_Look]) -> int:
        said = sum(_count_said(_thought(turn)) for turn in rollout.turns)
        regions = self._regions(zooms)
        silent = [
            region in regions[:i] and not _count_said(zoom.words)
            for i, (zoom, region) in enumerate(zip(zooms, regions, strict=True))
        ]
        return said + sum(silent)

    def _count_backtracks(self, looks: Sequence[_Look]) -> int:
        total, here, known = 0, None, set[int]()
        for look, region in zip(looks, self._regions(looks), strict=True):
            if look.is_mention and region in known:
                continue
            if here not in (None, region):
                total += region in known or bool(TURNS_AROUND.search(look.words))
            here = region
            known.add(region)
        return total

    def _regions(self, looks: Sequence[_Look]) -> list[int]:
        """The number of each look's region, from 0 in order of discovery."""
        firsts: list[_Look] = []
        numbers: list[int] = []
        for look in looks:
            found = (i for i, first in enumerate(firsts) if self._is_same_region(first, look))
            number = next(found, len(firsts))
            if number == len(firsts):
                firsts.append(look)
            numbers.append(number)
        return numbers

    def _is_same_region(self, first: _Look, later: _Look) -> bool:
        if first.point.distance(later.point) < self.near_px:
            return True
        if first.window is None:
            return False
        if later.window is None:
            return first.window.contains(later.point)
        return _overlap_frac(first.window, later.window) > self.max_overlap_frac

    def _holds(self, look: _Look, points: Sequence[Point]) -> bool:
        return any(self._is_same_region(look, _Look(point)) for point in points)


def behavior_metrics(rollouts: Sequence[Rollout]) -> dict[str, float]:
    """Means by the rules: `behaviors/regions_explored_mean` and so on; empty without rollouts."""
    counts = [BehaviorRules().count(rollout) for rollout in rollouts]
    if not counts:
        return {}
    return {f"behaviors/{one}_mean": fmean(count[one] for count in counts) for one in Behavior}


def _zooms(rollout: Rollout) -> list[_Look | None]:
    """Where on the first picture each turn's tool looked; None where it did not look there."""
    looks: list[_Look | None] = []
    words: list[str] = []
    for turn in rollout.turns:
        words.append(_thought(turn))
        focus = turn.focus and turn.focus.on_first(rollout.views)
        if focus is None:
            looks.append(None)
            continue
        whole = rollout.prompt_views[0]
        to_shown = FrameMap(whole.original, whole.size)
        window = to_shown.box(focus.box) if focus.box else None
        looks.append(_Look(to_shown.point(focus.point), window, "\n".join(words)))
        words = []
    return looks


def _named_looks(rollout: Rollout) -> list[_Look]:
    """The points of all thoughts that lie on the picture, in reading order."""
    looks: list[_Look] = []
    words = ""
    for sentence in (s for turn in rollout.turns for s in _sentences(_thought(turn))):
        on_picture = _points_on_picture(sentence, rollout)
        is_mention = len(on_picture) > 1 or bool(CONCLUDES.search(sentence))
        pieces, rest = split_at_points(sentence)
        for before, point in pieces:
            words += before
            if point in on_picture:
                first = rollout.prompt_views[0]
                place = FrameMap(first.text_size, first.size).point(point)
                looks.append(_Look(place, words=words, is_mention=is_mention))
                words = ""
        words += rest + "\n"
    return looks


def _thought(turn: Turn) -> str:
    """What the turn thinks; without a <think> block, all it says before it acts."""
    return turn.parsed.think or turn.text.partition(ANSWER)[0].partition(TOOL_CALL)[0]


def _sentences(text: str) -> list[str]:
    return [sentence for sentence in _SENTENCE_END.split(text) if sentence.strip()]


def _points_on_picture(text: str, rollout: Rollout) -> tuple[Point, ...]:
    if not rollout.prompt_views:
        return ()
    return tuple(point for point in find_points(text) if rollout.prompt_views[0].holds(point))


def _count_said(text: str) -> int:
    """Sentences that say that something is checked."""
    return sum(
        bool(CHECKS.search(sentence)) and not DOES_NOT_CHECK.search(sentence)
        for sentence in _sentences(text)
    )


def _overlap_frac(a: Box, b: Box) -> float:
    """Shared area, as a part of the larger box."""
    width = min(a.right, b.right) - max(a.left, b.left)
    height = min(a.bottom, b.bottom) - max(a.top, b.top)
    areas = ((box.right - box.left) * (box.bottom - box.top) for box in (a, b))
    return max(width, 0) * max(height, 0) / max(areas)
