"""A signal by hand, and on its way from the pictures to the loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from tests import builders
from tests.unit.training.algorithms.inputs import inputs, mean, ones
from vigorl.core.errors import ConfigError
from vigorl.core.media import GREY, Edited, Fill, Patches
from vigorl.core.rollout import TrainingSample
from vigorl.training.algorithms.grpo import GRPO
from vigorl.training.phase import read_start
from vigorl.training.signals.visual_dependency import VisualDependency

MASK = torch.tensor([[True, True, True, True, False], [True, False, False, False, False]])
OLD = torch.zeros(2, 5)
CHANGED = torch.tensor([[0.0, -1.0, -3.0, -2.0, -9.0], [-0.5, 0.0, 0.0, 0.0, 0.0]])


def test_values_by_hand() -> None:
    values = VisualDependency().values(CHANGED, OLD, MASK)
    # exp(d) - d - 1 with d = changed - old
    assert values[0, 0] == 0.0
    assert values[0, 1].item() == pytest.approx(math.exp(-1))
    assert values[0, 2].item() == pytest.approx(math.exp(-3) + 2)
    assert values[0, 4] == 0.0  # not learned from


@pytest.mark.parametrize(
    ("top_frac", "first"),
    [(0.25, [0, 0, 1, 0, 0]), (0.4, [0, 0, 1, 1, 0]), (1.0, [1, 1, 1, 1, 0])],
)
def test_the_top_share_of_each_rollout_is_kept_rounded_up(
    top_frac: float, first: list[int]
) -> None:
    signal = VisualDependency(top_frac=top_frac)
    values = signal.values(CHANGED, OLD, MASK)
    factors = signal.factors(values, MASK)
    assert factors is not None
    assert factors.tolist() == [first, [1, 0, 0, 0, 0]]
    equal = signal.factors(torch.zeros(2, 5), MASK)  # as many where all are equal
    assert equal is not None
    assert equal.sum(-1).tolist() == factors.sum(-1).tolist()


def test_without_a_share_it_only_measures() -> None:
    assert VisualDependency().factors(ones(2, 5), MASK) is None
    with pytest.raises(ConfigError, match="top_frac"):
        VisualDependency(top_frac=0.0)


def test_factors_weigh_the_policys_loss_and_not_the_kl() -> None:
    policy = torch.full((1, 2), -1.0, requires_grad=True)
    old, mask, weight = torch.full((1, 2), -1.0), ones(1, 2), torch.tensor([0.5])
    given = inputs(
        policy, old, torch.tensor([2.0]), mask, weight,
        ref_logprobs=torch.full((1, 2), -2.0),
        token_factors=torch.tensor([[1.0, 0.0]]),
        signals={"visual_dependency": torch.tensor([[0.3, 0.1]])},
    )  # fmt: skip
    out = GRPO(kl_coef=1.0).loss(given)
    kl = math.exp(-1.0) + 1 - 1  # k3 of d = -1
    # 0.5 * (-2 * 1 + kl) + 0.5 * (-2 * 0 + kl)
    assert out.loss.item() == pytest.approx(-1.0 + kl)
    assert mean(out, "signal/visual_dependency") == pytest.approx(0.2)


class Reader:
    """Stands for the module: says -1 of pictures as they are, -3 of edited ones."""

    device, needs_old = "cpu", False
    gradient_signals: tuple[str, ...] = ()
    algorithm = GRPO()

    def __init__(self, *signals: Any) -> None:
        self.signals = signals

    def start_logprobs(self, batch: Any) -> Tensor:
        return torch.tensor([-3.0 if isinstance(v.source, Edited) else -1.0 for v in batch.views])


class Batch:
    def __init__(self, samples: Sequence[TrainingSample]) -> None:
        self.views = [view for sample in samples for view in sample.views]

    def to(self, device: str) -> Batch:
        return self


class OtherSize(VisualDependency):
    def views(self, sample: TrainingSample) -> Any:
        return (builders.view(size=builders.ORIGINAL),)


def read(*signals: Any) -> Any:
    sample = TrainingSample((1, 2), (0, 1), (builders.view(),))
    return read_start(
        [[sample, sample]],
        module=cast(Any, Reader(*signals)),
        collate=cast(Any, Batch),
        has_several_updates=True,
    )


def test_the_start_is_read_under_grey_pictures_of_the_same_size() -> None:
    (found,) = read(VisualDependency())
    assert found.changed_logprobs["visual_dependency"].tolist() == [-3.0, -3.0]
    view = builders.view()
    (grey,) = VisualDependency().views(TrainingSample((1, 2), (0, 1), (view,)))
    assert (grey.size, grey.source) == (view.size, Edited(view.source, (Fill(rgb=GREY),)))
    assert grey.key != view.key  # its own place in the vision cache
    assert read()[0].changed_logprobs == {}
    with pytest.raises(ValueError, match="size of pictures"):
        read(OtherSize())


def test_patches_are_black_by_chance_and_the_same_for_a_prompt() -> None:
    signal = VisualDependency(change="patches", black_frac=0.5)
    view, other = builders.view(), TrainingSample((1,), (0,), (builders.view(),), group="b")

    def mark(sample: TrainingSample) -> Patches:
        (changed,) = signal.views(sample)
        assert isinstance(changed.source, Edited)
        (found,) = changed.source.marks
        assert isinstance(found, Patches)
        return found

    one = TrainingSample((1,), (0,), (view,), group="a")
    first = mark(one)
    assert first == mark(replace(one, token_ids=(2,)))
    assert first.seed != mark(other).seed
    # 14 px as shown
    assert first.width_px * view.size.width == pytest.approx(14 * view.original.width)
    assert (first.box, first.share) == (view.region, 0.5)
    with pytest.raises(ConfigError, match=r"black_frac must be in \(0, 1\]"):
        VisualDependency(change="patches")
    with pytest.raises(ConfigError, match="no effect with change=grey"):
        VisualDependency(black_frac=0.5)


def test_what_the_step_reads_itself_takes_no_pass_before() -> None:
    signal, sample = VisualDependency(), TrainingSample((1, 2), (0, 1), (builders.view(),))
    reader = Reader(signal)
    reader.gradient_signals = ("visual_dependency",)
    (found,) = read_start(
        [[sample]], module=cast(Any, reader), collate=cast(Any, Batch), has_several_updates=True
    )
    assert found.changed_logprobs == {}
    (changed,) = found.changed["visual_dependency"]
    assert changed.views == signal.views(sample)
