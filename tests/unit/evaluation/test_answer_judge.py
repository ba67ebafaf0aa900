"""A model that judges what rules do not call right, behind a small server; and rollouts judged
again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.builders import answer_turn, rollout, task, turn
from tests.chat_server import ChatServer
from vigorl.core.errors import DataError, EngineError
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout
from vigorl.core.scoring import NumberMatch, YesNo
from vigorl.evaluation.answer_judge import AnswerJudge, needs_judge
from vigorl.evaluation.judging import AsTrained
from vigorl.evaluation.protocols.vigorl_released import VigorlReleased
from vigorl.evaluation.rescoring import rescore
from vigorl.evaluation.runner import outcome_of

OPEN = task(id="open", answer="crimson", options=())


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[str], str | None]], ChatServer]]:
    servers: list[ChatServer] = []

    def make(script: Callable[[str], str | None]) -> ChatServer:
        servers.append(ChatServer(script))
        return servers[-1]

    yield make
    for one in servers:
        one.close()


def says_red(prompt: str) -> str:
    is_red = "<answer>\nred\n</answer>" in prompt
    return f"Because. <verdict>{'right' if is_red else 'wrong'}</verdict>"


def judged(server: ChatServer, cache: Path, *, model: str = "wise") -> AnswerJudge:
    return AnswerJudge.connect(
        AsTrained(), urls=[server.url], model=model, cache=cache, backoff_s=0.001, max_attempts=2
    )


def answered(answer: str, asked: TaskRecord = OPEN, **fields: Any) -> Rollout:
    return rollout(answer_turn(answer), task=asked, **fields)


def test_rules_first_then_the_judge_and_each_question_once(tmp_path: Path, serve: Any) -> None:
    server, cache = serve(says_red), tmp_path / "of" / "verdicts.jsonl"
    judging = judged(server, cache)
    rollouts = [answered("crimson"), answered("red"), answered("blue"), answered("red")]
    judging.ask(rollouts)
    assert [judging.score(one) for one in rollouts] == [1.0, 1.0, 0.0, 1.0]
    assert len(server.prompts) == 2
    assert "crimson" in server.prompts[0]
    assert judging.extras(rollouts[0]) == {"rule": 1.0, "judged": 0.0}
    assert judging.extras(rollouts[1]) == {"rule": 0.0, "judged": 1.0, "no verdict": 0.0}

    again = judged(server, cache)  # another run: nothing is asked again
    assert [again.score(one) for one in rollouts] == [1.0, 1.0, 0.0, 1.0]
    assert len(server.prompts) == 2
    judged(server, cache, model="wiser").ask(rollouts)  # another model: everything
    assert len(server.prompts) == 4


def test_what_is_never_asked(tmp_path: Path, serve: Any) -> None:
    server = serve(says_red)
    judging = judged(server, tmp_path / "verdicts.jsonl")
    choice = task(answer="green", options=("red", "green"))
    closed = task(answer="yes", options=(), scorer=YesNo())
    rollouts = [answered("red", choice), answered("red", closed), rollout(turn("red"), task=OPEN)]
    judging.ask(rollouts)
    assert [judging.score(one) for one in rollouts] == [0.0, 0.0, 0.0]
    assert server.prompts == []
    assert needs_judge(task(answer="3", options=(), scorer=NumberMatch()))


def test_a_dead_judge_is_named_and_nothing_is_lost(tmp_path: Path, serve: Any) -> None:
    cache = tmp_path / "verdicts.jsonl"
    server = serve(lambda prompt: None if "blue" in prompt else says_red(prompt))
    rollouts = [answered("red"), answered("blue")]
    with pytest.raises(EngineError, match=r"wise gave no reply to 1 of 2 questions: .*resume="):
        judged(server, cache).ask(rollouts)
    assert [json.loads(line)["right"] for line in cache.read_text().splitlines()] == [True]

    back = serve(says_red)
    assert [judged(back, cache).score(one) for one in rollouts] == [1.0, 0.0]
    assert len(back.prompts) == 1


def test_a_reply_without_a_verdict_is_wrong_and_counted(tmp_path: Path, serve: Any) -> None:
    judging = judged(serve(lambda prompt: "I cannot say."), tmp_path / "verdicts.jsonl")
    outcome = outcome_of(OPEN, [answered("red")], None, judging)
    assert outcome.scores == (0.0,)
    assert outcome.extras == {"rule": 0.0, "judged": 1.0, "no verdict": 1.0}


def test_a_cache_that_is_none(tmp_path: Path, serve: Any) -> None:
    server, cache = serve(says_red), tmp_path / "verdicts.jsonl"
    cache.write_text('{"key": "a", "right": true}\n{"key": "b", "ri')  # cut off: left out
    judged(server, cache).ask([answered("red")])
    assert len(cache.read_text().splitlines()) == 2
    judged(server, cache)
    cache.write_text('{"key": "a", "right": "yes"}\n{"key": "b", "right": true}\n')
    with pytest.raises(DataError, match=r"verdicts\.jsonl:1: no verdict of a judge: \"right\""):
        judged(server, cache)


def test_the_protocol_names_judge_and_rules(tmp_path: Path, serve: Any) -> None:
    said = judged(serve(says_red), tmp_path / "verdicts.jsonl").settings()
    assert said["model"] == "wise"
    assert said["rules"] == {"_target_": "vigorl.evaluation.judging.AsTrained"}
    assert len(said["prompt"]) == 16


def test_rollouts_judged_again() -> None:
    right, other = task(id="a"), task(id="b")
    rollouts = [
        answered("not red", right, index=1),
        answered("red", other),
        answered("red", right),
        answered("blue", other, index=1),
    ]
    assert [one.scores for one in rescore(rollouts)] == [(1.0, 0.0), (1.0, 0.0)]
    released = rescore(rollouts, VigorlReleased())
    assert [(one.id, one.scores) for one in released] == [("a", (1.0, 1.0)), ("b", (1.0, 0.0))]
    with pytest.raises(DataError, match="there is no rollout"):
        rescore([])
    with pytest.raises(DataError, match="question 'a' has two rollouts 0"):
        rescore([answered("red", right), answered("red", right)])
    with pytest.raises(DataError, match="1 to 2 rollouts: the run is cut"):
        rescore(rollouts[:3])
