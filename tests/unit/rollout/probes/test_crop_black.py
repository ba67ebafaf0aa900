"""Probes on a scripted engine: what they ask, what they leave alone, what they find."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.rollout.world import ANSWER, ZOOM, World
from vigorl.core.errors import ConfigError
from vigorl.core.media import Edited
from vigorl.core.metrics import rollout_metrics
from vigorl.core.protocols import GenerationRequest
from vigorl.core.rollout import RewardBreakdown, Rollout, ScoredRollout
from vigorl.core.trace import render_answer_turn
from vigorl.rollout.engines.scripted import ScriptedEngine, turn_number
from vigorl.rollout.probes.crop_black import CropBlack
from vigorl.rollout.probes.probe import Schedule
from vigorl.training.generation import RolloutGenerator

BLIND = render_answer_turn("All is black.", "blue")


def is_blind(request: GenerationRequest) -> bool:
    return any(isinstance(view.source, Edited) for view in request.views)


class Reader:
    """Zooms, then reads the answer off the crop; "t1" answers without a look, "t2" by heart."""

    def __init__(self) -> None:
        self.requests: list[GenerationRequest] = []

    def __call__(self, request: GenerationRequest) -> str:
        self.requests.append(request)
        if "t1" in request.id:
            return ANSWER
        if turn_number(request) == 1:
            return ZOOM
        return BLIND if is_blind(request) and "t2" not in request.id else ANSWER


def generate(
    world: World, *probes: CropBlack, num_tasks: int = 3
) -> tuple[list[Rollout], list[GenerationRequest]]:
    reader = Reader()
    generated = RolloutGenerator(ScriptedEngine(reader, world.codec), seed=3).generate(
        world.environment(),
        [world.task(f"t{i}") for i in range(num_tasks)],
        name="train/0",
        group_size=2,
        rank=0,
        num_ranks=1,
        on_progress=lambda name, done, total: None,
        probes=probes,
    )
    assert ("time/probe_s" in generated.costs) == bool(probes)
    return generated.rollouts, reader.requests


def test_a_policy_that_reads_its_crops_is_told_from_one_that_does_not(world: World) -> None:
    rollouts, _ = generate(world, CropBlack())
    reads = {"crop_black": 1.0, "crop_black_drop": 1.0, "crop_black_score": 0.0}
    by_heart = {"crop_black": 0.0, "crop_black_drop": 0.0, "crop_black_score": 1.0}
    assert [rollout.probes for rollout in rollouts] == [reads] * 2 + [{}] * 2 + [by_heart] * 2
    metrics = rollout_metrics([ScoredRollout(one, RewardBreakdown(0.0)) for one in rollouts])
    assert (metrics["probe/crop_black"], metrics["probe/crop_black_drop"]) == (0.5, 0.5)


def test_probes_change_nothing_about_the_rollouts(world: World) -> None:
    alone, requests = generate(world)
    probed, all_requests = generate(world, CropBlack())
    assert [replace(rollout, probes={}) for rollout in probed] == alone
    assert all_requests[: len(requests)] == requests


def test_the_last_turn_is_asked_again_greedily_with_the_same_tokens(world: World) -> None:
    _, requests = generate(world, CropBlack(), num_tasks=1)
    last, seen, black = (
        next(one for one in requests if one.id == f"train/0/t0{name}/0/2")
        for name in ("", "/crop_black_before", "/crop_black")
    )
    assert seen.prompt_ids == black.prompt_ids == last.prompt_ids
    assert (last.sampling.temperature, seen.sampling.temperature) == (1.0, 0.0)
    assert seen.sampling == black.sampling == replace(last.sampling, temperature=0.0)
    assert seen.views == last.views
    assert black.views[0] == last.views[0]  # the prompt's picture stays
    assert [view.size for view in black.views] == [view.size for view in last.views]
    pixels = [world.images.pixels(view).pixel_values for view in black.views]
    assert pixels[0].std() > 0
    assert bool((pixels[1].std(dim=0) == 0).all())


def test_a_schedule_says_how_many_and_when(world: World) -> None:
    rollouts, _ = generate(world, CropBlack(schedule=Schedule(num_rollouts=2)))
    # of the four that can be asked about (t0, t0, t2, t2) the first and the third
    assert [bool(rollout.probes) for rollout in rollouts] == [True, *[False] * 3, True, False]
    assert [Schedule(every=3).is_due(phase) for phase in range(4)] == [True, False, False, True]
    with pytest.raises(ConfigError, match=r"schedule\.every must be a whole number from 1"):
        Schedule(every=0)
