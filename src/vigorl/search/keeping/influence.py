"""The questions whose policy gradient points most the way of a validation set's.

    python -m vigorl.synthesize search=answers split=val name=val_answers
    python -m vigorl.synthesize experiment=build_vision_g1 keep.val_trees=RUN/trees.jsonl

A question all of whose tries are worth the same has no gradient: the filter of difficulty. Of the
others a share stays, by the inner product of gradients of the output head (`search.head_gradient`).
Source: Vision-G1, arXiv:2508.12680 (influence functions and a difficulty filter; its selection code
and thresholds are not published); inner products of stored rollouts' gradients: CROPI,
arXiv:2510.26491.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigorl.core.errors import ConfigError
from vigorl.core.ranges import ShareAboveZero, check_ranges
from vigorl.search.keeping.keep import Verdict

if TYPE_CHECKING:  # they import torch
    from vigorl.search.head_gradient import HeadGradients
    from vigorl.search.searched import SearchedTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Influence:
    """Keeps the most influential.

    Attributes:
        val_trees: JSONL of the tries of a validation set's questions.
        keep_frac: Share of the questions with a gradient that stays.
    """

    val_trees: str
    keep_frac: ShareAboveZero = 0.5

    def __post_init__(self) -> None:
        check_ranges(self, "keep")

    def judge_by(self, searched: Sequence[SearchedTask], gradients: HeadGradients) -> list[Verdict]:
        """As `Keep.judge`.

        Raises:
            ConfigError: The validation set has no gradient.
            DataError: See `read_mcts_jsonl`.
        """
        from vigorl.data.sources.mcts_jsonl import read_mcts_jsonl, tree_task
        from vigorl.search.searched import SearchedTask

        trees = read_mcts_jsonl(self.val_trees)
        images = gradients.environment.images
        of_val = [SearchedTask.of(tree, tree_task(tree), images) for tree in trees]
        direction = gradients.total(of_val)
        if not direction.any():
            raise ConfigError(
                f"keep.val_trees={self.val_trees!r} shows no direction: each of its questions is "
                "always right or always wrong, or its tries do not start at the question "
                "(search=answers)"
            )
        scores = [gradients.along(one, direction) for one in searched]
        ordered = sorted((score for score in scores if score), reverse=True)
        num_kept = math.ceil(self.keep_frac * len(ordered))
        least = ordered[num_kept - 1] if ordered else math.inf
        return [_verdict(one, score, least) for one, score in zip(searched, scores, strict=True)]


def _verdict(one: SearchedTask, score: float, least: float) -> Verdict:
    measured = {"influence": score}
    if not score:
        return Verdict("no gradient", None, measured)
    if score < least:
        return Verdict("less influence", None, measured)
    return Verdict("most influence", one, measured)
