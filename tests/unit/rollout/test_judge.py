"""A judge behind a chat endpoint: what it is sent, and what becomes of replies that do not come."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image

from tests.unit.rollout.fake_server import FakeServer, chat_reply
from tests.unit.rollout.world import World
from vigorl.core.errors import ConfigError, DataError, EngineError
from vigorl.rollout.judge import ChatJudge, JudgePrompt, ask_judge


@pytest.fixture
def start(world: World) -> Iterator[Callable[..., FakeServer]]:
    servers: list[FakeServer] = []

    def make(fault: Any) -> FakeServer:
        servers.append(FakeServer(world.codec, fault))
        return servers[-1]

    yield make
    for server in servers:
        server.kill()


def ask(judge: ChatJudge, *texts: str) -> list[str | None]:
    return ask_judge(judge, [JudgePrompt(text) for text in texts])


def judge_at(server: FakeServer, **settings: Any) -> ChatJudge:
    return ChatJudge([server.url], model="wise", **({"backoff_s": 0.001} | settings))


def test_replies_come_in_the_order_of_the_prompts(start: Any):
    def echo(path: str, body: dict[str, Any]) -> tuple[int, str]:
        assert path == "/v1/chat/completions"
        return chat_reply(f"re: {body['messages'][0]['content']}")

    server = start(echo)
    prompts = [f"question {i}" for i in range(20)]
    assert ask(judge_at(server), *prompts) == [f"re: {prompt}" for prompt in prompts]
    (body,) = (b for _, b in server.posts if b["messages"][0]["content"] == "question 7")
    assert body == {
        "model": "wise",
        "max_tokens": 256,
        "temperature": 0.0,
        "seed": 0,
        "messages": [{"role": "user", "content": "question 7"}],
    }
    assert ask(judge_at(server)) == []


def test_pictures_go_where_their_slots_are_without_loss(start: Any):
    server = start(lambda path, body: chat_reply("two"))
    red, blue = Image.new("RGB", (30, 20), "red"), Image.new("RGB", (5, 6), "blue")
    prompt = JudgePrompt("First <image>, then\n<image>", lambda: [red, blue])
    assert ask_judge(judge_at(server), [prompt]) == ["two"]
    ((_, body),) = server.posts
    one, first, two, second = body["messages"][0]["content"]
    assert (one, two) == (
        {"type": "text", "text": "First "}, {"type": "text", "text": ", then\n"}
    )  # fmt: skip
    for part, picture in ((first, red), (second, blue)):
        kind, _, data = part["image_url"]["url"].partition(",")
        assert kind == "data:image/png;base64"
        shown = Image.open(io.BytesIO(base64.b64decode(data)))
        assert (shown.size, shown.tobytes()) == (picture.size, picture.tobytes())


def test_a_picture_that_cannot_be_drawn_is_no_missing_reply(start: Any):
    def draw() -> list[Image.Image]:
        raise DataError("the picture is damaged", path="a.png")

    server = start(lambda path, body: chat_reply("fine"))
    prompts = [JudgePrompt("<image>", draw), JudgePrompt("?")]
    with pytest.raises(DataError, match=r"a\.png: the picture is damaged"):
        ask_judge(judge_at(server), prompts)


def test_a_question_that_was_let_go_is_not_asked(start: Any):
    is_over = threading.Event()

    def slow(path: str, body: dict[str, Any]) -> tuple[int, str]:
        is_over.wait(20)
        return chat_reply("late")

    server = start(slow)
    judge = judge_at(server, max_concurrent=1)
    first, second, third = (judge.submit(JudgePrompt(text)) for text in "abc")
    assert second.cancel()
    is_over.set()
    assert (first.result(20), third.result(20)) == ("late", "late")
    assert [body["messages"][0]["content"] for _, body in server.posts] == ["a", "c"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"urls": "http://host:1"}, r"check\.urls is a list: 'check\.urls=\[http://host:1\]'"),
        ({"urls": []}, r"check\.urls must be one or more"),
        ({"urls": ["host:1"]}, r"check\.urls: 'host:1' is not like"),
        ({"max_concurrent": 0}, r"check\.max_concurrent and check\.max_attempts"),
        ({"api_key_env": "NOT_THERE"}, r"check\.api_key_env names NOT_THERE, which is not set"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        ChatJudge(**({"urls": ["http://host:1"], "model": "wise", "section": "check"} | settings))


def test_fields_of_a_request_can_be_added_and_removed(start: Any):
    server = start(lambda path, body: chat_reply("fine"))
    ask(judge_at(server, extra={"seed": None, "max_completion_tokens": 9}), "?")
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
        return chat_reply({"silent": None, "parts": [{"text": "hm"}]}.get(text, text))

    asked = ["good", "refused", "dead", "odd", "slow", "silent", "parts"]
    replies = ask(judge_at(start(fault), max_attempts=3, max_concurrent=1), *asked)
    assert replies == ["good", None, None, None, "slow", "", ""]
    assert [tries.count(text) for text in asked] == [1, 1, 3, 1, 3, 1, 1]


def test_a_judge_that_never_replies_is_an_error_with_the_servers_words(start: Any):
    with pytest.raises(EngineError, match=r"no reply to 2 questions.*401.*bad key"):
        ask(judge_at(start(lambda path, body: (401, "bad key"))), "a", "b")


def test_a_hopeless_judge_is_not_asked_everything(start: Any):
    is_over = threading.Event()

    def refuse(path: str, body: dict[str, Any]) -> tuple[int, str]:
        if len(server.posts) > 16:
            is_over.wait(20)
        return 401, "bad key"

    server = start(refuse)
    with pytest.raises(EngineError, match="no reply to 16 questions"):
        ask(judge_at(server, max_concurrent=1), *["a"] * 40)
    assert len(server.posts) <= 17
    is_over.set()
    late = start(lambda path, body: chat_reply("yes") if len(late.posts) == 16 else (400, "no"))
    replies = ask(judge_at(late, max_concurrent=1), *["a"] * 40)
    assert replies.count("yes") == 1


def test_the_key_is_sent_and_told_nobody(start: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WISE_KEY", "s3cret")
    server = start(lambda path, body: (401, "bad key s3cret"))
    judge = judge_at(server, api_key_env="WISE_KEY")
    with pytest.raises(EngineError) as caught:
        ask(judge, "a")
    assert server.headers[0]["Authorization"] == "Bearer s3cret"
    assert "s3cret" not in str(caught.value) + repr(vars(judge))
    monkeypatch.delenv("WISE_KEY")
    with pytest.raises(ConfigError, match="WISE_KEY"):
        judge_at(server, api_key_env="WISE_KEY")
