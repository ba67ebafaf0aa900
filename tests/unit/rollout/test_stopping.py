"""Dialogs that are asked after each look whether it is enough."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.unit.rollout.fake_judge import FakeJudge
from tests.unit.rollout.world import ANSWER, ZOOM, ZOOM_AGAIN, World
from vigorl.core.errors import EngineError
from vigorl.core.protocols import Completion
from vigorl.core.rollout import Rollout, StopReason
from vigorl.rollout.collector import collect
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.engines.scripted import ScriptedEngine, by_turn
from vigorl.rollout.inference.verifier import Verifier

ASIDE = " red </answer>"


def start(world: World, rule: Verifier) -> Dialog:
    environment = rule.sampled(world.environment(temperature=0.0))
    return environment.start(world.task(), group="g", index=0, seed=1)


def reply(world: World, dialog: Dialog, text: str, logprob: float | None = -0.01) -> None:
    request = dialog.next_request()
    ids = tuple(world.codec.completion_ids(text))
    logprobs = () if logprob is None else (logprob,) * len(ids)
    dialog.accept(Completion(request.id, ids, logprobs, is_finished=True))


def test_a_likely_answer_ends_the_dialog(world: World) -> None:
    dialog = start(world, Verifier(enough=0.8))
    reply(world, dialog, ZOOM)
    assert dialog.is_being_checked
    assert dialog.next_request().id == "g/aside/0/2"
    reply(world, dialog, ASIDE)
    rollout = dialog.rollout()
    assert (rollout.answer, rollout.stop_reason) == ("red", StopReason.ANSWERED)
    assert (len(rollout.turns), rollout.group) == (2, "g")
    assert rollout.probes["rule_stopped"] == 1.0
    assert rollout.probes["rule_tokens"] == 0.0  # they are the answer's own


def test_an_unlikely_answer_is_forgotten(world: World) -> None:
    rule = Verifier(eps=0.001, least=0.0, enough=0.999)
    dialog, plain = start(world, rule), start(world, Verifier(enough=None, eps=0.0))
    reply(world, dialog, ZOOM)
    assert dialog.fork(index=1, seed=1).next_request().id == "g/aside/1/2"
    dialog.next_request()
    with pytest.raises(RuntimeError, match="cannot be forked now"):
        dialog.fork(index=1, seed=1)
    reply(world, dialog, " blue </answer>", -0.5)
    assert dialog.next_request().id == "g/0/2"
    reply(world, dialog, ANSWER)
    rollout = dialog.rollout()
    assert (rollout.answer, rollout.probes["rule_checks"]) == ("red", 1.0)
    assert rollout.probes["rule_tokens"] == len(world.codec.completion_ids(" blue </answer>"))
    for text in (ZOOM, ASIDE, ANSWER):
        reply(world, plain, text)
    assert plain.rollout().token_ids == rollout.token_ids


def test_an_answer_that_no_longer_moves_ends_the_dialog(world: World) -> None:
    dialog = start(world, Verifier(eps=0.05, enough=None))
    unsure = start(world, Verifier(eps=0.05, enough=None, least=0.999))
    for text in (ZOOM, ASIDE, ZOOM_AGAIN, ASIDE):
        assert not dialog.is_done
        reply(world, dialog, text)
        reply(world, unsure, text)
    assert dialog.rollout().probes["rule_checks"] == 2.0
    assert len(dialog.turns) == 3
    assert not unsure.is_done


def test_an_engine_without_logprobs_is_refused(world: World) -> None:
    dialog = start(world, Verifier())
    reply(world, dialog, ZOOM)
    with pytest.raises(EngineError, match="set inference=verifier_judge"):
        reply(world, dialog, ASIDE, None)


@pytest.mark.parametrize(("said", "num_turns"), [("YES", 2), ("No, look on.", 3)])
def test_a_judge_says_when_it_is_enough(world: World, said: str, num_turns: int) -> None:
    asked: list[Any] = []

    def judge(prompt: Any) -> str:
        asked.append((prompt.text, len(prompt.draw())))
        return said

    dialog = start(world, Verifier(judge=FakeJudge(judge)))
    reply(world, dialog, ZOOM)
    if said == "YES":
        assert dialog.next_request().prompt_ids[-1] != dialog.turns[0].observation_ids[-1]
        reply(world, dialog, ASIDE)
    else:
        reply(world, dialog, ZOOM_AGAIN)
        reply(world, dialog, ANSWER)
    assert len(dialog.turns) == num_turns
    text, num_pictures = asked[0]
    assert (text.count("<image>"), num_pictures) == (2, 2)
    assert dialog.rollout().probes["rule_stopped"] == float(said == "YES")


def test_a_dialog_whose_judge_thinks_holds_up_no_other(world: World) -> None:
    others_are_done, done = threading.Event(), list[str]()

    def judge(prompt: Any) -> str:
        if "slow" in prompt.text:
            assert others_are_done.wait(20)
        return "NO"

    rule = Verifier(judge=FakeJudge(judge, num_threads=2))
    environment = rule.sampled(world.environment(temperature=0.0))
    dialogs = [
        environment.start(world.task(name), group=name, index=0, seed=1)
        for name in ("slow", "quick")
    ]

    def on_done(rollout: Rollout) -> None:
        done.append(rollout.group)
        others_are_done.set()

    engine = ScriptedEngine(by_turn([ZOOM, ANSWER]), world.codec)
    result = collect(engine, dialogs, phase="eval", on_done=on_done)
    assert done == ["quick", "slow"]
    assert [rollout.group for rollout in result.rollouts] == ["slow", "quick"]
