"""What a phase of rollouts looks like in numbers.

Every metric is a mean, kept as (sum, count) until the end, so that ranks add up exactly.

`rollout/accuracy` and `rollout/valid_frac` are fixed yardsticks, the same whatever reward trains.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from vigorl.core.rewards.format import FormatReward
from vigorl.core.rewards.zoom import zoom_hits
from vigorl.core.rollout import Rollout, ScoredRollout, StopReason, group_indices

MetricSums = dict[str, tuple[float, int]]

_VALID = FormatReward(require_points=False)


def rollout_metrics(scored: Sequence[ScoredRollout]) -> dict[str, float]:
    """Means over some rollouts; on one process the same as `means(metric_sums(scored))`."""
    return means(metric_sums(scored))


def metric_sums(scored: Sequence[ScoredRollout]) -> MetricSums:
    """Sum and count of every metric; a metric without a case is (0.0, 0).

    Keys: `reward/total`, `reward/<part>`; `probe/<name>` over the rollouts that it was asked about;
    per rollout `rollout/accuracy` (scores of the answers),
    `rollout/valid_frac` (grammar, tools and points in order; points not required),
    `rollout/turns_mean`, `rollout/zooms_mean`, `rollout/tool_errors_mean`, `rollout/zoomed_frac`
    (with a crop or more), `rollout/accuracy_zoomed` and `rollout/accuracy_not_zoomed` over those
    with and without,
    `rollout/truncated_frac`, `rollout/refused_frac`, `rollout/completion_tokens_mean`;
    `rollout/zoom_hit_frac` over zooms and `rollout/last_zoom_hit_frac` over rollouts with a zoom,
    of tasks with known targets;
    `rollout/zero_variance_groups_frac` over groups of two or more, which must not be split
    between the lists whose sums are merged. The `rollout/` keys are always there; `reward/` and
    `probe/` keys are those of the rollouts given.
    """
    values: dict[str, list[float]] = defaultdict(list)
    for one in scored:
        values["reward/total"].append(one.reward.total)
        for name, part in one.reward.parts.items():
            values[f"reward/{name}"].append(part)
        for name, value in one.rollout.probes.items():
            values[f"probe/{name}"].append(value)
    for name, measured in _rollout_values([one.rollout for one in scored]).items():
        values[name] = measured
    values["rollout/zero_variance_groups_frac"] = _are_groups_equal(scored)
    return {name: (math.fsum(measured), len(measured)) for name, measured in values.items()}


def means(sums: Mapping[str, tuple[float, int]]) -> dict[str, float]:
    """Sum / count; a metric that nothing was counted for is left out, so none is ever NaN."""
    return {name: total / count for name, (total, count) in sums.items() if count}


def _rollout_values(rollouts: Iterable[Rollout]) -> dict[str, list[float]]:
    rollouts = list(rollouts)
    hits = [zoom_hits(rollout) for rollout in rollouts if rollout.task.target_boxes]
    values: dict[str, Sequence[float]] = {
        "rollout/accuracy": [rollout.score for rollout in rollouts],
        "rollout/valid_frac": [_VALID(rollout) for rollout in rollouts],
        "rollout/turns_mean": [len(rollout.turns) for rollout in rollouts],
        "rollout/zooms_mean": [len(rollout.crops) for rollout in rollouts],
        "rollout/zoomed_frac": [bool(rollout.crops) for rollout in rollouts],
        "rollout/accuracy_zoomed": [one.score for one in rollouts if one.crops],
        "rollout/accuracy_not_zoomed": [one.score for one in rollouts if not one.crops],
        "rollout/tool_errors_mean": [rollout.num_tool_errors for rollout in rollouts],
        "rollout/truncated_frac": [rollout.stop_reason.is_truncated for rollout in rollouts],
        "rollout/refused_frac": [one.stop_reason is StopReason.REFUSED for one in rollouts],
        "rollout/completion_tokens_mean": [
            sum(len(turn.completion_ids) for turn in rollout.turns) for rollout in rollouts
        ],
        "rollout/zoom_hit_frac": [hit for of_rollout in hits for hit in of_rollout],
        "rollout/last_zoom_hit_frac": [of_rollout[-1] for of_rollout in hits if of_rollout],
    }
    return {name: [float(value) for value in measured] for name, measured in values.items()}


def is_right(rollout: Rollout) -> bool:
    """Whether its answer is wholly right."""
    return rollout.score == 1.0


def credit_sums(scored: Sequence[ScoredRollout]) -> dict[str, tuple[float, float]]:
    """Where the advantages of a phase come from, by the accuracy of their groups; (sum, count).

    Keys: `groups/flat_accuracy_frac`, the share of groups that are equally right
    (`rollout/zero_variance_groups_frac` is by reward); and of the sum of |advantage| over rollouts
    the share of groups that differ in accuracy (`groups/mixed_credit_frac`), that are all wholly
    right (`groups/right_credit_frac`), and that are all equally wrong (`groups/wrong_credit_frac`):
    in the last two a shaped part of the reward alone makes the advantage.

    Args:
        scored: Credited; whole groups.
    """
    sizes = {"mixed": 0.0, "right": 0.0, "wrong": 0.0}
    num_flat, groups = 0, group_indices(one.rollout for one in scored)
    for members in groups:
        scores = [scored[i].rollout.score for i in members]
        is_flat = min(scores) == max(scores)
        num_flat += is_flat
        kind = "mixed" if not is_flat else "right" if scores[0] == 1.0 else "wrong"
        sizes[kind] += math.fsum(abs(scored[i].advantage) for i in members)
    shares = {
        f"groups/{kind}_credit_frac": (size, sum(sizes.values())) for kind, size in sizes.items()
    }
    return {"groups/flat_accuracy_frac": (num_flat, len(groups)), **shares}


def _are_groups_equal(scored: Sequence[ScoredRollout]) -> list[float]:
    """1.0 for each group whose rewards are all equal (it teaches nothing), else 0.0."""
    groups: dict[str, list[float]] = defaultdict(list)
    for one in scored:
        if one.rollout.group:
            groups[one.rollout.group].append(one.reward.total)
    return [float(min(totals) == max(totals)) for totals in groups.values() if len(totals) > 1]
