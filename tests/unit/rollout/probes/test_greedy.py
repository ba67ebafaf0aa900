"""A baseline per prompt, and an answer before each call, on a scripted engine."""

from __future__ import annotations

from tests.unit.rollout.world import ANSWER, ZOOM, World
from vigorl.core.protocols import GenerationRequest
from vigorl.core.rewards import AccuracyReward
from vigorl.core.rollout import Rollout
from vigorl.core.trace import render_answer_turn
from vigorl.rollout.engines.scripted import ScriptedEngine, turn_number
from vigorl.rollout.probes.answer_now import AnswerNow
from vigorl.rollout.probes.greedy import Greedy
from vigorl.rollout.probes.probe import Probe
from vigorl.training.generation import RolloutGenerator

WRONG = render_answer_turn("Too far away.", "blue")


def policy(request: GenerationRequest) -> str:
    """Looks twice; knows the answer from the second turn on; greedily it guesses at once."""
    if "/greedy/" in request.id:
        return WRONG
    if "answer_now" in request.id:
        return "blue</answer>" if "answer_now_0" in request.id else "red</answer>"
    return ANSWER if turn_number(request) == 3 else ZOOM


def generate(world: World, probe: Probe) -> tuple[list[Rollout], list[GenerationRequest]]:
    requests: list[GenerationRequest] = []

    def noting(request: GenerationRequest) -> str:
        requests.append(request)
        return policy(request)

    generated = RolloutGenerator(ScriptedEngine(noting, world.codec), seed=3).generate(
        world.environment(),
        [world.task("t0"), world.task("t1")],
        name="train/0",
        group_size=2,
        rank=0,
        num_ranks=1,
        on_progress=lambda name, done, total: None,
        probes=[probe],
    )
    return generated.rollouts, requests


def test_a_prompt_is_asked_greedily_once(world: World) -> None:
    rollouts, requests = generate(world, Greedy(reward=AccuracyReward()))
    found = {"greedy_reward": 0.0, "greedy_score": 0.0}
    assert [one.probes for one in rollouts] == [found, {}, found, {}]
    assert [one.score for one in rollouts] == [1.0] * 4
    greedy = [one for one in requests if "/greedy/" in one.id]
    assert [one.sampling.temperature for one in greedy] == [0.0, 0.0]


def test_an_answer_is_asked_for_before_each_call(world: World) -> None:
    rollouts, requests = generate(world, AnswerNow())
    assert [one.probes for one in rollouts] == [{"answer_now_0": 0.0, "answer_now_1": 1.0}] * 4
    first = next(one for one in requests if one.id.startswith("train/0/t0/answer_now_1/0"))
    turn = rollouts[0].turns[0]
    shown = (*rollouts[0].prompt_ids, *turn.completion_ids, *turn.observation_ids)
    assert first.prompt_ids[: len(shown)] == shown
    assert len(first.prompt_ids) > len(shown)  # the opened answer
    assert first.views == rollouts[0].views[:2]
