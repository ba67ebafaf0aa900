"""Rollouts of earlier phases: kept as they were sampled, drawn, and forgotten."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from tests import builders
from vigorl.core.rollout import ScoredRollout, TrainingSample
from vigorl.training.algorithms.grpo import GRPO
from vigorl.training.buffer import MicroBatch
from vigorl.training.groups.collection import idle_sample
from vigorl.training.groups.method import Moment
from vigorl.training.groups.replay import Replay
from vigorl.training.phase import credit_rollouts, with_sampled_as_old


def phase(number: int, *, num_flat: int) -> tuple[list[TrainingSample], list[ScoredRollout]]:
    """A group of a right and a wrong rollout, then idle ones."""
    group = f"train/{number}/disc"
    mixed = [
        builders.scored(
            replace(
                builders.rollout(builders.answer_turn(answer), group=group), policy_version=number
            ),
            total=total,
        )
        for answer, total in (("red", 1.0), ("blue", 0.0))
    ]
    credited = credit_rollouts(mixed, GRPO(scale_by_std=False))
    flat = [builders.scored(builders.rollout(group=f"{group}/{i}")) for i in range(num_flat)]
    samples = credited.samples + [idle_sample(one) for one in flat]
    return samples, credited.scored + flat


def filled(method: Replay, number: int, *, num_flat: int = 2) -> list[TrainingSample]:
    samples, scored = phase(number, num_flat=num_flat)
    return method.fill(samples, scored, moment=Moment(version=number, order=f"0/{number}"))


def test_a_right_rollout_comes_back_as_it_was_credited_and_sampled() -> None:
    method = Replay(max_share=1.0)
    assert filled(method, 0)[2:] == phase(0, num_flat=2)[0][2:]  # the buffer was empty
    assert method.metrics()["groups/replayed_frac"] == (0, 4)
    found = filled(method, 1)
    original = phase(0, num_flat=0)[0][0]
    assert [one.is_replayed for one in found] == [False, False, True, False]
    for name in ("token_ids", "loss_mask", "views", "sampling_logprobs", "advantages"):
        assert getattr(found[2], name) == getattr(original, name)
    assert method.metrics() == {
        "groups/replayed_frac": (1, 4),
        "groups/replay_age": (1, 1),
        "groups/buffered": (1, 1),
    }


def test_what_is_replayed_has_a_share_an_age_and_a_capacity() -> None:
    method = Replay(max_share=0.25, max_age=2, capacity=3)
    for number in range(6):
        found = filled(method, number, num_flat=6)  # of 8
    assert sum(one.is_replayed for one in found) == 2
    assert [one.version for one in method._buffer] == [3, 4, 5]
    found = filled(method, 7, num_flat=6)
    assert method.metrics()["groups/buffered"] == (1, 1)  # of versions from 5 on
    assert sum(one.is_replayed for one in found) == 1


def test_those_with_more_advantage_are_drawn_more_often() -> None:
    method = Replay(only_right=False)
    filled(method, 0)
    one, other = method._buffer
    method._buffer = [replace(one, weight=0.1), replace(other, weight=0.9)]
    drawn = [method._draw(1, order=str(i))[0].weight for i in range(200)]
    assert 160 < drawn.count(0.9) < 195  # about 9 in 10


def test_a_checkpoint_gives_back_the_same_buffer() -> None:
    method, other = Replay(max_share=1.0), Replay(max_share=1.0)
    filled(method, 0)
    other.load_state_dict(json.loads(json.dumps(method.state_dict())))
    assert filled(other, 1) == filled(method, 1)


def test_ranks_share_what_is_drawn(
    on_two_ranks: Callable[..., list[Any]],
) -> None:
    methods = [Replay(max_share=1.0, only_right=False) for _ in range(2)]

    def two_phases(rank: int) -> Sequence[TrainingSample]:
        filled(methods[rank], 0)
        # the first rank has a single free place, the second the other three
        return filled(methods[rank], 1, num_flat=1 + 2 * rank)

    both = on_two_ranks(two_phases)
    assert [sum(one.is_replayed for one in samples) for samples in both] == [1, 3]
    assert methods[0].state_dict() == methods[1].state_dict()
    assert len(methods[0]._buffer) == 8


@pytest.mark.parametrize("has_old", [True, False])
def test_old_to_a_replayed_sample_is_what_sampled_it(has_old: bool) -> None:
    found = phase(0, num_flat=0)[0]
    method = Replay(max_share=1.0)
    filled(method, 0)
    samples = [found[1], *[one for one in filled(method, 1) if one.is_replayed]]
    length = len(samples[0].token_ids)
    sampling = torch.full((2, length), -0.5)
    batch = SimpleNamespace(sampling_logprobs=sampling, to=lambda _: "on the device")
    module = cast(
        Any, SimpleNamespace(device="cpu", start_logprobs=lambda _: torch.full((2, length), -2.0))
    )
    one = MicroBatch(samples, torch.full((2, length), -3.0) if has_old else None)
    untouched = MicroBatch(samples[:1])

    def as_batch(_: Sequence[TrainingSample]) -> Any:
        return batch

    first, second = with_sampled_as_old([one, untouched], module=module, collate=as_batch)
    assert first.old_logprobs is not None
    assert first.old_logprobs[:, 0].tolist() == [-3.0 if has_old else -2.0, -0.5]
    assert second.old_logprobs is not None  # ranks stay in step
    assert with_sampled_as_old([untouched], module=module, collate=as_batch) == [untouched]
