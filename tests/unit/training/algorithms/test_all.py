"""What must hold for every algorithm of configs/algorithm/, as its YAML makes it."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

from tests import builders
from vigorl.build import CONFIGS, prepare_process
from vigorl.core.rollout import RewardBreakdown, ScoredRollout, TrainingSample
from vigorl.models.losses import LossInputs
from vigorl.rollout.probes.greedy import GREEDY_REWARD
from vigorl.training.algorithms.protocol import Algorithm, ReadsSignals
from vigorl.training.marks import StartValues, mark_update, marker_of
from vigorl.training.readings import Crediting, TokenReadings

prepare_process()

NO_POLICY_GRADIENT = ("sft", "evaluation", "dpo", "mpo", "record_only")
NAMES = sorted(
    path.stem
    for path in Path(CONFIGS, "algorithm").glob("*.yaml")
    if not path.stem.startswith("_") and path.stem not in NO_POLICY_GRADIENT
)
ROWS, TOKENS = 8, 6
LENGTHS = [6, 4, 5, 6, 3, 5, 6, 4]
MASKED = 5  # a rollout that is not learned from
SIGNALS = ("visual_dependency", "visual_uncertainty")


OF_SCALE = {"kl_coef": 0.01, "limits": {"max_response_tokens": 6}}


@cache
def algorithm_of(name: str) -> Algorithm:
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        cfg = OmegaConf.merge(OF_SCALE, compose(f"algorithm/{name}"))
    return instantiate(cfg.algorithm)


def noise(seed: int, size: float = 1.0) -> Tensor:
    """[rows, tokens]"""
    generator = torch.Generator().manual_seed(seed)
    return size * torch.randn(ROWS, TOKENS, generator=generator, dtype=torch.float64)


def mask() -> Tensor:
    """A hole in each row, where an observation stands, and one row of nothing."""
    found = torch.arange(TOKENS) < torch.tensor(LENGTHS)[:, None]
    found[:, 1] = False
    found[MASKED] = False
    return found


ADVANTAGES = torch.tensor([0.9, -0.9, 0.4, -0.4, 1.2, 2.0, -1.2, 0.0], dtype=torch.float64)
POLICY = -noise(0).abs() - 0.1
GROUPS = ["a", "a", "b", "b", "c", "c", "d", "d"]


def whole(algorithm: Algorithm, advantages: Tensor = ADVANTAGES) -> LossInputs:
    """The update as one micro-batch, but for its marks."""
    of_tokens = advantages[:, None].expand(ROWS, TOKENS) if advantages.ndim == 1 else advantages
    counts = [int(one) for one in mask().sum(-1)]
    weights = algorithm.token_weights(counts, GROUPS)
    old = POLICY - noise(1, 0.3)
    return LossInputs(
        policy_logprobs=POLICY,
        old_logprobs=old,
        advantages=torch.where(mask(), of_tokens, 0.0),
        loss_mask=mask(),
        token_weight=torch.tensor(weights, dtype=torch.float64),
        ref_logprobs=POLICY - noise(2, 0.2),
        sampling_logprobs=old - noise(3, 0.1),
        signals={name: noise(4).abs() for name in SIGNALS},
        entropy=noise(5).abs(),
        changed_logprobs={name: POLICY - noise(6).abs() for name in SIGNALS},
    )


def parts(inputs: LossInputs, size: int) -> list[LossInputs]:
    def cut(value: Any, first: int) -> Any:
        if isinstance(value, Tensor):
            return value[first : first + size]
        if isinstance(value, dict):
            return {name: cut(one, first) for name, one in value.items()}
        return value

    names = [field.name for field in fields(LossInputs)]
    return [
        LossInputs(**{name: cut(getattr(inputs, name), first) for name in names})
        for first in range(0, ROWS, size)
    ]


def marked(algorithm: Algorithm, given: list[LossInputs]) -> list[LossInputs]:
    """With the marks of the update that these micro-batches are."""
    marking = marker_of(algorithm)
    if marking is None:
        return given
    starts = []
    for one in given:
        assert one.entropy is not None
        names = [round(1e6 * float(row.sum())) for row in one.old_logprobs]
        samples = [TrainingSample((7, number), (0, 1), ()) for number in names]
        starts.append(
            StartValues(
                samples, one.loss_mask, one.old_logprobs, one.entropy, one.advantages, one.signals
            )
        )
    marks = mark_update(starts, marking)
    return [replace(one, marks=of_one) for one, of_one in zip(given, marks, strict=True)]


def learned(
    algorithm: Algorithm, given: list[LossInputs]
) -> tuple[float, Tensor, dict[str, float]]:
    """Loss and gradient of an update by the policy's logprobs, and what is measured."""
    total, slopes, sums = 0.0, list[Tensor](), dict[str, list[Tensor]]()
    for one in marked(algorithm, given):
        policy = one.policy_logprobs.clone().requires_grad_()
        changed = {name: value.clone() for name, value in one.changed_logprobs.items()}
        out = algorithm.loss(replace(one, policy_logprobs=policy, changed_logprobs=changed))
        out.loss.backward()
        assert policy.grad is not None
        total += out.loss.item()
        slopes.append(policy.grad)
        for name, (value, num) in out.metrics.items():
            sums.setdefault(name, [torch.zeros(2), torch.zeros(2)])
            sums[name].append(torch.tensor([value.item(), num.item()]))
    found = {name: torch.stack(values).sum(0) for name, values in sums.items()}
    return total, torch.cat(slopes), {n: (v[0] / v[1]).item() for n, v in found.items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_cut_into_micro_batches_and_ranks_changes_nothing(name: str) -> None:
    algorithm = algorithm_of(name)
    loss, slopes, metrics = learned(algorithm, [whole(algorithm)])
    assert slopes.abs().max() > 1e-4
    assert "kl/token" in metrics
    for size in (1, 4):  # accumulated, and what either of two ranks has
        in_parts = learned(algorithm, parts(whole(algorithm), size))
        assert in_parts[0] == pytest.approx(loss, abs=1e-12)
        torch.testing.assert_close(in_parts[1], slopes, atol=1e-12, rtol=1e-9)
        assert in_parts[2] == pytest.approx(metrics, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_masked_has_no_gradient(name: str) -> None:
    algorithm = algorithm_of(name)
    given = whole(algorithm)
    wild = torch.where(given.loss_mask, given.policy_logprobs, torch.nan)  # is not even read
    _, slopes, _ = learned(algorithm, [replace(given, policy_logprobs=wild)])
    assert not slopes[~given.loss_mask].any()
    torch.testing.assert_close(slopes, learned(algorithm, [given])[1], atol=0, rtol=0)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "distillation"])
def test_one_advantage_per_rollout_is_the_same_on_each_token(name: str) -> None:
    algorithm = algorithm_of(name)
    vector = torch.where(mask(), ADVANTAGES[:, None], 0.0)
    scalar = learned(algorithm, [whole(algorithm)])
    assert scalar[0] == learned(algorithm, [whole(algorithm, vector)])[0]
    other = vector + torch.where(mask(), noise(7, 0.1), 0.0)
    assert scalar[0] != learned(algorithm, [whole(algorithm, other)])[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_side_of_the_padding_changes_nothing(name: str) -> None:
    algorithm = algorithm_of(name)

    def moved(inputs: LossInputs) -> LossInputs:
        def roll(value: Any) -> Any:
            if not isinstance(value, Tensor) or value.ndim < 2:
                return value
            rows = zip(value, LENGTHS, strict=True)
            return torch.stack([row.roll(TOKENS - length) for row, length in rows])

        found: dict[str, Any] = {}
        for field in fields(LossInputs):
            value = getattr(inputs, field.name)
            is_named = isinstance(value, dict)
            found[field.name] = (
                {name: roll(one) for name, one in value.items()} if is_named else roll(value)
            )
        return LossInputs(**found)

    right = whole(algorithm)
    loss, slopes, _ = learned(algorithm, marked(algorithm, [right]))
    other = learned(algorithm, [moved(marked(algorithm, [right])[0])])
    assert other[0] == pytest.approx(loss, abs=1e-12)
    back = torch.stack(
        [row.roll(length - TOKENS) for row, length in zip(other[1], LENGTHS, strict=True)]
    )
    torch.testing.assert_close(back, slopes, atol=1e-12, rtol=1e-9)


# What a constant that all rewards of one group get does change, and why. (gigpo's discount knows it
# where rollouts have different numbers of turns: estimators/test_turns.py.)
KNOW_THE_LEVEL = {
    "bilevel_gae": "compares with what a critic expects",
    "gpg": "scales by the share of rewards that are not 0",
    "lite_ppo": "divides by the spread of the whole batch",
    "mapo": "deviations in units of the mean",
    "maxrl": "deviations in units of the mean",
    "ppo": "compares with what a critic expects",
    "reinforce_pp": "has no group: whitened over the batch",
    "remax": "compares with the greedy answer's reward",
}


def scored_group(name: str, rewards: tuple[float, ...]) -> list[ScoredRollout]:
    """A look and an answer each; every second look has a quarter of its rollout's reward."""
    return [
        ScoredRollout(
            builders.rollout(group=name, index=i, probes={GREEDY_REWARD: 0.5}),
            RewardBreakdown(reward, {"all": reward}, {"all": 1.0}, turns=(0.25 * (i % 2), 0.0)),
        )
        for i, reward in enumerate(rewards)
    ]


def credited(algorithm: object, groups: list[list[ScoredRollout]]) -> Tensor:
    """[rollouts, tokens] advantages; the policy, the reference and a critic say something."""
    assert isinstance(algorithm, Crediting)
    read = [
        [TokenReadings((-0.5 - i / 8,) * 8, (-0.5,) * 8, (0.5,) * 8, (0.25,) * 8) for i in range(4)]
        for _ in groups
    ]
    found = algorithm.credit(groups, readings=read)
    return torch.tensor([one.advantages for group in found for one in group], dtype=torch.float64)


@pytest.mark.parametrize("name", NAMES)
def test_a_constant_added_in_a_group_changes_nothing(name: str) -> None:
    algorithm = algorithm_of(name)
    mixed, other = (1.0, 0.0, 0.25, 1.0), scored_group("b", (0.0, 1.0, 0.5, 0.0))
    plain = credited(algorithm, [scored_group("a", mixed), other])
    moved = tuple(one + 2.0 for one in mixed)
    found = credited(algorithm, [scored_group("a", moved), other])
    assert plain.any() == (name != "distillation")  # which knows no reward
    assert found.allclose(plain, atol=1e-6) == (name not in KNOW_THE_LEVEL)


def test_what_needs_a_signal_says_which() -> None:
    asked = {name: algorithm_of(name) for name in NAMES}
    needed = {
        name: one.needs_signals for name, one in asked.items() if isinstance(one, ReadsSignals)
    }
    assert needed["vppo"] == needed["papo"] == ("visual_dependency",)
    assert {name for of_one in needed.values() for name in of_one} <= set(SIGNALS)
