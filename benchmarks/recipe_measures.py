"""What is measured of a recipe's answers, one at a time; benchmarks/recipes.py compares them."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from vigorl.core.rewards.scene_list import DescriptionReward
from vigorl.core.rewards.zoom import zoom_hits
from vigorl.core.rollout import Rollout

Measure = Callable[[Rollout], float | None]  # None where it says nothing


def _hit_share(rollout: Rollout) -> float | None:
    hits = zoom_hits(rollout) if rollout.task.target_boxes else []
    return statistics.fmean(hits) if hits else None


def _first_hit(rollout: Rollout) -> float | None:
    hits = zoom_hits(rollout) if rollout.task.target_boxes else []
    return float(hits[0]) if hits else None


def _lucky(rollout: Rollout) -> float | None:
    if rollout.score < 1.0 or not rollout.task.target_boxes:
        return None
    return float(not any(zoom_hits(rollout)))


def _needless(rollout: Rollout) -> float | None:
    return len(rollout.crops) if rollout.task.tags.get("size") == "large" else None


def _items(rollout: Rollout) -> float | None:
    wanted = rollout.task.tags.get("items") or rollout.task.tags.get("stops")
    if wanted is None or rollout.answer is None:
        return None
    return len([one for one in rollout.answer.split(";") if one.strip()]) / int(wanted)


_description = DescriptionReward(where="thoughts")  # that is where the tiny start names signs


def _described(rollout: Rollout) -> float | None:
    return _description(rollout) if "labels" in rollout.task.tags else None


MEASURES: dict[str, Measure] = {
    "accuracy": lambda one: one.score,
    "looks": lambda one: len(one.crops),
    "looked": lambda one: float(bool(one.crops)),
    "hits": _hit_share,
    "first_hit": _first_hit,
    "luck": _lucky,
    "tokens": lambda one: sum(len(turn.completion_ids) for turn in one.turns),
    "truncated": lambda one: float(one.stop_reason.is_truncated),
    "needless": _needless,
    "items": _items,
    "described": _described,
}
SPEED = "speed"  # accuracy over all evaluations after the first: who learns sooner has more
ABOUT = {
    "accuracy": "greedy accuracy after the last phase",
    SPEED: "greedy accuracy, mean over the evaluations while training",
    "looks": "looks per answer",
    "looked": "share of answers with a look",
    "hits": "share of looks that show a target",
    "first_hit": "share of first looks that show a target",
    "luck": "share of right answers without a look at a target",
    "tokens": "tokens per answer",
    "truncated": "share cut off by a limit",
    "needless": "looks per answer where the overview is enough (data=made_world_economy)",
    "items": "items of a list answer over those that there are",
    "described": "F1 of the signs that thoughts name and place (data=pointing_world)",
}
SHARES = {"accuracy", SPEED, "looked", "hits", "first_hit", "luck", "truncated", "described"}
