"""What a rule promises that keeps some questions of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from vigorl.core.search_tree import SearchRollout, SearchTreeRecord

if TYPE_CHECKING:  # they import torch
    from vigorl.search.head_gradient import HeadGradients
    from vigorl.search.searched import SearchedTask


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule says of a question.

    Attributes:
        why: In a word or two, of few.
        kept: The question and its tree, as it goes on; None when it is left out.
        numbers: What was measured of it.
    """

    why: str
    kept: SearchedTask | None = None
    numbers: Mapping[str, float | str] = field(default_factory=dict)


@runtime_checkable
class Keep(Protocol):
    """A rule; a frozen dataclass of plain values."""

    def judge(self, searched: Sequence[SearchedTask]) -> list[Verdict]:
        """[len(searched)] What becomes of each, the same for any order of them.

        Raises:
            DataError: A tree does not hold what the rule needs.
        """
        ...


@runtime_checkable
class KeepByGradient(Protocol):
    """A rule that looks at the policy's gradients."""

    def judge_by(self, searched: Sequence[SearchedTask], gradients: HeadGradients) -> list[Verdict]:
        """As `Keep.judge`."""
        ...


def tries_of(tree: SearchTreeRecord) -> list[SearchRollout]:
    """All its tries, wherever they start."""
    return [one for node in tree.root.walk() for one in node.rollouts]
