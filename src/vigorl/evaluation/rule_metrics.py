"""What a rule of inference costs, and what it chose among."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from vigorl.core.rollout import Rollout
from vigorl.rollout.inference.rule import CHOSEN


def rule_metrics(rollouts: Sequence[Rollout], *, num_answers: int) -> dict[str, float]:
    """Per answer: `inference/rollouts_mean` and `inference/tokens_mean` (sampled, what a rule asked
    aside included); of rules that choose, by the tasks' own scorers, `inference/single_frac`, the
    mean score of one candidate, and `inference/best_frac`, of the best of those chosen among.

    Args:
        rollouts: All, of all questions.
        num_answers: How many answers they gave.
    """
    sampled = sum(len(turn.completion_ids) for one in rollouts for turn in one.turns)
    aside = sum(one.probes.get("rule_tokens", 0.0) for one in rollouts)
    found = {
        "inference/rollouts_mean": len(rollouts) / num_answers,
        "inference/tokens_mean": (sampled + aside) / num_answers,
    }
    candidates = [one for one in rollouts if CHOSEN in one.probes]
    if candidates:
        scores, size = [one.score for one in candidates], len(candidates) // num_answers
        lots = [scores[i : i + size] for i in range(0, len(scores), size)]
        found["inference/single_frac"] = fmean(scores)
        found["inference/best_frac"] = fmean(map(max, lots))
    return found
