from __future__ import annotations

from typing import Any, cast

import pytest

from tests import builders
from vigorl.core.errors import ConfigError
from vigorl.core.rollout import TrainingSample
from vigorl.training.datamodule import GroundedTraceDataModule, TraceBatches, TraceBatching


class Uncollated:
    """Stands for the data module: a batch stays a list of samples, a picture is 16 tokens."""

    def num_tokens(self, sample: TrainingSample) -> int:
        return len(sample.token_ids) + 15 * len(sample.views)

    def collate(self, samples: list[TrainingSample]) -> list[TrainingSample]:
        return list(samples)


def sample(number: int, *, num_scored: int) -> TrainingSample:
    mask = (0, *[1] * num_scored)
    return TrainingSample((number,) * len(mask), mask, (builders.view(),))


def batches(
    samples: list[TrainingSample],
    *,
    world_size: int = 1,
    rank: int = 0,
    order: str = "0/0",
    **settings: Any,
) -> TraceBatches:
    sizes = {"sequences_per_update": 4, "micro_batch_size": 2}
    return TraceBatches(
        samples,
        TraceBatching(**(sizes | settings)),
        datamodule=cast(GroundedTraceDataModule, Uncollated()),
        order=order,
        world_size=world_size,
        rank=rank,
    )


def served(found: TraceBatches) -> list[TrainingSample]:
    return [one for batch in found for one in cast(list[TrainingSample], batch)]


def numbers(found: TraceBatches) -> list[int]:
    return [one.token_ids[0] for one in served(found)]


SAMPLES = [sample(i, num_scored=i + 1) for i in range(8)]


def test_every_trace_comes_once() -> None:
    found = batches(SAMPLES)
    assert len(found) == 4
    assert sorted(numbers(found)) == list(range(8))


def test_traces_that_fill_no_whole_update_wait_for_the_next_epoch() -> None:
    assert len(batches(SAMPLES[:7])) == 2
    assert len(set(numbers(batches(SAMPLES[:7])))) == 4


def test_epochs_have_their_own_order() -> None:
    assert numbers(batches(SAMPLES)) == numbers(batches(SAMPLES))
    assert numbers(batches(SAMPLES)) != numbers(batches(SAMPLES, order="0/1"))


def test_weights_are_those_of_the_whole_optimizer_batch() -> None:
    found = served(batches(SAMPLES))
    for update in (found[:4], found[4:]):
        num_scored = sum(sum(one.loss_mask) for one in update)
        assert [one.token_weight for one in update] == [1 / num_scored] * 4


def test_sequence_mean_weighs_each_trace_alike() -> None:
    for one in served(batches(SAMPLES, normalization="sequence_mean")):
        assert one.token_weight * sum(one.loss_mask) == pytest.approx(1 / 4)


def test_ranks_share_an_update_between_them() -> None:
    alone = batches(SAMPLES)
    pairs = [batches(SAMPLES, world_size=2, rank=rank) for rank in (0, 1)]
    assert [len(one) for one in pairs] == [2, 2]
    for update in (0, 1):
        shared = [x for one in pairs for x in cast(list[TrainingSample], one[update])]
        whole = [x for i in (0, 1) for x in cast(list[TrainingSample], alone[2 * update + i])]
        assert {x.token_ids[0]: x.token_weight for x in shared} == {
            x.token_ids[0]: x.token_weight for x in whole
        }


def test_micro_batches_hold_neighbours_in_length() -> None:
    lengths = [len(one.token_ids) for one in served(batches(SAMPLES))]
    assert lengths[:4] == sorted(lengths[:4])


def test_too_few_traces_are_an_error_that_says_how_many() -> None:
    with pytest.raises(ConfigError, match=r"3 traces .* traces\.sequences_per_update=4"):
        batches(SAMPLES[:3])


def test_ranks_that_do_not_divide_the_update_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"3 ranks x traces\.micro_batch_size=2"):
        TraceBatching(sequences_per_update=4, micro_batch_size=2).accumulate(3)


def test_either_a_plan_or_traces() -> None:
    with pytest.raises(ConfigError, match=r"either data\.plan"):
        GroundedTraceDataModule(source=cast(Any, None), environment=cast(Any, None))
