"""Answers to probes as further rows: what they weigh, and what stays as it was."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests import builders
from vigorl.core.errors import ConfigError
from vigorl.core.rollout import ScoredRollout, TrainingSample
from vigorl.data.checklists import SignChecklist
from vigorl.rollout.probes.checklist import Checklist
from vigorl.rollout.probes.probe import Schedule, Taught
from vigorl.training.algorithms.dppo import DPPO
from vigorl.training.algorithms.grpo import GRPO
from vigorl.training.algorithms.prompt_factor import ByProbe
from vigorl.training.algorithms.record_only import RecordOnly
from vigorl.training.phase import Cutting, PhaseCut
from vigorl.training.plan import PhasePlan
from vigorl.training.second_objective import beside, check_teaching

PLAN = PhasePlan(prompts_per_phase=2, group_size=2, sequences_per_update=4, micro_batch_size=2)
OWN = TrainingSample((1, 2), (0, 1), (), advantages=(0.0, 0.5), token_weight=0.25)
TEACHES = Checklist(items=SignChecklist(), coef=0.1)


def taught(group: str, index: int, score: float, *, num_tokens: int = 4) -> Taught:
    answer = builders.answer_turn(num_tokens=num_tokens)
    one = builders.rollout(answer, group=f"{group}/checklist_0", index=index)
    return Taught(index, 0.1, cast(ScoredRollout, builders.scored(one, total=score)))


def test_answers_count_their_share_beside_the_phases_own() -> None:
    found = beside(
        PhaseCut([[OWN, OWN], [OWN, OWN]], 0, [2]),
        [taught("a", 0, 1.0), taught("a", 1, 0.0, num_tokens=6), taught("b", 0, 1.0),
         taught("b", 1, 1.0)],
        Cutting(
            plan=PLAN,
            algorithm=GRPO(scale_by_std=False, prompt_factor=ByProbe(number="checklist")),
            order="0/0",
            num_tokens=lambda sample: len(sample.token_ids),
            rank=0,
            num_ranks=1,
        ),
        keeps_noise=False,
    )  # fmt: skip
    assert [micro[:2] for micro in found.micro_batches] == [[OWN, OWN], [OWN, OWN]]
    # b is flat: its tokens count in the weight alone, 4 + 6 + 4 + 4
    rows = [row for micro in found.micro_batches for row in micro[2:]]
    assert [max(row.advantages, key=abs) for row in rows] == [0.5, -0.5]
    assert [len(micro) for micro in found.micro_batches] == [3, 3]
    for row in rows:
        assert row.token_weight == pytest.approx(0.1 / 18)
        assert row.token_share == 0.0


def test_what_cannot_learn_from_answers_is_refused() -> None:
    def module(algorithm: Any, *signals: object) -> Any:
        return SimpleNamespace(algorithm=algorithm, signals=signals)

    check_teaching([TEACHES], module(GRPO()))
    check_teaching([Checklist(items=SignChecklist())], module(RecordOnly()))
    with pytest.raises(ConfigError, match="compares a group, not RecordOnly"):
        check_teaching([TEACHES], module(RecordOnly()))
    for one in (module(GRPO(kl_coef=0.0, reward_kl_coef=0.1)), module(GRPO(), "signal")):
        with pytest.raises(ConfigError, match=r"probes\.checklist\.coef above 0 cannot be used"):
            check_teaching([TEACHES], one)
    check_teaching([TEACHES], module(DPPO(divergence="tv")))
    with pytest.raises(ConfigError, match=r"num_rollouts=null, got 8"):
        Checklist(items=SignChecklist(), coef=0.1, schedule=Schedule(num_rollouts=8))
