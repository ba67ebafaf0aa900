import dataclasses

import pytest

from tests.builders import answer_turn, refused_turn, rollout, scored, task, turn, zoom_turn
from vigorl.core.metrics import (
    metric_sums,
    rollout_metrics,
)
from vigorl.core.rollout import StopReason


def batch():
    """Three rollouts: right after one hit; wrong after a miss and a refused call; cut short."""
    return [
        scored(rollout(group="g"), total=0.85, parts={"accuracy": 1.0, "format": 1.0}),
        scored(
            rollout(zoom_turn(), zoom_turn(90, 90), refused_turn(), answer_turn("blue"), group="g"),
            total=0.0,
            parts={"accuracy": 0.0, "format": 0.0},
        ),
        scored(
            rollout(turn("<think> hm", num_tokens=10), stop_reason=StopReason.TURN_LENGTH),
            total=0.0,
            parts={"accuracy": 0.0, "format": 0.0},
        ),
    ]


def test_rollout_metrics_by_hand():
    assert rollout_metrics(batch()) == pytest.approx(
        {
            "reward/total": 0.85 / 3,
            "reward/accuracy": 1 / 3,
            "reward/format": 1 / 3,
            "rollout/accuracy": 1 / 3,
            "rollout/valid_frac": 1 / 3,
            "rollout/turns_mean": (2 + 4 + 1) / 3,
            "rollout/zooms_mean": (1 + 2 + 0) / 3,
            "rollout/zoomed_frac": 2 / 3,
            "rollout/accuracy_zoomed": 1 / 2,
            "rollout/accuracy_not_zoomed": 0.0,
            "rollout/tool_errors_mean": 1 / 3,
            "rollout/truncated_frac": 1 / 3,
            "rollout/refused_frac": 0.0,
            "rollout/completion_tokens_mean": (8 + 16 + 10) / 3,  # 4 a turn, 10 in the last one
            "rollout/zoom_hit_frac": 2 / 3,  # of three zooms only (90, 90) misses
            "rollout/last_zoom_hit_frac": 1 / 2,  # of two rollouts that zoomed
            "rollout/zero_variance_groups_frac": 0.0,  # group "g": 0.85 and 0.0
        }
    )


def test_every_rank_has_the_same_rollout_keys():
    """Ranks that reduce key by key hang when one of them lacks a key."""
    no_zoom_no_target = [scored(rollout(answer_turn(), task=task(targets=())))]
    assert metric_sums(no_zoom_no_target)["rollout/zoom_hit_frac"] == (0.0, 0)
    assert metric_sums(no_zoom_no_target).keys() == metric_sums([scored()]).keys()


def test_what_was_never_counted_is_left_out():
    no_zoom = rollout_metrics([scored(rollout(answer_turn()))] * 2)
    assert "rollout/zoom_hit_frac" not in no_zoom
    assert "rollout/last_zoom_hit_frac" not in no_zoom
    assert "rollout/zero_variance_groups_frac" not in no_zoom  # the group "" is none
    assert rollout_metrics([]) == {}
    unknown_targets = rollout_metrics([scored(rollout(task=task(targets=())))])
    assert "rollout/zoom_hit_frac" not in unknown_targets


def test_zero_variance_groups():
    def in_group(group: str, total: float):
        one = scored(total=total)
        return dataclasses.replace(one, rollout=dataclasses.replace(one.rollout, group=group))

    scores = [("a", 1.0), ("a", 1.0), ("b", 1.0), ("b", 0.0), ("alone", 0.5)]
    found = rollout_metrics([in_group(group, total) for group, total in scores])
    assert found["rollout/zero_variance_groups_frac"] == 1 / 2


def test_valid_frac_does_not_ask_for_points():
    vague = rollout(answer_turn(think="It is red."))
    assert rollout_metrics([scored(vague)])["rollout/valid_frac"] == 1.0
