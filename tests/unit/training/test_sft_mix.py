"""Solutions beside rollouts: how much they count, and which of them an update has."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch

from tests import builders
from vigorl.core.errors import ConfigError
from vigorl.core.rollout import TrainingSample
from vigorl.models.losses import LossOutput
from vigorl.rollout.limits import RolloutLimits
from vigorl.training import sft_mix as module
from vigorl.training.buffer import MicroBatch
from vigorl.training.sft_mix import SFTMix, mixed_loss


def mix(**settings: Any) -> SFTMix:
    answers = cast(Any, type("A", (), {"of": staticmethod(lambda task: task)}))
    given = {"answers": answers, "sequences_per_update": 4, "peak": 0.9, "valley": 0.1}
    return SFTMix(**(given | settings))


def test_the_weight_rises_and_falls() -> None:
    schedule = mix(warmup_frac=0.2, decay_frac=0.4)
    found = [schedule.mu(done) for done in (0.0, 0.1, 0.2, 0.4, 0.6, 1.0)]
    assert found == pytest.approx([0.0, 0.45, 0.9, 0.5, 0.1, 0.1])
    assert mix(decay_frac=0.5).mu(0.0) == pytest.approx(0.9)
    assert mix(peak=0.1, valley=0.1).mu(0.3) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("is_weighted", "loss", "slopes"),
    [
        # p = 1/2 and 1/4; weights 1/2 of two tokens
        (False, 0.7 * 3.0 + 0.3 * 0.5 * (2 + 1) * 0.693147, [-0.15, -0.15]),
        # times 1/4 and 3/16, detached
        (
            True,
            0.7 * 3.0 + 0.3 * 0.5 * (1 / 4 + 2 * 3 / 16) * 0.693147,
            [-0.15 / 4, -0.15 * 3 / 16],
        ),
    ],
)
def test_the_mixed_loss_by_hand(is_weighted: bool, loss: float, slopes: list[float]) -> None:
    logprobs = torch.tensor([[0.5, 0.25, 0.1]]).log().requires_grad_()
    mask, weight = torch.tensor([[1, 1, 0]]), torch.tensor([0.5])
    own = LossOutput(torch.tensor(3.0), {})
    out = mixed_loss(own, logprobs, mask, weight, mu=0.3, is_weighted=is_weighted)
    assert out.loss.item() == pytest.approx(loss, rel=1e-5)
    out.loss.backward()
    assert logprobs.grad is not None
    assert logprobs.grad[0].tolist() == pytest.approx([*slopes, 0.0], rel=1e-5)


def test_each_update_has_its_solutions_whatever_the_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        module,
        "encode_trace",
        lambda task, **_: TrainingSample((int(task.id),) * 3, (0, 1, 1), ()),
    )
    tasks = [builders.task(id=str(i)) for i in range(9)]
    parts: dict[str, Any] = dict.fromkeys(("prompt", "codec", "images", "tools"))
    limits = RolloutLimits(max_turns=2, max_images=2, max_new_tokens=9, max_response_tokens=99)
    environment = cast(Any, type("E", (), parts | {"limits": limits}))

    def numbers(accumulate: int, order: str = "0/0") -> list[list[int]]:
        plain = [MicroBatch([TrainingSample((), (), ())]) for _ in range(2 * accumulate)]
        found = mix().beside(
            plain, tasks, environment=environment, accumulate=accumulate, order=order, rank=0,
            num_ranks=1,
        )  # fmt: skip
        assert {one.token_weight for micro in found for one in micro.solutions} == {1 / 8}
        return [
            [one.token_ids[0] for micro in found[i : i + accumulate] for one in micro.solutions]
            for i in range(0, len(found), accumulate)
        ]

    whole = numbers(1)
    assert [len(set(update)) for update in whole] == [4, 4]
    assert numbers(2) == whole
    assert numbers(1, "0/1") != whole


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"valley": 0.95}, r"0 <= sft_mix\.valley <= sft_mix\.peak <= 1, got 0\.95 and 0\.9"),
        ({"warmup_frac": 0.7, "decay_frac": 0.7}, r"sft_mix\.decay_frac must be shares with a sum"),
        ({"sequences_per_update": 0}, r"sft_mix\.sequences_per_update must be at least 1, got 0"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mix(**settings)
    with pytest.raises(ConfigError, match=r"sequences_per_update=4 must be a multiple of 3 ranks"):
        mix().check(accumulate=1, num_ranks=3)
