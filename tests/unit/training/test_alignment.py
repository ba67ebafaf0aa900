from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from tests.builders import answer_turn, rollout
from vigorl.core.errors import AlignmentError
from vigorl.core.rollout import Rollout, TrainingSample
from vigorl.training.alignment import AlignmentCheck, Gaps

ENGINE = [-1.0, -0.5, -2.0, -0.25]


def check(trainer: list[float], *, top_p: float = 1.0) -> Gaps:
    """One rollout of four sampled tokens, for which the trainer has these logprobs."""
    one: Rollout = rollout(answer_turn(sampling_logprobs=tuple(ENGINE)))
    sample = TrainingSample(one.token_ids, one.loss_mask, one.views)
    batch: Any = SimpleNamespace(
        input_ids=torch.tensor([one.token_ids]),
        loss_mask=torch.tensor([one.loss_mask]).bool(),
        sampling_logprobs=torch.tensor([[0.0] * 3 + ENGINE]),
    )
    batch.to = lambda device: batch
    module: Any = SimpleNamespace(
        device="cpu", start_logprobs=lambda _: torch.tensor([[0.0] * 3 + trainer])
    )
    data: Any = SimpleNamespace(collate=lambda _: batch, environment=SimpleNamespace(top_p=top_p))
    compare = AlignmentCheck(num_rollouts=1, every=1, max_mean_gap=0.01, max_gap=0.02)
    return compare([one], [sample], engine=cast(Any, None), module=module, datamodule=data)


def test_the_gap_is_over_sampled_tokens() -> None:
    gaps = check([-1.0, -0.5, -2.015, -0.25])
    assert (gaps.num_tokens, gaps.total, gaps.largest) == (4, *[pytest.approx(0.015, abs=1e-6)] * 2)


def test_the_rollout_and_its_first_token_that_is_too_far_are_named() -> None:
    with pytest.raises(AlignmentError, match=r"turn 1, token 3 .* -2\.0000 .* -2\.5000"):
        check([-1.0, -0.5, -2.5, -0.25])


@pytest.mark.parametrize("kept", [1.0, 0.95, 0.9])
def test_a_token_may_be_likelier_by_what_top_p_cut_off(kept: float) -> None:
    gaps = check([one + math.log(kept) for one in ENGINE], top_p=0.9)
    assert gaps.largest == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("change", [math.log(0.85), 0.03])
def test_but_not_by_more_nor_the_less_likely(change: float) -> None:
    with pytest.raises(AlignmentError, match="turn 1, token 1"):
        check([one + change for one in ENGINE], top_p=0.9)
