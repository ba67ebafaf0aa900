"""RUN/rollouts/phases.jsonl: a line per generation, from which a run's index page is made; and the
way from page to page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from markupsafe import escape
from pydantic import TypeAdapter, ValidationError

from vigorl.core.errors import DataError
from vigorl.core.files import written_whole
from vigorl.core.metrics import is_right
from vigorl.core.metrics_file import AppendedLines
from vigorl.core.rollout import ScoredRollout
from vigorl.data.images import ImageStore
from vigorl.data.plain import faults
from vigorl.pages.html import data_uri, short
from vigorl.pages.picture import marked_picture
from vigorl.pages.tallies import Tally, outcome_of
from vigorl.pages.text import words_of

NAME = "phases.jsonl"
_THUMBNAIL_PX = 150
_PAGE = re.compile(r"(train|val)_phase_(\d+)\.html")
_NEXT = re.compile("<!--next-->.*?<!--/next-->", re.DOTALL)


@dataclass(frozen=True, slots=True)
class GroupLine:
    """A group on a phase's page; `href` and `tokens_href` ("" without one) lead there."""

    question: str
    marks: str  # of its rollouts in order, "1" where right, else "0"
    reward_mean: float
    reward_spread: float
    href: str
    tokens_href: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """A rollout on a phase's page, with its picture as a data URI ("" without one)."""

    question: str
    answer: str | None
    right_answer: str
    outcome: str
    is_right: bool
    reward: float
    href: str
    picture: str


@dataclass(frozen=True, slots=True)
class PhaseSummary:
    """What one generation brought.

    Attributes:
        kind: "train" or "val".
        phase: From 0; of "val", the number of phases done.
        step: Optimizer steps done.
        tally: Over all ranks.
        page: Name of its page; "" without one.
        groups: On that page.
        examples: On that page, the worst first.
    """

    kind: str
    phase: int
    step: int
    tally: Tally
    page: str = ""
    groups: tuple[GroupLine, ...] = ()
    examples: tuple[Example, ...] = field(default=())

    @property
    def name(self) -> str:
        return f"{self.kind}_phase_{self.phase:04d}"

    @property
    def words(self) -> str:
        """Such as "phase 3" or "evaluation after 4"."""
        return f"phase {self.phase}" if self.kind == "train" else f"evaluation after {self.phase}"

    @property
    def order(self) -> tuple[int, int]:
        """In time; an evaluation after n phases comes before phase n."""
        return self.phase, int(self.kind == "train")


_ADAPTER = TypeAdapter(PhaseSummary)


def append_summary(path: Path, summary: PhaseSummary) -> None:
    line = json.dumps(_ADAPTER.dump_python(summary))  # in ASCII: a text may hold half a character
    with open(path, "ab") as file:
        file.write(line.encode("ascii") + b"\n")


class SummaryFile:
    """What a run's generations have brought so far; a further reading takes only what was added.

    Args:
        path: The file, which may not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._lines = AppendedLines(path)
        self._found: dict[str, PhaseSummary] = {}

    def read(self) -> list[PhaseSummary]:
        """In time, of each generation the last line.

        Raises:
            DataError: Names a bad line, once; a last one that a crash has cut off is passed over.
        """
        for number, line in self._lines:
            try:
                one = _ADAPTER.validate_python(json.loads(line))
            except ValueError as error:
                what = faults(error) if isinstance(error, ValidationError) else str(error)
                message = f"not a phase's summary: {what}; remove the file to go on without it"
                raise DataError(message, path=self._lines.path, line=number) from error
            self._found[one.name] = one
        return sorted(self._found.values(), key=lambda one: one.order)


def read_summaries(path: Path) -> list[PhaseSummary]:
    """`SummaryFile.read`, from the start; none where there is no file."""
    return SummaryFile(path).read()


def group_line(group: Sequence[ScoredRollout], *, href: str, tokens_href: str) -> GroupLine:
    rewards = [one.reward.total for one in group]
    mean = sum(rewards) / len(rewards)
    spread = (sum((one - mean) ** 2 for one in rewards) / len(rewards)) ** 0.5
    marks = "".join("01"[is_right(one.rollout)] for one in group)
    question = short(words_of(group[0].rollout.task.question), 140)
    return GroupLine(question, marks, mean, spread, href, tokens_href)


def example_of(one: ScoredRollout, *, href: str, images: ImageStore) -> Example:
    rollout = one.rollout
    picture = ""
    if rollout.prompt_views:
        picture = data_uri(marked_picture(rollout, images, max_side_px=_THUMBNAIL_PX))
    return Example(
        question=short(words_of(rollout.task.question), 140),
        answer=None if rollout.answer is None else short(rollout.answer, 60),
        right_answer=short(rollout.task.answer, 60),
        outcome=outcome_of(rollout),
        is_right=is_right(rollout),
        reward=one.reward.total,
        href=href,
        picture=picture,
    )


@dataclass(frozen=True, slots=True)
class PageLinks:
    """Where a page leads: addresses from it, and what stands there; "" leads nowhere."""

    index: str
    up: str = ""
    up_words: str = ""
    before: str = ""
    before_words: str = ""
    after: str = ""
    after_words: str = ""


def links_of(page: Path, *, index: str) -> PageLinks:
    """Of a phase's page, by the pages that stand beside it."""
    before, after = neighbours(page)
    return PageLinks(
        index,
        before=before.name if before else "",
        before_words=_words(before) if before else "",
        after=after.name if after else "",
        after_words=_words(after) if after else "",
    )


def neighbours(page: Path) -> tuple[Path | None, Path | None]:
    """The pages before and after it in time."""
    pages = sorted((one for one in page.parent.glob("*.html") if _order(one)), key=_order)
    before = [one for one in pages if _order(one) < _order(page)]
    after = [one for one in pages if _order(one) > _order(page)]
    return before[-1] if before else None, after[0] if after else None


def lead_to(page: Path, following: Path) -> None:
    """Let a page that was written before lead to the one that follows it."""
    link = f'<a class="after" href="{escape(following.name)}">{escape(_words(following))} →</a>'
    text = page.read_text(encoding="utf-8")
    with written_whole(page) as part:
        part.write_text(_NEXT.sub(f"<!--next-->{link}<!--/next-->", text), encoding="utf-8")


def _order(page: Path) -> tuple[int, ...]:
    """Empty of a page that is no phase's."""
    match = _PAGE.fullmatch(page.name)
    return (int(match[2]), int(match[1] == "train")) if match else ()


def _words(page: Path) -> str:
    number, is_train = _order(page)
    return f"phase {number}" if is_train else f"evaluation after {number}"
