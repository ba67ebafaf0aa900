"""A question is as hard as the search for its answer was long.

    python -m vigorl.synthesize experiment=build_thinklite

Source: ThinkLite-VL, arXiv:2504.07934 (K > 5 and the unsolved, of at most 50 iterations);
si0wang/ThinkLite-VL 37fb148 drops the unsolved (`keep_unsolved=false`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigorl.core.errors import DataError
from vigorl.core.ranges import Count, check_ranges
from vigorl.core.search_tree import SearchTreeRecord
from vigorl.search.keeping.keep import Verdict

if TYPE_CHECKING:  # it imports torch
    from vigorl.search.searched import SearchedTask


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchEffort:
    """Keeps questions whose first right answer took long.

    Attributes:
        more_than: Iterations of the search that are still easy.
        keep_unsolved: Whether questions stay that it did not solve; one that a budget cut within
            `more_than` iterations, with thoughts left to go on from, is left out all the same.
    """

    more_than: Count = 5
    keep_unsolved: bool = True

    def __post_init__(self) -> None:
        check_ranges(self, "keep")

    def judge(self, searched: Sequence[SearchedTask]) -> list[Verdict]:
        return [self._judge(one) for one in searched]

    def _judge(self, one: SearchedTask) -> Verdict:
        tree = one.tree
        if tree.num_simulations is None or (tree.is_solved and tree.solved_at is None):
            raise DataError(
                f"the tree of {tree.id} does not note when it was solved (solved_at, "
                "num_simulations), as released ones do not: search again, or take keep=solve_band",
                path=tree.source or tree.image,
            )
        effort = {"iterations": float(tree.solved_at or tree.num_simulations)}
        if tree.solved_at is None:
            if tree.num_simulations <= self.more_than and _is_open(tree):
                return Verdict("cut short", None, effort)
            return Verdict("unsolved", one if self.keep_unsolved else None, effort)
        is_hard = tree.solved_at > self.more_than
        return Verdict("hard" if is_hard else "easy", one if is_hard else None, effort)


def _is_open(tree: SearchTreeRecord) -> bool:
    """Whether there is a thought that the search could have gone on from."""
    return any(not node.is_terminal and not node.children for node in tree.root.walk())
