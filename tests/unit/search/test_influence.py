"""Gradients of the head from stored tries, and the questions that they keep."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.unit.rollout.world import World
from tests.unit.search.test_forest import grow, tasks
from vigorl.core.errors import ConfigError
from vigorl.models.policy import Policy
from vigorl.search.head_gradient import HeadGradients
from vigorl.search.keeping.influence import Influence
from vigorl.search.mcts import SearchSettings
from vigorl.search.record import TreeRecorder
from vigorl.search.searched import SearchedTask

TRIES = SearchSettings(num_simulations=1, num_children=0, num_rollouts=5)


@pytest.fixture(scope="module")
def searched(world: World) -> list[SearchedTask]:
    """Three questions, five tries each."""
    asked = tasks(world, 3)
    trees = sorted(grow(world, tasks=asked, settings=TRIES), key=lambda tree: tree.id)
    return [SearchedTask.of(t, a, world.images) for t, a in zip(trees, asked, strict=True)]


@pytest.fixture(scope="module")
def gradients(world: World) -> HeadGradients:
    return HeadGradients(Policy.from_pretrained(world.folder, dtype="float32"), world.environment())


def test_the_gradient_is_that_of_the_tries_log_probabilities(
    searched: list[SearchedTask], gradients: HeadGradients
) -> None:
    one = next(one for one in searched if gradients.total([one]).any())
    weight = gradients.policy.model.lm_head.weight.detach().clone().requires_grad_()  # pyright: ignore
    total = torch.zeros(())
    for advantage, sample in gradients._tries(one):
        with torch.no_grad():
            residuals, states = gradients._tokens(sample)
        chosen = residuals.argmax(-1)  # of all entries that of the chosen token alone is above 0
        logprobs = (states @ weight.T).log_softmax(-1).gather(-1, chosen[:, None])
        total = total + advantage * logprobs.sum()
    total.backward()
    assert weight.grad is not None
    found = gradients.total([one])
    torch.testing.assert_close(found, weight.grad, atol=1e-5, rtol=1e-4)
    assert gradients.along(one, found) == pytest.approx(float((found * found).sum()), rel=1e-4)


def test_the_most_influential_stay(
    searched: list[SearchedTask], gradients: HeadGradients, tmp_path: Path
) -> None:
    with TreeRecorder(tmp_path / "val.jsonl") as recorder:
        recorder.write(searched[0].tree)
    verdicts = Influence(val_trees=str(tmp_path / "val.jsonl"), keep_frac=0.3).judge_by(
        searched, gradients
    )
    scores = [float(one.numbers["influence"]) for one in verdicts]
    assert scores[0] > 0  # with itself
    assert [one.kept is not None for one in verdicts] == [
        score == max(scores) and score != 0 for score in scores
    ]


def test_a_validation_set_without_a_direction_is_refused(
    world: World, gradients: HeadGradients, tmp_path: Path
) -> None:
    one_try = SearchSettings(num_simulations=1, num_children=0, num_rollouts=1)
    with TreeRecorder(tmp_path / "val.jsonl") as recorder:
        recorder.write(grow(world, tasks=tasks(world, 1), settings=one_try)[0])
    with pytest.raises(ConfigError, match="shows no direction"):
        Influence(val_trees=str(tmp_path / "val.jsonl")).judge_by([], gradients)
