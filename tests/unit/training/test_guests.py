"""Who joins a group, and what a guest is paid."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from tests import builders
from vigorl.core.errors import ConfigError
from vigorl.core.protocols import FINISHED
from vigorl.core.rewards.recipes import grounded_zoom_reward
from vigorl.core.rollout import GUEST, Rollout, ScoredRollout
from vigorl.rollout.experience import score_rollouts
from vigorl.rollout.limits import RolloutLimits
from vigorl.training import guests as module
from vigorl.training.algorithms.grpo import GRPO
from vigorl.training.guests import Guests, guest_sums
from vigorl.training.phase import credit_rollouts

REWARD = grounded_zoom_reward()  # a right answer after one look: 0.6 + 0.2 + 0.25 * 0.2 = 0.85
WRONG = builders.rollout(builders.answer_turn("blue"))  # of good form: 0.2


def own(*rollouts: Rollout) -> list[ScoredRollout]:
    """Two groups of these rollouts each, interleaved."""
    pairs = [(i, one, group) for i, one in enumerate(rollouts) for group in "ab"]
    return score_rollouts([replace(one, group=group, index=i) for i, one, group in pairs], REWARD)


def invite(scored: list[ScoredRollout], **settings: Any) -> list[ScoredRollout]:
    parts: dict[str, Any] = dict.fromkeys(("prompt", "codec", "images", "tools"))
    limits = RolloutLimits(max_turns=2, max_images=2, max_new_tokens=9, max_response_tokens=99)
    environment = cast(Any, type("E", (), parts | {"limits": limits}))
    answers = cast(Any, type("A", (), {"of": staticmethod(lambda task: task)}))
    return Guests(answers=answers, **settings).invite(
        scored, environment=environment, reward=REWARD, progress=FINISHED
    )


@pytest.fixture(autouse=True)
def a_guest_looks_and_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    sampled = (builders.zoom_turn(), builders.answer_turn())
    turns = [replace(turn, sampling_logprobs=()) for turn in sampled]
    guest = builders.rollout(*turns, policy_version=GUEST)
    monkeypatch.setattr(module, "trace_rollout", lambda task, **_: replace(guest, task=task))


def test_each_group_has_one_and_its_sample_has_no_logprobs() -> None:
    scored = own(WRONG, WRONG)
    joined = invite(scored)
    assert [(one.rollout.group, one.rollout.index) for one in joined] == [("a", 2), ("b", 2)]
    credited, samples, _ = credit_rollouts([*scored, *joined], GRPO())
    # rewards 0.2, 0.2, 0.85: the last is 2 / sqrt(3) standard deviations above their mean
    assert [round(one.advantage, 3) for one in credited] == [-0.577] * 4 + [1.155] * 2
    assert [(one.is_guest, bool(one.sampling_logprobs)) for one in samples] == (
        [(False, True)] * 4 + [(True, False)] * 2
    )
    found = {name: total / num for name, (total, num) in guest_sums(credited[4:]).items()}
    assert found == pytest.approx({
        "guests/accuracy": 1.0, "guests/reward": 0.85, "guests/idle_frac": 0.0,
        "guests/advantage": 1.1547,
    }, abs=1e-4)  # fmt: skip


@pytest.mark.parametrize(
    ("rollouts", "settings", "total"),
    [
        ((WRONG, WRONG), {}, 0.85),
        ((WRONG, WRONG), {"unpaid": ("format",)}, 0.65),
        ((WRONG, builders.rollout()), {"unpaid": ("format",)}, 0.65),
        ((WRONG, WRONG), {"unpaid": ("format",), "yields": True}, 0.65),
        ((WRONG, builders.rollout()), {"unpaid": ("format",), "yields": True}, (0.2 + 0.85) / 2),
        ((WRONG, builders.rollout()), {"yields": True}, (0.2 + 0.85) / 2),  # as good is enough
    ],
)
def test_what_a_guest_is_paid(
    rollouts: tuple[Rollout, ...], settings: dict[str, Any], total: float
) -> None:
    joined = invite(own(*rollouts), **settings)
    assert [one.reward.total for one in joined] == pytest.approx([total] * 2)


def test_a_guest_that_yields_teaches_nothing() -> None:
    scored = own(WRONG, builders.rollout())
    credited, _, _ = credit_rollouts([*scored, *invite(scored, yields=True)], GRPO())
    assert guest_sums(credited[4:])["guests/idle_frac"] == (2, 2)


def test_wrong_settings_are_refused_by_their_keys() -> None:
    with pytest.raises(ConfigError, match=r"guests\.gamma must be above 0, got 0"):
        Guests(answers=cast(Any, None), gamma=0.0)
    with pytest.raises(ConfigError, match=r"guests\.unpaid=caption is no weighted part of the"):
        invite(own(WRONG, WRONG), unpaid=("caption",))
