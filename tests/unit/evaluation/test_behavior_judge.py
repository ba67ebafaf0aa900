"""What a judge is asked, how its replies are read, and that a missing one is never 0."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tests.builders import answer_turn, rollout, task, zoom_turn
from tests.unit.rollout.fake_server import FakeServer
from tests.unit.rollout.world import World
from vigorl.core.errors import ConfigError, EngineError
from vigorl.evaluation.behavior_judge import (
    ChatJudge,
    Missing,
    judge_behaviors,
    judge_prompt,
    read_total,
)
from vigorl.evaluation.behaviors import Behavior


def chat(content: Any) -> tuple[int, str]:
    choice = {"message": {"content": content}, "finish_reason": "stop"}
    return 200, json.dumps({"choices": [choice]})


@pytest.fixture
def start(world: World) -> Iterator[Callable[..., FakeServer]]:
    servers: list[FakeServer] = []

    def make(fault: Any) -> FakeServer:
        servers.append(FakeServer(world.codec, fault))
        return servers[-1]

    yield make
    for server in servers:
        server.kill()


def judge_at(server: FakeServer, **settings: Any) -> ChatJudge:
    return ChatJudge([server.url], model="wise", **({"backoff_s": 0.001} | settings))


@pytest.mark.parametrize(
    ("reply", "count"),
    [
        ("Two places. <total>2</total>", 2),
        ("<total> 0 </total>\n", 0),
        ("A <total>NUMBER</total> is asked for: <total>3</total>", 3),
        ("First <total>1</total>, or rather <total>12</total>", 12),
        ("", Missing.UNREADABLE),
        ("2", Missing.UNREADABLE),
        ("<total>two</total>", Missing.UNREADABLE),
        ("<total>-1</total>", Missing.UNREADABLE),
        ("<total>2.5</total>", Missing.UNREADABLE),
        ("<total>2", Missing.UNREADABLE),  # cut by the token limit
    ],
)
def test_replies(reply: str, count: int | Missing):
    assert read_total(reply) == count


def test_a_prompt_holds_the_question_and_all_turns_but_no_picture_slot():
    one = rollout(
        zoom_turn(50, 20, think="A {brace} at (50, 20)."),
        answer_turn(think="It is red."),
        task=task(question="<image>What colour?"),
    )
    prompts = {behavior: judge_prompt(behavior, one) for behavior in Behavior}
    assert len(set(prompts.values())) == 4
    for prompt in prompts.values():
        for text in ("What colour?", "A {brace} at (50, 20).", '"coordinate": [50, 20]', "is red."):
            assert text in prompt
        assert "Here is the crop:\n[cut-out]" in prompt
        assert "<image>" not in prompt
        assert read_total(prompt) is Missing.UNREADABLE  # an echoed prompt counts nothing


def test_missing_replies_are_missing():
    class Stub:
        def ask(self, prompts: Sequence[str]) -> list[str | None]:
            assert len(prompts) == 8
            return [
                "<total>1</total>",
                "<total>2</total>",
                None,
                "no idea",
                *["<total>0</total>"] * 4,
            ]

    assert judge_behaviors(Stub(), [rollout(), rollout()]) == {
        Behavior.REGIONS: (1, 2),
        Behavior.SUBGOALS: (Missing.FAILED, Missing.UNREADABLE),
        Behavior.VERIFICATION: (0, 0),
        Behavior.BACKTRACKING: (0, 0),
    }


def test_replies_come_in_the_order_of_the_prompts(start: Any):
    def echo(path: str, body: dict[str, Any]) -> tuple[int, str]:
        assert path == "/v1/chat/completions"
        return chat(f"re: {body['messages'][0]['content']}")

    server = start(echo)
    prompts = [f"question {i}" for i in range(20)]
    assert judge_at(server).ask(prompts) == [f"re: {prompt}" for prompt in prompts]
    (body,) = (b for _, b in server.posts if b["messages"][0]["content"] == "question 7")
    assert body == {
        "model": "wise",
        "max_tokens": 256,
        "temperature": 0.0,
        "seed": 0,
        "messages": [{"role": "user", "content": "question 7"}],
    }
    assert judge_at(server).ask([]) == []


def test_fields_of_a_request_can_be_added_and_removed(start: Any):
    server = start(lambda path, body: chat("fine"))
    judge_at(server, extra={"seed": None, "max_completion_tokens": 9}).ask(["?"])
    ((_, body),) = server.posts
    assert "seed" not in body
    assert body["max_completion_tokens"] == 9


def test_one_failure_is_one_missing_reply(start: Any):
    tries: list[str] = []

    def fault(path: str, body: dict[str, Any]) -> Any:
        text = body["messages"][0]["content"]
        tries.append(text)
        if text == "refused":
            return 400, "too long"
        if text == "dead":
            return 503, "busy"
        if text == "odd":
            return 200, '{"choices": []}'
        if text == "slow" and tries.count("slow") < 3:
            return "hang up"
        return chat({"silent": None, "parts": [{"text": "hm"}]}.get(text, text))

    asked = ["good", "refused", "dead", "odd", "slow", "silent", "parts"]
    replies = judge_at(start(fault), max_attempts=3, max_concurrent=1).ask(asked)
    assert replies == ["good", None, None, None, "slow", "", ""]
    assert [tries.count(text) for text in asked] == [1, 1, 3, 1, 3, 1, 1]


def test_a_judge_that_never_replies_is_an_error_with_the_servers_words(start: Any):
    with pytest.raises(EngineError, match=r"no reply to 2 questions.*401.*bad key"):
        judge_at(start(lambda path, body: (401, "bad key"))).ask(["a", "b"])


def test_a_hopeless_judge_is_not_asked_everything(start: Any):
    is_over = threading.Event()

    def refuse(path: str, body: dict[str, Any]) -> tuple[int, str]:
        if len(server.posts) > 16:
            is_over.wait(20)
        return 401, "bad key"

    server = start(refuse)
    with pytest.raises(EngineError, match="no reply to 16 questions"):
        judge_at(server, max_concurrent=1).ask(["a"] * 40)
    assert len(server.posts) <= 17
    is_over.set()
    late = start(lambda path, body: chat("yes") if len(late.posts) == 16 else (400, "no"))
    replies = judge_at(late, max_concurrent=1).ask(["a"] * 40)
    assert replies.count("yes") == 1


def test_the_key_is_sent_and_told_nobody(start: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WISE_KEY", "s3cret")
    server = start(lambda path, body: (401, "bad key s3cret"))
    judge = judge_at(server, api_key_env="WISE_KEY")
    with pytest.raises(EngineError) as caught:
        judge.ask(["a"])
    assert server.headers[0]["Authorization"] == "Bearer s3cret"
    assert "s3cret" not in str(caught.value) + repr(vars(judge))
    monkeypatch.delenv("WISE_KEY")
    with pytest.raises(ConfigError, match="WISE_KEY"):
        judge_at(server, api_key_env="WISE_KEY")
