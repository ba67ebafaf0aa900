"""What a teacher's search leaves: a tree of thoughts per question.

A node is one thought, written as it was generated: in the single-turn form a sentence or a <think>
block with points; in the multi-turn form a whole assistant turn, <think> block and tool call
(`core.trace`), whose observation follows from it and is not stored. The root is the question. A
terminal node answers; its one rollout has no further texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from vigorl.core.geometry import Box, Point, Size
from vigorl.core.scoring.scorer import Scorer


class CheckedBy(StrEnum):
    """Who said of a tree's thoughts whether they point where they should."""

    BOXES = "boxes"  # the target boxes of the data
    JUDGE = "judge"  # a model that was asked


@dataclass(frozen=True, slots=True)
class SearchRollout:
    """One simulation from a node to an answer.

    Attributes:
        answer: Its final answer, or None when it gave none.
        reward: What the judge gave it, 1.0 for right.
        texts: Its steps below the node, in order; they are not nodes of the tree. Empty for the
            answer of a terminal node.
    """

    answer: str | None
    reward: float
    texts: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        return self.reward >= 1.0


@dataclass(frozen=True, slots=True)
class SearchNode:
    """One thought of the tree.

    Attributes:
        text: The thought as generated; the root's is the question.
        is_terminal: Whether it answers.
        value: Mean or summed reward, as the search left it.
        num_visits: How often the search passed.
        rollouts: Simulations that started here.
        children: Further thoughts.
        used_points: Points that the path has spoken of, in the teacher's frame.
        is_hit: Whether one of its points lies in a target, by the data's boxes or a judge
            (`SearchTreeRecord.checked_by`); None: nobody looked, or the judge gave no verdict. The
            search itself pays no heed to it.
    """

    text: str
    is_terminal: bool
    value: float
    num_visits: int
    rollouts: tuple[SearchRollout, ...] = ()
    children: tuple[SearchNode, ...] = ()
    used_points: tuple[Point, ...] = ()
    is_hit: bool | None = None

    def walk(self) -> Iterator[SearchNode]:
        """This node and all below it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, slots=True)
class SearchTreeRecord:
    """One searched question.

    Attributes:
        id: The question's id.
        question: The question as it was put to the teacher.
        answer: The right answer.
        image: The picture file.
        root: The tree's first node, the question.
        system_prompt: What the teacher was told.
        source: Where it was read, as "file:line"; "" of a tree that was just grown.
        frame: The size that its points refer to (`core.media.ImageView.text_size`); None: that of
            the file.
        solved_at: Simulation, from 1, that found the first right answer; None: none did, or nobody
            noted it.
        num_simulations: Simulations that the tree took; None: nobody noted it.
        checked_by: Who said which of its thoughts hit; None: nobody, or nobody noted it.
        more_images: The question's further picture files, behind `image`.
        scorer, options, targets, category: Of the question, as in `TaskRecord`; None and empty
            when nobody noted them.
    """

    id: str
    question: str
    answer: str
    image: str
    root: SearchNode
    system_prompt: str = ""
    source: str = ""
    frame: Size | None = None
    solved_at: int | None = None
    num_simulations: int | None = None
    checked_by: CheckedBy | None = None
    more_images: tuple[str, ...] = ()
    scorer: Scorer | None = None
    options: tuple[str, ...] = ()
    targets: tuple[Box, ...] = ()
    category: str = ""

    @property
    def is_solved(self) -> bool:
        """A right answer was found somewhere."""
        return any(one.is_right for node in self.root.walk() for one in node.rollouts)
