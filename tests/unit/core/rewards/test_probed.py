"""Rewards that read what probes found, and runs whose probes do not find it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hydra import compose, initialize_config_dir

from tests.builders import answer_turn, rollout, zoom_turn
from vigorl.core.errors import ConfigError
from vigorl.core.protocols import FINISHED, ReadsProbes
from vigorl.core.rewards import AccuracyReward, AdaptiveUseReward, Gate, ProbeReward, WeightedReward
from vigorl.core.rollout import Rollout
from vigorl.resolvers import CONFIGS, register_resolvers
from vigorl.settings import check_values

register_resolvers()
WRONG = rollout(zoom_turn(), answer_turn("blue"))


def found(one: Rollout, **numbers: float) -> Rollout:
    return replace(one, probes=numbers)


def test_a_number_is_cut_to_the_range_and_absent_ones_are_nothing() -> None:
    reward = ProbeReward(number="gain", name="gain", low=-0.5)
    values = [reward(found(WRONG, gain=one)) for one in (-1.0, -0.25, 1.0, 2.0)]
    assert values == [-0.5, -0.25, 1.0, 1.0]
    assert reward(WRONG) == 0.0
    assert Gate(reward)(found(WRONG, gain=1.0)) == 0.0
    for bad in ({"number": ""}, {"number": "a", "low": 0.5}):
        with pytest.raises(ConfigError, match="low in"):
            ProbeReward(name="x", **bad)


def test_a_sum_reads_what_its_parts_read() -> None:
    part = ProbeReward(number="gain", name="gain")
    sum_ = WeightedReward("x", [(AccuracyReward(), 1.0), (Gate(part), 1.0)])
    assert isinstance(sum_, ReadsProbes)
    assert sum_.probe_numbers == ("gain",)


def test_need_may_be_what_forced_and_forbidden_rollouts_found() -> None:
    reward = AdaptiveUseReward(with_probe="with", without_probe="without")
    looked, at_once = rollout(), rollout(answer_turn())
    for without, scores in ((0.0, [0.2, 0.0]), (1.0, [-0.1, 0.2])):
        group = [replace(looked, probes={"with": 1.0, "without": without}), at_once]
        assert reward.score_group(group, [], progress=FINISHED) == scores
    assert reward.score_group([looked, at_once], [], progress=FINISHED) == [0.0, 0.0]
    assert reward.probe_numbers == ("with", "without")


EVERY = ["probes.{0}.schedule.every=1", "probes.{0}.schedule.num_rollouts=null"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["reward=revisor"], r"reward 'revisor' reads .* it needs probes=\[last_crop_alone\]"),
        (["reward=answer_gain"], r"it needs probes=\[answer_now\]"),
        (["reward=answer_gain", "probes=[answer_now]"], None),
        (["reward=counterfactual", "probes=[last_crop_alone]"], r"it needs probes=\[crop_black\]"),
        (["reward=counterfactual", "probes=[crop_black]"], "crop_black.schedule.every=1 and"),
        (
            [
                "reward=counterfactual",
                "probes=[crop_black]",
                *(w.format("crop_black") for w in EVERY),
            ],
            None,
        ),
        (["experiment=sft_vstar", "stages=null", "reward=revisor"], None),  # asks no probes
    ],
)
def test_a_run_without_what_its_reward_reads_is_refused(
    words: list[str], message: str | None
) -> None:
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        cfg = compose("train", words)
    if message is None:
        check_values(cfg)
        return
    with pytest.raises(ConfigError, match=message):
        check_values(cfg)
