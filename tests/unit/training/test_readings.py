"""What is read of tokens before their credit stands where they do, and is what the model says."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor

from tests import builders
from tests.unit.models.small import make_batch, make_policy
from vigorl.core.rollout import TrainingSample
from vigorl.data.collate import TrainingBatch, collate
from vigorl.data.images import ImageStore
from vigorl.training.algorithms.grpo import GRPO
from vigorl.training.policy_gradient_module import PolicyGradientModule
from vigorl.training.readings import Reads, read_rollouts, reads_of


class Reader:
    """Says of each token its id, so that what comes back names where it was read."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def start_logprobs(self, batch: TrainingBatch) -> Tensor:
        self.sizes.append(len(batch.input_ids))
        return batch.input_ids.float()

    def start_squares(self, batch: TrainingBatch, logprobs: Tensor) -> Tensor:
        return logprobs / 2

    def reference_logprobs(self, batch: TrainingBatch) -> Tensor:
        return -batch.input_ids.float()

    def values(self, batch: TrainingBatch) -> Tensor:
        return 3 * batch.input_ids.float()


def text_batch(samples: Sequence[TrainingSample]) -> TrainingBatch:
    no_pictures = ImageStore.__new__(ImageStore)  # nothing is asked of it
    return collate(samples, images=no_pictures, pad_id=0, image_id=-1)


def test_readings_are_of_the_sampled_tokens_whatever_shares_their_pass() -> None:
    looks = builders.turn("", num_tokens=2, observation_ids=(7, 8, 9))
    rollouts = [
        builders.rollout(*turns, prompt_views=())
        for turns in ((looks, builders.answer_turn()), (builders.answer_turn(),), (looks,))
    ]
    reader = Reader()
    found = read_rollouts(
        rollouts,
        reads=Reads.SQUARES,
        has_reference=True,
        module=reader,
        collate=text_batch,
        num_tokens=lambda sample: len(sample.token_ids),
        batch_size=2,
        has_critic=True,
    )
    assert reader.sizes == [2, 1]
    for rollout, read in zip(rollouts, found, strict=True):
        ids = [float(id) for turn in rollout.turns for id in turn.completion_ids]
        assert list(read.old_logprobs) == ids
        assert list(read.ref_logprobs) == [-id for id in ids]
        assert list(read.squared_probs) == [id / 2 for id in ids]
        assert list(read.values) == [3 * id for id in ids]


def test_where_the_credit_reads_values_alone_the_policy_runs_no_pass() -> None:
    reader = Reader()
    (read,) = read_rollouts(
        [builders.rollout(builders.answer_turn(), prompt_views=())],
        reads=Reads.NOTHING,
        has_reference=True,
        module=reader,
        collate=text_batch,
        num_tokens=lambda sample: len(sample.token_ids),
        batch_size=2,
        has_critic=True,
    )
    assert reader.sizes == []
    assert (read.old_logprobs, read.ref_logprobs) == ((), ())
    assert read.values


def test_squares_are_those_of_the_whole_distribution() -> None:
    policy, batch = make_policy(), make_batch([], [])
    banned, temperature = (3, 4), 0.7
    module = SimpleNamespace(
        scoring=nullcontext, features=lambda batch: None, policy=policy, temperature=temperature,
        logits_chunk_tokens=3, banned_ids=banned,
    )  # fmt: skip
    with torch.no_grad():
        logprobs = policy.response_logprobs(batch, temperature=temperature, banned_ids=banned)[0]
        found = PolicyGradientModule.start_squares(cast(Any, module), batch, logprobs)
        hidden = policy(batch)
        logits = policy.model.lm_head(hidden).float() / temperature
    logits[..., list(banned)] = -torch.inf
    expected = logits.softmax(-1).square().sum(-1)
    mask = batch.loss_mask.bool()
    shifted = expected.roll(1, dims=1)  # a token's distribution stands before it
    torch.testing.assert_close(found[mask], shifted[mask], rtol=1e-4, atol=1e-6)


def test_an_algorithm_of_ones_own_need_not_say_what_it_reads() -> None:
    assert reads_of(object()) is Reads.NOTHING
    assert reads_of(GRPO()) is Reads.NOTHING
    assert reads_of(GRPO(reward_kl_coef=0.1)) is Reads.LOGPROBS
