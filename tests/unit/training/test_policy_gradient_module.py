"""The step of a policy gradient on batches by hand: what it learns and logs about the engine that
sampled, and that it asks its algorithm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from tests.unit.models.small import make_batch, make_policy
from vigorl.core.errors import ConfigError
from vigorl.data.collate import TrainingBatch
from vigorl.models.correction import ImportanceCorrection
from vigorl.models.lora import LoraSettings
from vigorl.models.losses import LossInputs, LossOutput
from vigorl.training.algorithms.cispo import CISPO
from vigorl.training.algorithms.grpo import GRPO
from vigorl.training.algorithms.papo import PAPO
from vigorl.training.algorithms.protocol import Algorithm
from vigorl.training.algorithms.vespo import VESPO
from vigorl.training.buffer import PolicyBatch
from vigorl.training.policy_gradient_module import PolicyGradientModule
from vigorl.training.policy_module import OptimizerSettings
from vigorl.training.sft_mix import SFTMix
from vigorl.training.signals.visual_dependency import VisualDependency

NUM_ROWS = 6
ADVANTAGES = torch.linspace(-1, 1, NUM_ROWS)


class PlainModule(PolicyGradientModule):
    """By gradient descent, so that a step is the gradient itself."""

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.trained_parameters(), lr=1.0)


def rows(first: int, last: int, gap: Tensor | None) -> TrainingBatch:
    """Rollouts of text alone, three sampled tokens each, as a rank holds them; `gap` is that of the
    engine over the policy of `make_policy()`, None an engine that keeps its logprobs to itself.
    """
    num = last - first
    batch = replace(
        make_batch(*[[]] * num),
        advantages=ADVANTAGES[first:last, None].expand(-1, 5),
        token_weight=torch.full((num,), 1 / (3 * NUM_ROWS)),
    )
    if gap is None:
        return batch
    with torch.no_grad():
        logprobs = make_policy().response_logprobs(batch)[0]
    return replace(batch, sampling_logprobs=logprobs - gap[first:last])


def step(
    gap: Tensor | None,
    correction: ImportanceCorrection | None,
    *,
    cuts: int = 1,
    algorithm: Algorithm | None = None,
    guests: Sequence[int] = (),
    with_solutions: bool = False,
    **settings: Any,
) -> tuple[Tensor, dict[str, float]]:
    """How far one vector of weights moved in one update, and what was logged."""
    size = NUM_ROWS // cuts
    batches = [rows(i * size, (i + 1) * size, gap) for i in range(cuts)]
    if guests:
        is_guest = torch.tensor([i in guests for i in range(NUM_ROWS)]).chunk(cuts)
        batches = [replace(one, is_guest=own) for one, own in zip(batches, is_guest, strict=True)]
    module = PlainModule(
        make_policy(),
        algorithm=algorithm or GRPO(),
        images=cast(Any, None),
        optimizer=OptimizerSettings(lr=1.0),
        importance_correction=correction,
        **settings,
    )
    module.vision_cache = None  # no pictures
    norm = module.policy.model.get_parameter("model.language_model.norm.weight")
    before = norm.detach().clone()
    trainer = Trainer(
        accelerator="cpu", max_epochs=1, accumulate_grad_batches=cuts, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    items = [
        PolicyBatch(batch, solutions=replace(batch, advantages=None) if with_solutions else None)
        for batch in batches
    ]
    loader = DataLoader(cast(Any, items), batch_size=None, collate_fn=lambda one: one)
    trainer.fit(cast(LightningModule, module), loader)
    return norm.detach() - before, {n: float(v) for n, v in trainer.callback_metrics.items()}


def gaps() -> Tensor:
    """[rollouts, tokens]: log ratio trainer / engine; the first rollout's is nil."""
    noise = torch.Generator().manual_seed(0)
    gap = torch.randn(NUM_ROWS, 5, generator=noise)
    gap[0] = 0.0
    return gap


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_micro_batches_change_neither_the_step_nor_what_is_logged(level: str) -> None:
    correction = ImportanceCorrection(level=level, cap_high=1.5)
    moved, logged = step(gaps(), correction)
    in_parts, logged_in_parts = step(gaps(), correction, cuts=3)
    torch.testing.assert_close(in_parts, moved, atol=1e-7, rtol=1e-4)
    assert logged_in_parts == pytest.approx(logged, rel=1e-4, abs=1e-6)
    assert 0 < logged["sampling_ratio/ess_frac"] < 1


def test_what_is_logged_is_over_all_sampled_tokens() -> None:
    _, logged = step(gaps(), ImportanceCorrection(cap_high=1.2), cuts=3)
    ratios = gaps()[rows(0, NUM_ROWS, None).loss_mask].double().exp()
    weights = ratios.clamp(max=1.2)
    assert logged["sampling_ratio/ess_frac"] == pytest.approx(
        (weights.sum() ** 2 / (18 * (weights**2).sum())).item(), rel=1e-5
    )
    capped, above_2 = (ratios > 1.2).sum().item(), (ratios > 2).sum().item()
    assert capped > above_2 > 0
    assert logged["sampling_ratio/corrected_frac"] == pytest.approx(capped / 18)
    assert logged["sampling_ratio/above_2_frac"] == pytest.approx(above_2 / 18)
    assert logged["kl/sampling_vs_train"] == pytest.approx(
        (ratios - 1 - ratios.log()).mean().item(), rel=1e-4
    )
    assert logged["perf/padding_frac"] == 0.0
    shares = [v for n, v in logged.items() if n.startswith("sampling_ratio/")]
    assert len(shares) == 7 + 2
    assert sum(shares) == pytest.approx(
        1 + logged["sampling_ratio/ess_frac"] + logged["sampling_ratio/corrected_frac"]
    )


def test_without_correction_the_gap_is_measured_and_changes_nothing() -> None:
    moved, logged = step(gaps(), None)
    without_a_gap, _ = step(torch.zeros(NUM_ROWS, 5), None)
    corrected, _ = step(gaps(), ImportanceCorrection())
    assert torch.equal(moved, without_a_gap)
    assert not torch.allclose(moved, corrected, rtol=1e-2)
    assert logged["kl/sampling_vs_train"] > 0.1
    assert "sampling_ratio/above_2_frac" in logged
    assert "sampling_ratio/ess_frac" not in logged


def test_a_nil_gap_leaves_the_step_as_it_is_without_correction() -> None:
    rounding = torch.full((NUM_ROWS, 5), 1e-6)
    moved, logged = step(rounding, ImportanceCorrection(level="sequence"))
    assert torch.equal(moved, step(rounding, None)[0])
    assert logged["sampling_ratio/ess_frac"] == 1.0
    assert logged["sampling_ratio/corrected_frac"] == 0.0
    assert logged["sampling_ratio/0.95_to_1.05_frac"] == 1.0


def test_correction_needs_what_the_engine_thought() -> None:
    with pytest.raises(ConfigError, match=r"module\.importance_correction"):
        step(None, ImportanceCorrection())


@pytest.mark.parametrize(
    ("guest_gamma", "algorithm"), [(None, GRPO(off_policy_threshold=0.5)), (0.1, GRPO())]
)
def test_guests_are_out_of_the_correction_and_of_what_is_measured(
    guest_gamma: float | None, algorithm: Algorithm
) -> None:
    guests, correction = (1, 4), ImportanceCorrection(level="sequence", cap_high=1.5)
    fields: dict[str, Any] = {
        "guests": guests, "guest_gamma": guest_gamma, "algorithm": algorithm,
    }  # fmt: skip
    nil = gaps()
    nil[list(guests)] = 0.0
    for other in (0.0, 7.0, -7.0):  # whatever stands where no engine has said anything
        gap = nil.clone()
        gap[list(guests)] = other
        moved, logged = step(gap, correction, **fields)
        if other == 0.0:
            wanted, measured = moved, logged
        assert torch.equal(moved, wanted)
        assert logged == measured
    counted = gaps()[[i for i in range(NUM_ROWS) if i not in guests]]
    ratios = counted[rows(0, NUM_ROWS, None).loss_mask[: len(counted)]].double().exp()
    above = (ratios > 2).double().mean().item()
    assert logged["sampling_ratio/above_2_frac"] == pytest.approx(above)
    in_parts, _ = step(gap, correction, cuts=3, **fields)
    torch.testing.assert_close(in_parts, moved, atol=1e-7, rtol=1e-4)


class Reinforce(GRPO):
    """Somebody's own: no ratio, no clip, no logprobs of the phase's start."""

    @property
    def needs_old(self) -> bool:
        return False

    def loss(self, inputs: LossInputs) -> LossOutput:
        token_loss = -inputs.advantages * inputs.policy_logprobs * inputs.token_weight[:, None]
        return LossOutput(torch.where(inputs.loss_mask, token_loss, 0.0).sum(), {})


def test_the_loss_is_the_algorithms() -> None:
    moved, logged = step(gaps(), None, algorithm=Reinforce())
    torch.testing.assert_close(moved, step(gaps(), None)[0], atol=1e-7, rtol=1e-4)  # r = 1: no clip
    assert "clip/low_frac" not in logged


def module(**settings: Any) -> PolicyGradientModule:
    images, optimizer = cast(Any, None), OptimizerSettings(lr=1.0)
    return PolicyGradientModule(make_policy(), images=images, optimizer=optimizer, **settings)


def test_a_correction_needs_the_start_whatever_the_algorithm() -> None:
    assert module(algorithm=GRPO()).needs_old
    assert not module(algorithm=Reinforce()).needs_old
    assert module(algorithm=Reinforce(), importance_correction=ImportanceCorrection()).needs_old


def test_a_reference_is_asked_of_the_algorithm() -> None:
    with pytest.raises(ConfigError, match=r"needs module\.reference"):
        module(algorithm=GRPO(kl_coef=0.1))
    with pytest.raises(ConfigError, match=r"module\.reference has no effect"):
        module(algorithm=GRPO(), reference=make_policy())
    module(algorithm=GRPO(kl_coef=0.1), reference=make_policy())


def test_the_gap_to_the_engine_is_not_counted_twice() -> None:
    with pytest.raises(ConfigError, match="algorithm=CISPO would count the gap"):
        module(algorithm=CISPO(anchor="rollout"), importance_correction=ImportanceCorrection())
    with pytest.raises(ConfigError, match="algorithm=VESPO would count the gap"):
        module(algorithm=VESPO(), importance_correction=ImportanceCorrection())
    module(algorithm=CISPO(), importance_correction=ImportanceCorrection())


def test_a_signal_is_asked_of_the_algorithm() -> None:
    with pytest.raises(ConfigError, match=r"algorithm=PAPO needs signals=\[visual_dependency\]"):
        module(algorithm=PAPO())
    assert module(algorithm=PAPO(), signals=[VisualDependency()]).gradient_signals == (
        "visual_dependency",
    )


def test_a_pass_under_changed_pictures_has_a_gradient() -> None:
    learner = module(algorithm=PAPO(), signals=[VisualDependency()])
    learner.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    learner.vision_cache, batch = None, rows(0, NUM_ROWS, None)
    other = replace(batch, input_ids=batch.input_ids.flip(0).roll(1, -1))  # stands for it
    item = PolicyBatch(batch, changed={"visual_dependency": other})
    plain = replace(batch, advantages=torch.zeros(NUM_ROWS, 5))
    loss = learner.training_step(replace(item, batch=plain), 0)
    loss.backward()
    assert any(
        weight.grad.abs().max() > 0
        for weight in learner.trained_parameters()
        if weight.grad is not None
    )
    logged = learner.step_metrics.compute()
    assert logged["signal/visual_dependency"] == pytest.approx(logged["papo/kl"]) != 0.0


def test_only_a_step_drops_anything() -> None:
    policy = make_policy(lora=LoraSettings(rank=2, target_modules=("q_proj",), dropout=0.5))
    torch.manual_seed(0)
    for name, weight in policy.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    learner = PolicyGradientModule(
        policy, images=cast(Any, None), optimizer=OptimizerSettings(lr=1.0), algorithm=GRPO()
    )
    learner.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    learner.vision_cache, batch = None, make_batch([])
    start = learner.start_logprobs(batch)
    assert torch.equal(start, learner.start_logprobs(batch))
    assert not torch.allclose(start, learner.logprobs(batch)[0], atol=1e-3)  # a step's own pass
    assert policy.has_dropout
    assert not make_policy().has_dropout


def taught(*scales: float, kl_coef: float = 0.0) -> tuple[Tensor, dict[str, float]]:
    """The trained weights after an update with each of these multiples of all advantages, by AdamW
    with momentum and weight decay; and what was logged last.
    """
    reference = make_policy(seed=1) if kl_coef else None
    algorithm, optimizer = GRPO(kl_coef=kl_coef), OptimizerSettings(lr=0.01, weight_decay=0.1)
    learner = PolicyGradientModule(
        make_policy(), images=cast(Any, None), optimizer=optimizer, algorithm=algorithm,
        reference=reference,
    )  # fmt: skip
    learner.vision_cache, batch = None, rows(0, NUM_ROWS, None)
    items = [
        PolicyBatch(replace(batch, advantages=ADVANTAGES[:, None].expand(-1, 5) * scale))
        for scale in scales
    ]
    if reference:
        ref = reference.response_logprobs(batch)[0].detach()
        items = [replace(item, ref_logprobs=ref) for item in items]
    trainer = Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    loader = DataLoader(cast(Any, items), batch_size=None, collate_fn=lambda one: one)
    trainer.fit(cast(LightningModule, learner), loader)
    weights = torch.cat([weight.detach().flatten() for weight in learner.trained_parameters()])
    return weights, {n: float(v) for n, v in trainer.callback_metrics.items()}


def test_an_update_without_a_signal_takes_no_step() -> None:
    moved, logged = taught(1.0)
    assert "train/no_signal" not in logged
    still, logged = taught(1.0, 0.0)
    assert torch.equal(still, moved)
    assert logged["train/no_signal"] == 1.0
    assert logged["train/lr"] == pytest.approx(0.01)
    assert torch.equal(taught(1.0, 0.0, 1.0)[0], taught(1.0, 1.0)[0])  # its momentum has not faded


def test_a_kl_is_a_signal_where_no_advantage_is() -> None:
    moved, logged = taught(0.0, kl_coef=0.1)
    assert not torch.equal(moved, taught(0.0)[0])
    assert "train/no_signal" not in logged


def mixed_step(*, cuts: int, **settings: Any) -> tuple[Tensor, dict[str, float]]:
    """With as many solutions beside; the policy gradient itself has no gradient."""
    mix = SFTMix(answers=cast(Any, None), sequences_per_update=NUM_ROWS, **settings)
    return step(gaps(), None, cuts=cuts, sft_mix=mix, with_solutions=True)


def test_solutions_beside_rollouts_are_mixed_in_whatever_the_cut() -> None:
    whole, logged = mixed_step(cuts=1, peak=0.25, valley=0.25)
    parts, logged_in_parts = mixed_step(cuts=3, peak=0.25, valley=0.25)
    torch.testing.assert_close(parts, whole, atol=1e-7, rtol=1e-4)
    assert logged_in_parts == pytest.approx(logged, rel=1e-4, abs=1e-6)
    assert logged["train/mu"] == 0.25
    alone, _ = mixed_step(cuts=1, peak=1.0, valley=1.0)
    plain, _ = step(gaps(), None)
    torch.testing.assert_close(whole, 0.75 * plain + 0.25 * alone, atol=1e-6, rtol=1e-4)
