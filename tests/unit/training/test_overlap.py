"""One round ahead: what a checkpoint keeps of it, and how a thread ends."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace

import pytest

from tests import builders
from vigorl.core.errors import ConfigError, EngineError
from vigorl.core.rollout import RewardBreakdown, ScoredRollout
from vigorl.rollout.collector import Collected
from vigorl.rollout.left import EarlyEnd, LeftGroup
from vigorl.rollout.probes.probe import Taught
from vigorl.training.algorithms.gpg import GPG
from vigorl.training.algorithms.grpo import GRPO
from vigorl.training.algorithms.vespo import VESPO
from vigorl.training.generation import Generated, OnProgress
from vigorl.training.overlap import Ahead, OneStep, Round, check_correction, staleness_sums
from vigorl.training.plan import PhasePlan

WAIT_S = 30.0


def made_round(group: str = "train/1/disc") -> Round:
    rollout = replace(
        builders.rollout(builders.answer_turn("red"), group=group),
        policy_version=7,
        probes={"crop_black": 1 / 3},
    )
    scored = ScoredRollout(rollout, RewardBreakdown(0.1 + 0.2, {"accuracy": 1.0}, {}))
    generated = Generated(
        [rollout], Collected([rollout], 12, 1.5, 0.5), 0.25, (Taught(0, 0.5, scored),)
    )
    return Round([scored], generated, {"data/rated_frac": (3, 4)})


def test_a_round_comes_back_from_a_checkpoint_bit_for_bit() -> None:
    first = made_round()
    again = Round.from_plain(json.loads(json.dumps(first.plain())))
    assert again.scored == first.scored
    assert again.asked == first.asked
    assert again.generated.costs == first.generated.costs
    assert again.generated.taught == first.generated.taught

    ahead, resumed = Ahead(OneStep(in_background=False)), Ahead(OneStep())
    ahead.start(1, lambda _: first)
    resumed.load_state_dict(ahead.state_dict())
    taken = resumed.take(1)
    assert taken is not None
    assert taken.scored == first.scored
    assert not resumed.state_dict()  # it was taken


def test_two_rounds_are_one() -> None:
    both = made_round().joined(made_round("train/1/square"))
    assert [one.rollout.group for one in both.scored] == ["train/1/disc", "train/1/square"]
    assert both.asked == {"data/rated_frac": (6, 8)}
    assert both.generated.costs["perf/tokens_per_s"] == (24, 3.0)


def test_a_round_of_another_number_of_ranks_is_refused() -> None:
    state = {"phase": 1, "of_ranks": [made_round().plain()] * 2}
    with pytest.raises(ConfigError, match="by 2 ranks, and this run has 1"):
        Ahead(OneStep()).load_state_dict(state)


def test_a_round_is_made_beside_and_is_of_its_phase_alone() -> None:
    ahead, may_go_on = Ahead(OneStep()), threading.Event()

    def make(_: OnProgress) -> Round:
        assert threading.current_thread() is not threading.main_thread()
        assert may_go_on.wait(WAIT_S)
        return made_round()

    ahead.start(1, make)  # returns at once
    may_go_on.set()
    assert ahead.take(2) is None
    ahead.start(1, make)
    taken = ahead.take(1)
    assert taken is not None
    assert taken.scored == made_round().scored
    assert ahead.taken_costs()["time/wait_s"][0] > 0
    assert ahead.taken_costs() == {"time/wait_s": (0.0, 1)}


def test_a_round_without_a_thread_is_waited_for_while_it_is_made() -> None:
    ahead = Ahead(OneStep(in_background=False))
    ahead.start(1, lambda _: time.sleep(0.01) or made_round())
    assert ahead.taken_costs()["time/wait_s"][0] > 0


def test_an_error_of_the_thread_is_raised_where_its_round_is_taken() -> None:
    def make(_: OnProgress) -> Round:
        raise EngineError("the server is gone")

    ahead = Ahead(OneStep())
    ahead.start(1, make)
    with pytest.raises(EngineError, match="the server is gone"):
        ahead.take(1)


def test_a_phase_is_saved_though_the_round_ahead_has_failed() -> None:
    def make(_: OnProgress) -> Round:
        raise EngineError("the server is gone")

    ahead = Ahead(OneStep())
    ahead.start(1, make)
    assert ahead.state_dict() == {}
    with pytest.raises(EngineError, match="the server is gone"):
        ahead.take(1)


def test_a_round_that_is_dropped_ends_at_its_next_rollout() -> None:
    ahead, ended, was_stopped = Ahead(OneStep()), threading.Event(), True

    def make(on_progress: OnProgress) -> Round:
        nonlocal was_stopped
        deadline = time.monotonic() + WAIT_S
        try:
            while time.monotonic() < deadline:
                on_progress("train/1", 1, 3)
                time.sleep(1e-3)
            was_stopped = False
        finally:
            ended.set()
        return made_round()

    ahead.start(1, make)
    ahead.drop()
    assert ended.wait(WAIT_S)
    assert was_stopped
    assert ahead.take(1) is None


def test_spare_groups_are_shared_out() -> None:
    plan = PhasePlan(prompts_per_phase=4, group_size=2, sequences_per_update=8, micro_batch_size=2)
    settings = OneStep(spare_groups=2, max_staleness=3)
    (ends, left) = (settings.ends(plan, (), num_ranks=2), [LeftGroup((), 1)])
    assert ends == EarlyEnd(enough=2, max_rounds=3)
    # six are in the making: two more than are learned from, then as many new ones as these
    assert [settings.num_prompts(plan, one) for one in ((), left)] == [6, 4]
    assert OneStep().ends(plan, (), num_ranks=2) is OneStep().num_prompts(plan, ()) is None
    for num, staleness in ((1, 1), (0, 2)):
        with pytest.raises(ConfigError, match=r"with overlap\.max_staleness"):
            OneStep(spare_groups=num, max_staleness=staleness)


def test_the_age_of_a_token_is_that_of_its_turn() -> None:
    old = builders.rollout(builders.zoom_turn(), builders.answer_turn(), policy_version=3)
    first, last = (len(turn.completion_ids) for turn in old.turns)
    mixed = replace(old, turn_versions=(3, 4))
    assert staleness_sums([old, mixed], now=5) == {
        "rollout/staleness": (2 * (first + last) + 2 * first + last, 2 * (first + last)),
        "rollout/mixed_frac": (1, 2),
    }


def test_older_rollouts_are_not_taken_for_the_policys_own() -> None:
    check_correction(GRPO(), corrects=True)
    check_correction(VESPO(), corrects=False)  # is in its weight
    for algorithm in (GRPO(), GPG()):
        with pytest.raises(ConfigError, match="set importance_correction"):
            check_correction(algorithm, corrects=False)
