"""The endpoint, asked over HTTP; an engine that answers from a script."""

from __future__ import annotations

import base64
import http.client
import io
import json
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread, Timer
from typing import Any

import pytest
from PIL import Image

from tests.unit.rollout.world import ANSWER, ZOOM, World, world
from vigorl.asking.asker import Asker
from vigorl.asking.shared_engine import SharedEngine
from vigorl.core.errors import EngineError
from vigorl.core.protocols import GenerationRequest
from vigorl.rollout.engines.scripted import ScriptedEngine
from vigorl.rollout.engines.server_api import DataUrls
from vigorl.rollout.inference.majority import Majority
from vigorl.rollout.inference.rule import InferenceRule
from vigorl.rollout.inference.verifier import Verifier
from vigorl.serve import serve
from vigorl.serving.server import Bounds, PolicyServer
from vigorl.stopping import SIGNALS, take_signals

__all__ = ["world"]
Script = Callable[[GenerationRequest], str]
QUESTION = "The colour of the disc?"


def zoom_then_answer(request: GenerationRequest) -> str:
    return ANSWER if len(request.views) > 1 else ZOOM


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[tuple[str, int]]:
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        host, port = server.server_address[:2]
        yield str(host), port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def served(
    world: World,
    script: Script = zoom_then_answer,
    *,
    engine: Any = None,
    rule: InferenceRule | None = None,
    **bounds: Any,
) -> Iterator[Callable[..., Any]]:
    """Yields what asks: `ask(body, path=..., **headers)` gives (status, JSON or text)."""
    shared = SharedEngine(engine or ScriptedEngine(script, world.codec))
    environment = world.environment(temperature=0.0)
    server = PolicyServer(
        ("127.0.0.1", 0), Asker("mine", shared, environment, rule),
        crops=DataUrls(world.images), bounds=Bounds(**bounds),
    )  # fmt: skip
    with running(server) as (host, port):
        yield partial(send, host, port)
    shared.close()


def send(
    host: str, port: int, body: Any = None, path: str = "/v1/chat/completions", **headers: str
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(host, port, timeout=20)
    text = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    connection.request("GET" if body is None else "POST", path, text, headers)
    answer = connection.getresponse()
    said = answer.read().decode()
    connection.close()
    is_stream = answer.headers["Content-Type"].startswith("text/event-stream")
    return answer.status, said if is_stream else json.loads(said)


def uri(path: str | Path) -> str:
    return "data:image/png;base64," + base64.b64encode(Path(path).read_bytes()).decode()


def asked(picture: str, **fields: Any) -> dict[str, Any]:
    parts = [
        {"type": "image_url", "image_url": {"url": picture}},
        {"type": "text", "text": QUESTION},
    ]
    return {"model": "mine", "messages": [{"role": "user", "content": parts}], **fields}


@pytest.fixture(scope="module")
def ask(world: World) -> Iterator[Callable[..., Any]]:
    with served(world, max_picture_pixels=300_000) as ask:
        yield ask


def test_the_answer_comes_after_the_looks(world: World, ask: Callable[..., Any]) -> None:
    status, said = ask(asked(uri(world.picture), vigorl={"crops": True}))
    assert (status, said["object"], said["model"]) == (200, "chat.completion", "mine")
    (choice,) = said["choices"]
    assert choice["message"]["content"] == "red"
    assert choice["message"]["reasoning_content"].endswith("It is the disc.\n")
    assert (choice["finish_reason"], choice["vigorl"]["stop_reason"]) == ("stop", "answered")
    first, last = choice["vigorl"]["turns"]
    assert first["text"] == ZOOM
    assert first["tool"]["name"] == "search_coordinate"
    assert first["look"] == {"point": [200, 80], "box": [144, 24, 256, 136], "picture": 0}
    (crop,) = first["crops"]
    shown = Image.open(io.BytesIO(base64.b64decode(crop.partition(",")[2])))
    assert shown.tobytes() == world.images.image(world.crop_of(200, 80)).tobytes()
    assert (last["crops"], last["look"], last["error"]) == ([], None, None)
    usage, codec = said["usage"], world.codec
    sampled = sum(len(codec.completion_ids(text)) for text in (ZOOM, ANSWER))
    assert usage["completion_tokens"] == sampled
    assert usage["total_tokens"] == usage["prompt_tokens"] + sampled


def test_turns_are_streamed(world: World, ask: Callable[..., Any]) -> None:
    body = asked(uri(world.picture), stream=True, stream_options={"include_usage": True})
    status, said = ask(body)
    assert status == 200
    *events, done = [one.removeprefix("data: ") for one in said.strip().split("\n\n")]
    assert done == "[DONE]"
    *chunks, last = map(json.loads, events)
    assert last["usage"] == ask(asked(uri(world.picture)))[1]["usage"]
    choices = [chunk["choices"][0] for chunk in chunks]
    assert [sorted(one["delta"]) for one in choices] == [
        ["role"], ["reasoning_content"], ["reasoning_content"], ["content"], [],
    ]  # fmt: skip
    assert [one["finish_reason"] for one in choices] == [None] * 4 + ["stop"]
    assert choices[1]["vigorl"]["turn"]["text"] == ZOOM
    assert choices[3]["delta"]["content"] == "red"


def test_several_answers_are_sampled_together_and_by_seed(world: World) -> None:
    seeds: list[int] = []

    def script(request: GenerationRequest) -> str:
        seeds.append(request.seed)
        assert (request.sampling.temperature, request.sampling.top_p) == (0.7, 0.9)
        return ANSWER

    with served(world, script) as ask:
        body = asked(uri(world.picture), n=3, temperature=0.7, top_p=0.9, seed=5)
        assert [one["index"] for one in ask(body)[1]["choices"]] == [0, 1, 2]
        first, *_ = seeds
        ask(body | {"n": 1})
        ask(body | {"n": 1, "seed": 6})
    assert len(set(seeds[:3])) == 3
    assert seeds[3] == first != seeds[4]


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_tokens_are_counted_over_all_turns(
    world: World, ask: Callable[..., Any], field: str
) -> None:
    zoom = len(world.codec.completion_ids(ZOOM))
    for most, turns in ((zoom + 1, 2), (zoom, 1), (zoom - 1, 1)):
        _, said = ask(asked(uri(world.picture), **{field: most}))
        (choice,) = said["choices"]
        assert said["usage"]["completion_tokens"] == most
        assert choice["finish_reason"] == "length"
        assert len(choice["vigorl"]["turns"]) == turns


SYSTEM = {"role": "system", "content": "Point, zoom, then answer."}


def test_what_changes_nothing_may_be_said(world: World, ask: Callable[..., Any]) -> None:
    body = asked(uri(world.picture), tools=[], stop=None, frequency_penalty=0, user="me")
    body["messages"].insert(0, SYSTEM)
    assert ask(body)[0] == 200


def changed(**fields: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda body: body | fields


def with_messages(*before: dict[str, Any], **last: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda body: body | {"messages": [*before, body["messages"][-1] | last]}


def with_picture(url: str) -> Callable[[dict[str, Any]], Any]:
    return lambda body: asked(url)


def of_size(side: int) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side)).save(buffer, "png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        (lambda _: b"{", 400, "the body is no JSON"),
        (lambda _: [], 400, "the body must be a JSON object"),
        (changed(model="other"), 404, "the model 'other' is not here; 'mine' is"),
        (changed(messages=[]), 400, "messages: "),
        (changed(tools=[{}]), 400, "tools is not supported here"),
        (changed(stop=["."]), 400, "stop is not supported here"),
        (changed(frequency_penalty=0.5), 400, "frequency_penalty is not supported here"),
        (changed(temperature="hot"), 400, "temperature: "),
        (changed(top_p=0), 400, "top_p: "),
        (changed(n=2), 400, "n=2 at temperature 0 gives the same answer each time"),
        (changed(n=10**9), 400, "n: "),
        (changed(vigorl={"crop": True}), 400, "vigorl.crop is not supported here"),
        (with_messages(SYSTEM | {"content": "Be kind."}), 400, "leave the system message out"),
        (with_messages({"role": "user", "content": "Hm?"}), 400, "one question at a time"),
        (with_messages(role="assistant"), 400, "the last message must be the user's"),
        (with_messages(content=QUESTION), 400, "there is no picture"),
        (with_messages(content=[{"type": "audio"}]), 400, "messages.0.content.0: "),
        (with_picture("http://127.0.0.1:9/a.png"), 400, "allow_urls=true"),
        (with_picture("file:///etc/passwd"), 400, "must be data:image/png;base64"),
        (with_picture("data:text/plain;base64,aGk="), 400, "begins 'data:text/plain"),
        (with_picture("data:image/png;base64,!"), 400, "is no base64"),
        (with_picture("data:image/png;base64,aGk="), 400, "the picture: "),
        (with_picture(of_size(600)), 400, "600x600 is more than 0 million pixels"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused_in_one_line(
    world: World,
    ask: Callable[..., Any],
    change: Callable[[Any], Any],
    status: int,
    words: str,
) -> None:
    found, said = ask(change(asked(uri(world.picture))))
    assert found == status
    assert words in said["error"]["message"]
    assert "\n" not in said["error"]["message"]
    assert "/tmp" not in said["error"]["message"]


def test_what_is_around_the_question(world: World, ask: Callable[..., Any]) -> None:
    assert ask(path="/health") == (200, {"status": "ok"})
    (model,) = ask(path="/v1/models")[1]["data"]
    assert model["vigorl"] == {"system": SYSTEM["content"], "tools": ["search_coordinate"]}
    assert ask(path="/v1/models/mine")[1]["id"] == "mine"
    assert ask(path="/v2")[0] == 404
    assert ask({}, path="/v1/completions")[0] == 404
    assert ask(b"", **{"Content-Length": "x"})[0] == 411
    assert ask(b"{}", **{"Content-Length": "2", "Transfer-Encoding": "chunked"})[0] == 411
    with served(world, api_key="secret", max_request_bytes=10) as own:
        assert own(path="/v1/models")[0] == 401
        assert own(path="/v1/models", Authorization="Bearer secret")[0] == 200
        assert own(b"12345678")[0] == 401
        assert own(b"12345678", Authorization="Bearer secrets")[0] == 401
        assert own(b"1" * 2_000, Authorization="Bearer wrong")[0] == 401  # before its length
        odd = {"Content-Length": "²", "Authorization": "Bearer wrong"}
        assert own(b"", **odd)[0] == 401
        assert own(b"12345678901", Authorization="Bearer secret")[0] == 413


def test_pictures_of_a_request_are_counted(world: World) -> None:
    body = asked(uri(world.picture))
    parts = body["messages"][0]["content"]
    with served(world, max_pictures=2) as ask:
        body["messages"][0]["content"] = [parts[0], *parts]
        assert ask(body)[0] == 200
        body["messages"][0]["content"] = [parts[0], parts[0], *parts]
        status, said = ask(body)
    assert (status, said["error"]["message"]) == (400, "3 pictures, more than max_pictures=2")


def test_health_tells_of_an_engine_that_has_ended(world: World) -> None:
    shared = SharedEngine(ScriptedEngine(zoom_then_answer, world.codec))
    asker = Asker("mine", shared, world.environment(temperature=0.0))
    server = PolicyServer(("127.0.0.1", 0), asker, crops=DataUrls(world.images), bounds=Bounds())
    with running(server) as (host, port):
        shared.close()
        assert send(host, port, path="/health") == (503, {"status": "the engine has ended"})


def test_pictures_are_fetched_where_that_is_allowed(world: World) -> None:
    class Files(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    files = ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=world.folder))
    with served(world, allow_urls=True) as ask, running(files) as (host, port):
        assert ask(asked(f"http://{host}:{port}/disc.png"))[0] == 200
        status, said = ask(asked(f"http://{host}:{port}/none.png"))
    assert status == 400
    assert "none.png cannot be fetched: HTTP Error 404" in said["error"]["message"]


def test_requests_that_come_together_are_answered_up_to_a_bound(world: World) -> None:
    with served(world, max_in_flight=64) as ask, ThreadPoolExecutor(8) as threads:
        found = list(threads.map(ask, [asked(uri(world.picture))] * 16))
    assert {(status, said["choices"][0]["message"]["content"]) for status, said in found} == {
        (200, "red")
    }
    begun, may_end = Event(), Event()

    def waits(_: GenerationRequest) -> str:
        begun.set()
        assert may_end.wait(timeout=20)
        return ANSWER

    with served(world, waits, max_in_flight=1) as ask, ThreadPoolExecutor(1) as threads:
        first = threads.submit(ask, asked(uri(world.picture)))
        assert begun.wait(timeout=20)
        assert ask(asked(uri(world.picture)))[0] == 429
        may_end.set()
        assert first.result()[0] == 200


def test_a_client_that_goes_costs_nobody_else_anything(world: World) -> None:
    has_gone, pictures = Event(), list[bool]()

    def script(request: GenerationRequest) -> str:
        if len(request.views) > 1:
            assert has_gone.wait(timeout=20)
        pictures.append(all(Path(view.path).is_file() for view in request.views))
        return zoom_then_answer(request)

    with served(world, script) as ask:
        host, port = ask.args  # pyright: ignore[reportFunctionMemberAccess]
        connection = http.client.HTTPConnection(host, port, timeout=20)
        body = json.dumps(asked(uri(world.picture), stream=True)).encode()
        connection.request("POST", "/v1/chat/completions", body)
        answer = connection.getresponse()
        answer.readline()
        answer.close()
        connection.close()
        has_gone.set()
        assert ask(asked(uri(world.picture)))[0] == 200
    assert pictures == [True] * 4


def test_an_engine_that_fails_is_said(world: World) -> None:
    def fails(_: GenerationRequest) -> str:
        raise EngineError("no memory")

    with served(world, fails) as ask:
        status, said = ask(asked(uri(world.picture)))
        assert (status, said["error"]["type"]) == (500, "server_error")
        assert ask(asked(uri(world.picture), stream=True))[1].count("no memory") == 1


def test_half_a_character_is_refused_and_never_sent(world: World, ask: Callable[..., Any]) -> None:
    half = chr(0xD83D)
    assert ask(asked(uri(world.picture), vigorl={"options": [half]}))[0] == 400
    odd = ZOOM.replace("[50, 20]", '"\\ud83d"')
    assert odd != ZOOM
    script = iter([odd, ANSWER])
    with served(world, lambda _: next(script)) as own:
        status, said = own(asked(uri(world.picture)))
    assert status == 200
    assert said["choices"][0]["vigorl"]["turns"][0]["tool"]["arguments"] == {"coordinate": "?"}


def test_an_interrupt_ends_it_as_it_is_meant_to(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = SharedEngine(ScriptedEngine(zoom_then_answer, world.codec))
    server = PolicyServer(
        ("127.0.0.1", 0), Asker("mine", shared, world.environment()),
        crops=DataUrls(world.images), bounds=Bounds(),
    )  # fmt: skip
    before = {one: signal.getsignal(one) for one in SIGNALS}
    take_signals()
    timer = Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        serve(server)
    finally:
        timer.join()
        for one, handler in before.items():
            signal.signal(one, handler)
    assert capsys.readouterr().out.splitlines() == [
        f"mine is at {server.url}/v1, Ctrl-C ends it", "the server has ended",
    ]  # fmt: skip
    assert not Path(server.pictures.name).exists()


def test_a_rule_chooses_what_is_answered(world: World) -> None:
    def script(request: GenerationRequest) -> str:
        if len(request.views) < 2:
            return ZOOM
        return ANSWER.replace("red", "blue") if "/0/" in request.id else ANSWER

    with served(world, script, rule=Majority(num_answers=3)) as ask:
        _, models = ask(path="/v1/models")
        assert models["data"][0]["vigorl"]["inference"]["num_answers"] == 3
        body = asked(uri(world.picture), seed=1)
        _, said = ask(body)
        _, stream = ask({**body, "stream": True})
    (choice,) = said["choices"]
    assert choice["message"]["content"] == "red"
    assert choice["vigorl"]["inference"] == '"red" 2, "blue" 1'
    told = [*[ZOOM, ANSWER] * 2, ZOOM, ANSWER.replace("red", "blue")]  # all that was sampled
    num_tokens = sum(len(world.codec.completion_ids(text)) for text in told)
    assert said["usage"]["completion_tokens"] == num_tokens
    chunks = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: {")]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert [one["content"] for one in deltas if "content" in one] == ["red"]


def test_a_verifier_may_end_the_looking(world: World) -> None:
    def script(request: GenerationRequest) -> str:
        return " red </answer>" if "/aside/" in request.id else ZOOM

    with served(world, script, rule=Verifier(enough=1e-9)) as ask:
        _, said = ask(asked(uri(world.picture)))
    (choice,) = said["choices"]
    assert choice["message"]["content"] == "red"
    assert len(choice["vigorl"]["turns"]) == 2
    assert choice["vigorl"]["inference"].endswith("the rule ended it")
