"""Which answers are paired, and how pairs become optimizer batches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from lightning import LightningModule, Trainer
from torch.utils.data import DataLoader

from tests import builders
from tests.unit.models.small import make_batch, make_policy
from vigorl.core.errors import ConfigError
from vigorl.core.rollout import Rollout, TrainingSample
from vigorl.models.pair_losses import PairLoss
from vigorl.rollout.recorder import RolloutRecorder
from vigorl.training.pair_module import PairModule
from vigorl.training.pairs import Pair, PairBatch, PairBatches, PairBatching
from vigorl.training.policy_module import OptimizerSettings


def answered(answer: str, *, hits: bool = True, num_tokens: int = 4) -> Rollout:
    """One look and an answer; its token count names it."""
    look = builders.zoom_turn() if hits else builders.zoom_turn(100, 100)
    return builders.rollout(look, builders.answer_turn(answer, num_tokens=num_tokens))


def sizes(pairs: list[Pair]) -> list[tuple[int, int]]:
    return [(sum(one.chosen.loss_mask) - 4, sum(one.rejected.loss_mask) - 4) for one in pairs]


NO_NEED = ([], cast(Any, None))  # questions and environment
GROUP = [
    answered("blue", num_tokens=1),
    answered("red", hits=False, num_tokens=2),
    answered("blue", hits=False, num_tokens=3),
    answered("red", num_tokens=5),
]


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, [(2, 1)]),
        ({"per_prompt": 4}, [(2, 1), (5, 3)]),  # no answer twice
        ({"right_hits": 0.8}, [(5, 3)]),  # the worst: wrong and in the wrong place
        ({"right_hits": 0.8, "wrong_hits": 0.2, "per_prompt": 4}, [(5, 3)]),  # VisRL
        ({"wrong_hits": 0.9}, [(5, 3)]),  # the best: right and in the right place
    ],
)
def test_right_is_paired_with_wrong(
    settings: dict[str, Any], wanted: list[tuple[int, int]]
) -> None:
    batching = PairBatching(rollouts="x", pairs_per_update=2, micro_batch_size=1, **settings)
    assert sizes(batching.of_group(GROUP)) == wanted
    assert batching.of_group(GROUP[:1]) == []


def test_records_are_read_prompt_by_prompt(tmp_path: Path) -> None:
    for phase in (0, 1):
        path = tmp_path / f"train_phase_{phase:04d}.jsonl"
        with RolloutRecorder(path, run_seed=0) as recorder:
            for one in (GROUP[0], GROUP[3]):  # the same prompt in each phase
                recorder.write(builders.scored(replace(one, group="a")), phase=f"train/{phase}")
            recorder.write(builders.scored(replace(GROUP[1], group="b")), phase=f"train/{phase}")
    given = {"pairs_per_update": 2, "micro_batch_size": 1}
    found = PairBatching(rollouts=f"{tmp_path}/train_phase_*.jsonl", **given).read(
        [], cast(Any, None)
    )
    assert sizes(found) == [(5, 1)] * 2
    with pytest.raises(ConfigError, match=r"2 pairs of 4 prompts do not fill one .* of pairs\.pa"):
        PairBatching(rollouts=f"{tmp_path}/*", **(given | {"pairs_per_update": 3})).read(
            [], cast(Any, None)
        )
    with pytest.raises(ConfigError, match=r"pairs\.rollouts='nowhere': there is no such file"):
        PairBatching(rollouts="nowhere", **given).read(*NO_NEED)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"wrong_to": 1.0}, r"0 <= pairs\.wrong_to < pairs\.right_from <= 1, got 1\.0 and 1\.0"),
        ({"per_prompt": 0}, r"pairs\.per_prompt must be at least 1, got 0"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PairBatching(rollouts="x", pairs_per_update=2, micro_batch_size=1, **settings)


def test_batches_hold_both_answers_with_the_weights_of_the_whole_update() -> None:
    def answer(number: int, length: int) -> TrainingSample:
        return TrainingSample((number,) * length, (1,) * length, ())

    pairs = [Pair(answer(i, i + 1), answer(10 + i, 2)) for i in range(5)]

    def served(rank: int, num_ranks: int) -> list[list[TrainingSample]]:
        settings = PairBatching(rollouts="x", pairs_per_update=4, micro_batch_size=1)
        batches = PairBatches(
            pairs, settings, collate=cast(Any, list), order="0/0", rank=rank, world_size=num_ranks,
            num_tokens=lambda sample: len(sample.token_ids),
        )  # fmt: skip
        assert {one.pair_weight for one in batches} == {0.25}
        return [cast(Any, one.batch) for one in batches]

    whole = served(0, 1)
    assert [rejected.token_ids[0] - chosen.token_ids[0] for chosen, rejected in whole] == [10] * 4
    num_chosen = sum(len(rows[0].token_ids) for rows in whole)
    assert {row.token_weight for rows in whole for row in rows} == {1 / num_chosen}
    shared = [one for pair in zip(served(0, 2), served(1, 2), strict=True) for one in pair]
    assert shared == whole


class PlainModule(PairModule):
    """By gradient descent, so that a step is the gradient itself."""

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.trained_parameters(), lr=1.0)


def steps(*, cuts: int) -> tuple[torch.Tensor, PairModule]:
    """Two updates of two pairs each."""
    module = PlainModule(
        make_policy(),
        algorithm=PairLoss(dpo_weight=0.8, bco_weight=0.2, nll_weight=1.0),
        reference=make_policy(),
        images=cast(Any, None),
        optimizer=OptimizerSettings(lr=1.0),
    )
    module.vision_cache = None  # no pictures
    whole = replace(make_batch(*[[]] * 4), token_weight=torch.full((4,), 1 / 6))
    rows = [[0, 1, 2, 3]] if cuts == 1 else [[0, 2], [1, 3]]
    items = [
        PairBatch(
            replace(
                whole,
                token_share=None,
                advantages=None,
                sampling_logprobs=None,
                **{
                    name: getattr(whole, name)[own]
                    for name in ("input_ids", "attention_mask", "loss_mask", "token_weight")
                },
            ),
            0.5,
        )
        for own in rows
    ] * 2
    trainer = Trainer(
        accelerator="cpu", max_epochs=1, accumulate_grad_batches=cuts, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    loader = DataLoader(cast(Any, items), batch_size=None, collate_fn=lambda one: one)
    trainer.fit(cast(LightningModule, module), loader)
    return module.policy.model.get_parameter("model.language_model.norm.weight").detach(), module


def test_no_cut_changes_a_step_and_the_shift_is_kept() -> None:
    whole, module = steps(cuts=1)
    parts, in_parts = steps(cuts=2)
    torch.testing.assert_close(parts, whole, atol=1e-6, rtol=1e-4)
    assert module.shift.num == 2
    assert module.shift.value != 0.0
    assert in_parts.shift.value == pytest.approx(module.shift.value, rel=1e-3)
    checkpoint: dict[str, Any] = {}
    module.on_save_checkpoint(checkpoint)
    other = steps(cuts=1)[1]
    other.shift.add(3.0, 3.0)
    other.on_load_checkpoint(checkpoint)
    assert other.shift == module.shift
