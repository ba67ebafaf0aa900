from __future__ import annotations

import pytest
import torch

from vigorl.training.step_metrics import EffectiveSampleFraction, StepMetrics


def test_a_mean_is_over_everything_counted_not_over_micro_batches() -> None:
    metrics = StepMetrics()
    metrics.add_sums({"nll": (6.0, 2)})
    metrics.add_sums({"nll": (torch.tensor(3.0), torch.tensor(7))})
    assert metrics.compute() == {"nll": 1.0}  # (6 + 3) / (2 + 7); the mean of means is 1.714


def test_nothing_counted_changes_nothing() -> None:
    metrics = StepMetrics()
    metrics.add_sums({"hits": (5.0, 4), "never": (0.0, 0)})
    metrics.add_sums({"hits": (0.0, 0)})
    assert metrics.compute() == {"hits": 1.25}


def test_means_keep_double_precision() -> None:
    metrics = StepMetrics()
    for _ in range(3):
        metrics.add_sums({"x": (16777217.0, 1)})  # 2**24 + 1 is no float32
    assert metrics.compute() == {"x": 16777217.0}


def test_means_are_the_same_however_often_it_has_computed_before() -> None:
    metrics, sums = StepMetrics(), {"x": (0.1, 1)}  # 0.1 is another number in float32
    found = []
    for _ in range(3):
        metrics.add_sums(sums)
        found.append(metrics.compute())
    assert found == [{"x": 0.1}] * 3


def test_maxima() -> None:
    metrics = StepMetrics()
    metrics.add_maxima({"gap": 1.0})
    metrics.add_maxima({"gap": torch.tensor(-3.0)})
    assert metrics.compute() == {"gap": 1.0}


def test_computing_forgets() -> None:
    metrics = StepMetrics()
    metrics.add_sums({"a": (1.0, 1)})
    metrics.compute()
    metrics.add_sums({"b": (2.0, 1)})
    assert metrics.compute() == {"b": 2.0}


def test_the_effective_sample_is_that_of_all_weights_together() -> None:
    metrics = StepMetrics()
    metrics.add_weights({"ess": torch.tensor([1.0, 1.0])})
    metrics.add_weights({"ess": torch.tensor([4.0])})
    # (1 + 1 + 4)^2 / (3 (1 + 1 + 16)) = 36 / 54; the mean of the micro-batches' own is 1
    assert metrics.compute() == {"ess": pytest.approx(2 / 3)}
    metrics.add_weights({"ess": torch.tensor([3.0, 3.0, 3.0, 0.0])})
    assert metrics.compute() == {"ess": 0.75}


def test_no_weights_say_nothing_and_zeros_say_zero() -> None:
    metrics = StepMetrics()
    metrics.add_weights({"none": torch.tensor([]), "zeros": torch.tensor([0.0, 0.0])})
    assert metrics.compute() == {"zeros": 0.0}


def test_the_effective_sample_adds_up_over_ranks() -> None:
    ranks = [EffectiveSampleFraction(), EffectiveSampleFraction(), EffectiveSampleFraction()]
    ranks[0].update(torch.tensor([1.0, 1.0]))
    ranks[1].update(torch.tensor([4.0]))  # the third had nothing
    for rank in ranks[1:]:
        ranks[0].merge_state(rank)
    assert ranks[0].compute().item() == pytest.approx(2 / 3)
