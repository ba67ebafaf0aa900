"""The server engine against servers that die, lie, dawdle and come back."""

from __future__ import annotations

import base64
import io
import itertools
import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.plugins.environments.lightning import find_free_network_port
from PIL import Image
from safetensors.torch import load_file

from tests.forked import run_forked
from tests.unit.rollout.fake_server import FakeServer
from tests.unit.rollout.world import World
from vigorl.core.errors import ConfigError, EngineError, RefusalError, RequestError
from vigorl.core.protocols import Completion, GenerationRequest, SamplingParams
from vigorl.core.rewards.recipes import grounded_zoom_reward
from vigorl.core.rollout import Rollout, StopReason, Turn
from vigorl.evaluation.runner import evaluate
from vigorl.rollout.collector import build_dialogs, collect
from vigorl.rollout.engines.server import ServerEngine
from vigorl.rollout.engines.server_api import ChatFormat
from vigorl.rollout.engines.server_nccl import FanOutClient
from vigorl.rollout.engines.server_pool import ServerPool, TransientError
from vigorl.rollout.engines.server_weights import remove_abandoned, write_shards

GENERATE = "/inference/v1/generate"
FAST: dict[str, Any] = {"backoff_s": 0.02, "max_backoff_s": 0.05}
WEIGHTS = [("a.weight", torch.ones(4, 4)), ("b.weight", torch.ones(8)), ("c.bias", torch.ones(2))]


@pytest.fixture
def start(world: World) -> Iterator[Callable[..., FakeServer]]:
    servers: list[FakeServer] = []

    def make(fault: Any = None) -> FakeServer:
        servers.append(FakeServer(world.codec, fault))
        return servers[-1]

    yield make
    for server in servers:
        server.kill()


@pytest.fixture
def connect(world: World, tmp_path: Path) -> Iterator[Callable[..., ServerEngine]]:
    engines: list[ServerEngine] = []

    def make(*servers: FakeServer, **settings: Any) -> ServerEngine:
        given: dict[str, Any] = FAST | {"shared_folder": str(tmp_path)} | settings
        urls = [server.url for server in servers]
        engines.append(ServerEngine(codec=world.codec, images=world.images, urls=urls, **given))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def ask(world: World, count: int = 1, *, group: str = "g") -> list[GenerationRequest]:
    environment = world.environment(max_new_tokens=64)
    dialogs = environment.start_group(world.task(), group=group, seeds=range(count))
    return [dialog.next_request() for dialog in dialogs]


def run(engine: ServerEngine, requests: list[GenerationRequest]) -> dict[str, Completion]:
    for request in requests:
        engine.submit(request)
    found: list[Completion] = []
    while engine.num_in_flight:
        found += engine.poll()
    assert len(found) == len(requests)
    return {completion.request_id: completion for completion in found}


def phase(engine: ServerEngine, world: World) -> list[Rollout]:
    environment = world.environment(max_new_tokens=64)
    tasks = [world.task(name) for name in "abcdef"]
    dialogs = build_dialogs(environment, tasks, group_size=4, phase="p", run_seed=0)
    return collect(engine, dialogs, phase="p").rollouts


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_sent_and_what_comes_back(world: World, start: Any, connect: Any) -> None:
    server = start()
    (request,) = ask(world)
    completion = run(connect(server), [request])[request.id]
    (body,) = server.generated()
    assert body["token_ids"] == list(request.prompt_ids)
    assert body["token_ids"].count(world.codec.image_id) == len(body["content_parts"]) == 1
    assert body["content_parts"][0]["url"].startswith("data:image/png;base64,")
    sampling = body["sampling_params"]
    assert sampling["seed"] == request.seed
    assert sampling["stop_token_ids"] == [world.codec.end_id]
    assert sampling["logit_bias"] == {str(token): -100.0 for token in world.codec.banned_ids}
    assert (sampling["max_tokens"], sampling["temperature"], sampling["top_p"]) == (64, 1.0, 1.0)
    assert world.codec.decode(completion.token_ids) == f"<think> {request.seed} </think>"
    assert completion.logprobs == (-0.5,) * len(completion.token_ids)
    assert completion.is_finished


def test_pictures_arrive_without_loss(world: World, start: Any, connect: Any) -> None:
    server = start()
    (request,) = ask(world)
    run(connect(server), [request])
    url = server.generated()[0]["content_parts"][0]["url"]
    picture = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    assert picture.tobytes() == world.images.image(request.views[0]).tobytes()


def test_a_group_stays_on_one_server_and_groups_spread(
    world: World, start: Any, connect: Any
) -> None:
    servers = [start(), start()]
    phase(connect(*servers), world)
    homes = [Counter(tuple(body["token_ids"]) for body in s.generated()) for s in servers]
    prompts = homes[0] + homes[1]
    assert len(prompts) == 6  # one prompt per task
    assert not set(homes[0]) & set(homes[1])
    # the same servers in another order: the same homes
    again = phase(connect(*servers[::-1]), world)
    after = [Counter(tuple(body["token_ids"]) for body in s.generated()) for s in servers]
    assert after == [Counter({k: 2 * n for k, n in home.items()}) for home in homes]
    assert len(again) == 24


def test_max_concurrent_bounds_each_server(world: World, start: Any, connect: Any) -> None:
    lock, now, most = threading.Lock(), 0, 0

    def count(path: str, body: Any) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1

    run(connect(start(count), max_concurrent=3), ask(world, 12))
    assert most == 3


@pytest.mark.parametrize("fault", [(500, "boom"), (503, "busy"), (429, "slow down"), "hang up"])
def test_a_failed_attempt_is_tried_again(
    fault: Any, world: World, start: Any, connect: Any
) -> None:
    failures = iter([fault, fault])
    server = start(lambda path, body: next(failures, None) if path == GENERATE else None)
    (request,) = ask(world)
    assert run(connect(server), [request])[request.id].is_finished
    assert len(server.generated()) == 3


def test_pauses_double_up_to_the_longest(
    world: World, start: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(ServerPool, "_pause", lambda self, seconds: pauses.append(seconds))
    server = start(lambda path, body: (429, "slow down") if path == GENERATE else None)
    engine = connect(server, backoff_s=1.0, max_backoff_s=5.0, max_attempts=6)
    with pytest.raises(EngineError, match=r"failed 6 times.*slow down"):
        run(engine, ask(world))
    longest = [1.0, 2.0, 4.0, 5.0, 5.0]
    assert len(pauses) == len(longest)
    assert all(most / 2 <= pause <= most for pause, most in zip(pauses, longest, strict=True))


def test_a_slow_answer_is_a_failed_attempt(world: World, start: Any, connect: Any) -> None:
    is_slow = iter([True])
    late: list[str] = []

    def dawdle(path: str, body: Any) -> None:
        if path == GENERATE and next(is_slow, False):
            time.sleep(0.6)
            late.append("answered")

    engine = connect(start(dawdle), timeout_s=0.2)
    (request,) = ask(world)
    assert run(engine, [request])[request.id].is_finished
    wait_until(lambda: bool(late))
    assert engine.poll() == []  # the late answer is nobody's


def test_an_answer_to_a_request_that_was_let_go_is_not_delivered(
    world: World, start: Any, connect: Any
) -> None:
    first, refused, other = ask(world, 3)
    again = replace(first, seed=first.seed + 1)
    gates = {first.seed: threading.Event(), again.seed: threading.Event()}

    def fault(path: str, body: Any) -> tuple[int, str] | None:
        seed = body["sampling_params"]["seed"]
        if seed == refused.seed:
            return (400, "bad request")
        if seed in gates:
            gates[seed].wait(10)
        return None

    server = start(fault)
    engine = connect(server, max_concurrent=2)
    engine.submit(first)
    wait_until(lambda: len(server.generated()) == 1)
    engine.submit(refused)
    with pytest.raises(RequestError, match="bad request") as caught:
        engine.poll()
    assert caught.value.request_id == refused.id
    assert engine.num_in_flight == 1  # the other goes on, until it is let go
    engine.cancel([first.id])
    engine.submit(again)  # the same id, while the server still works on the first
    engine.submit(other)  # the server begins with it once it has answered the first
    gates[first.seed].set()
    wait_until(lambda: len(server.generated()) == 4)
    engine.cancel([other.id])
    gates[again.seed].set()
    (completion,) = engine.poll()
    assert world.codec.decode(completion.token_ids) == f"<think> {again.seed} </think>"
    assert engine.poll() == []


def test_an_answer_that_nobody_has_taken_yet_can_be_let_go(
    world: World, start: Any, connect: Any
) -> None:
    engine = connect(start())
    (first,) = ask(world)
    again = replace(first, seed=first.seed + 1)
    engine.submit(first)
    wait_until(lambda: not engine._finished.empty())
    engine.cancel([first.id])
    engine.submit(again)
    (completion,) = engine.poll()
    assert world.codec.decode(completion.token_ids) == f"<think> {again.seed} </think>"


def test_what_was_answered_before_a_refusal_is_delivered(
    world: World, start: Any, connect: Any
) -> None:
    first, refused = ask(world, 2)
    seeds = {refused.seed}
    server = start(lambda p, b: (400, "no") if b["sampling_params"]["seed"] in seeds else None)
    engine = connect(server, max_concurrent=1)  # one after the other
    engine.submit(first)
    engine.submit(refused)
    wait_until(lambda: engine._finished.qsize() == 2)
    assert [completion.request_id for completion in engine.poll()] == [first.id]
    with pytest.raises(RequestError):
        engine.poll()
    assert engine.num_in_flight == 0


def test_a_phase_with_a_refused_request_leaves_nothing_in_flight(
    world: World, start: Any, connect: Any
) -> None:
    engine = connect(start(lambda path, body: (400, "no")))
    with pytest.raises(EngineError, match="phase p: the engine failed with 0 of 24"):
        phase(engine, world)
    assert engine.num_in_flight == 0


def test_a_refusal_is_an_error_at_once_with_the_servers_words(
    world: World, start: Any, connect: Any
) -> None:
    server = start(lambda path, body: (400, "too long by 7 tokens"))
    (request,) = ask(world)
    with pytest.raises(EngineError, match=rf"{request.id}.*400.*too long by 7 tokens"):
        run(connect(server), [request])
    assert len(server.posts) == 1


def test_a_turn_cut_by_the_servers_own_limit_is_an_error(
    world: World, start: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, (request,) = start(), ask(world)
    whole = server.answer(GENERATE, {"sampling_params": {"seed": 1, "max_tokens": 3}})
    monkeypatch.setattr(server, "answer", lambda path, body: whole)
    with pytest.raises(EngineError, match="3 of 64 tokens; raise its --max-model-len"):
        run(connect(server), [request])


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_killed_server_costs_retries_not_rollouts(
    is_restarted: bool, world: World, start: Any, connect: Any
) -> None:
    expected = phase(connect(start()), world)
    served = threading.Semaphore(0)

    def slowly(path: str, body: Any) -> None:
        if path == GENERATE:
            served.release()
            time.sleep(0.05)

    servers = [start(slowly), start(slowly)]
    engine = connect(*servers, max_concurrent=2)

    def kill() -> None:
        for _ in range(6):
            served.acquire()
        servers[0].kill()
        if is_restarted:
            servers[0].start()

    killer = threading.Thread(target=kill)
    killer.start()
    assert phase(engine, world) == expected
    killer.join()
    assert len(servers[0].generated()) < 24


def test_only_the_dead_servers_groups_move(world: World, start: Any, connect: Any) -> None:
    servers = [start(), start()]
    engine = connect(*servers)
    phase(engine, world)
    before = [{tuple(body["token_ids"]) for body in s.generated()} for s in servers]
    servers[0].kill()
    servers[1].posts.clear()
    phase(engine, world)
    assert {tuple(body["token_ids"]) for body in servers[1].generated()} == before[0] | before[1]


def test_a_server_that_returns_gets_its_groups_back(world: World, start: Any, connect: Any) -> None:
    servers = [start(), start()]
    engine = connect(*servers)
    phase(engine, world)
    before = [len(s.generated()) for s in servers]
    servers[0].kill()
    phase(engine, world)
    servers[0].start()
    wait_until(lambda: len(engine._pool.up_urls) == 2)
    for server in servers:
        server.posts.clear()
    phase(engine, world)
    assert [len(s.generated()) for s in servers] == before


def test_all_servers_down_names_each_and_its_last_error(
    world: World, start: Any, connect: Any
) -> None:
    servers = [start(), start(lambda path, body: (500, "out of memory"))]
    engine = connect(*servers, give_up_s=0.3, max_attempts=100)
    servers[0].kill()
    with pytest.raises(EngineError, match=r"all servers are down.*0\.3") as caught:
        run(engine, ask(world, 3))
    assert f"{servers[0].url} (" in str(caught.value)
    assert "refused" in str(caught.value)
    assert f"{servers[1].url} (status 500: out of memory)" in str(caught.value)


def test_a_short_absence_of_all_servers_is_waited_for(
    world: World, start: Any, connect: Any
) -> None:
    server = start()
    engine = connect(server)
    server.kill()
    for request in ask(world, 3):
        engine.submit(request)
    wait_until(lambda: not engine._pool.up_urls)
    server.start()
    found: list[Completion] = []
    while engine.num_in_flight:
        found += engine.poll()
    assert len(found) == 3


# ---- weights -------------------------------------------------------------------------------------


def test_publish_loads_then_drops_every_cache_then_stamps(
    world: World, start: Any, connect: Any, tmp_path: Path
) -> None:
    servers = [start(), start()]
    engine = connect(*servers, bucket_bytes=40, dtype="bfloat16")
    engine.publish(iter(WEIGHTS), version=7)
    assert engine.policy_version == 7
    for server in servers:
        assert [path for path, _ in server.posts] == [
            "/collective_rpc", "/reset_prefix_cache", "/reset_mm_cache", "/reset_encoder_cache",
            "/update_weight_version",
        ]  # fmt: skip
        assert server.loaded == [{name for name, _ in WEIGHTS}]
        assert server.label.startswith("vigorl-7-")
    # 16 + 8 + 2 weights of two bytes; shards of at most 40 bytes hold 16 and 8 + 2
    stats = engine.last_publish
    assert (stats.num_bytes, stats.version) == (52, 7)
    assert stats.seconds > 0
    (folder,) = tmp_path.iterdir()
    assert len(list(folder.glob("*.safetensors"))) == 2
    run(engine, ask(world))
    engine.publish(iter(WEIGHTS), version=8)
    assert len(list(tmp_path.iterdir())) == 1
    engine.close()
    assert not list(tmp_path.iterdir())


def test_a_server_that_restarted_loads_the_weights_before_it_samples(
    world: World, start: Any, connect: Any
) -> None:
    server = start()
    engine = connect(server)
    engine.publish(iter(WEIGHTS), version=3)
    label = server.label
    server.kill()
    server.start()
    assert server.label != label
    assert run(engine, ask(world, 4))
    assert server.label == label
    order = [path for path, _ in server.posts]
    assert order.count("/collective_rpc") == 2
    assert len(server.loaded) == 2


def test_a_completion_from_other_weights_is_thrown_away(
    world: World, start: Any, connect: Any
) -> None:
    server = start()
    engine = connect(server)
    engine.publish(iter(WEIGHTS), version=3)
    server.label = "vigorl-9-another-run"  # no connection broke: only the stamp tells
    (request,) = ask(world)
    assert run(engine, [request])[request.id].is_finished
    assert len(server.generated()) == 2
    assert server.label.startswith("vigorl-3-")


def test_adapters_alone_are_sent_and_asked_for(world: World, start: Any, connect: Any) -> None:
    servers = [start(), start()]
    engine = connect(*servers, adapters_only=True)
    assert engine.takes_adapters
    assert run(engine, ask(world))  # the base, before the first publish
    for version in (1, 2):  # the second takes the first one's place
        engine.publish(iter(adapters(version)), version=version)
        assert engine.last_publish.num_bytes == sum(w.nbytes for _, w in adapters(version))
        for server in servers:
            assert list(server.adapters) == [server.label]
            assert server.loaded[-1] == {name for name, _ in adapters(version)}
        (completion,) = run(engine, ask(world)).values()
        assert set(completion.logprobs) == set(servers[0].adapters.values())
    servers[0].kill()
    servers[0].start()  # with the base alone: it refuses, is given the adapters, and is asked again
    assert len(run(engine, ask(world, 4))) == 4
    assert list(servers[0].adapters) in ([], [servers[1].label])


def test_a_server_that_lost_its_adapters_is_given_them_again(
    world: World, start: Any, connect: Any
) -> None:
    server = start()
    engine = connect(server, adapters_only=True)
    engine.publish(iter(adapters(1)), version=1)
    server.adapters.clear()
    server.label = "default"  # as after a restart that no connection noticed
    assert run(engine, ask(world))
    assert list(server.adapters) == [server.label]


def test_a_policy_without_adapters_is_told_so(world: World, start: Any, connect: Any) -> None:
    with pytest.raises(EngineError, match=r"set model\.lora"):
        connect(start(), adapters_only=True).publish(iter([]), version=1)


def adapters(seed: int) -> list[tuple[str, torch.Tensor]]:
    torch.manual_seed(seed)
    module = "base_model.model.model.layers.0.self_attn.q_proj"
    return [
        (f"{module}.lora_A.weight", torch.randn(2, 4)),
        (f"{module}.lora_B.weight", torch.randn(4, 2)),
    ]


def test_weights_of_another_run_are_not_judged_as_the_models_own(
    world: World, start: Any, connect: Any
) -> None:
    server = start()
    server.label = "vigorl-9-another-run"
    with pytest.raises(EngineError, match="another run has published; restart it"):
        run(connect(server, give_up_s=1e6), ask(world))  # waiting would not help


def test_a_server_that_is_down_gets_the_weights_when_it_returns(
    world: World, start: Any, connect: Any
) -> None:
    servers = [start(), start()]
    engine = connect(*servers)
    servers[0].kill()
    engine.publish(iter(WEIGHTS), version=3)
    assert not servers[0].loaded
    servers[0].start()
    wait_until(lambda: len(engine._pool.up_urls) == 2)
    assert servers[0].label == servers[1].label


def test_no_server_there_to_publish_to(world: World, start: Any, connect: Any) -> None:
    server = start()
    engine = connect(server)
    server.kill()
    rest = iter(WEIGHTS)
    with pytest.raises(EngineError, match="version 3 could not be published: no server took"):
        engine.publish(rest, version=3)
    assert engine.policy_version == 0
    assert next(rest, None) is None  # gathered by all ranks, so always run through


def test_a_cache_that_cannot_be_dropped_keeps_the_server_out(
    world: World, start: Any, connect: Any
) -> None:
    server = start()
    server.can_reset = False
    with pytest.raises(EngineError, match="requests are running"):
        connect(server).publish(iter(WEIGHTS), version=1)
    assert server.label == "default"


def test_publish_refuses_while_requests_are_in_flight(
    world: World, start: Any, connect: Any
) -> None:
    engine = connect(start(lambda path, body: time.sleep(0.1)))
    engine.submit(ask(world)[0])
    with pytest.raises(EngineError, match="1 requests are in flight"):
        engine.publish(iter(WEIGHTS), version=1)


def test_shards_are_cut_before_they_grow_too_large(tmp_path: Path) -> None:
    flat = torch.arange(12, dtype=torch.float32)  # as DeepSpeed lays weights out
    weights = [("a", flat[:4].view(2, 2)), ("b", flat[4:8]), ("c", flat[8:].view(2, 2).T)]
    assert write_shards(weights, tmp_path, dtype=torch.float32, bucket_bytes=32) == 48
    shards = [load_file(path) for path in sorted(tmp_path.glob("*.safetensors"))]
    assert [set(shard) for shard in shards] == [{"a", "b"}, {"c"}]
    assert torch.equal(shards[1]["c"], weights[2][1])


def test_only_abandoned_folders_are_removed(tmp_path: Path, start: Any, connect: Any) -> None:
    engine = connect(start())
    engine.publish(iter(WEIGHTS), version=1)
    (live,) = tmp_path.iterdir()
    dead = tmp_path / "vigorl-weights-of-a-killed-run"
    dead.mkdir()
    (dead / "owner.lock").touch()
    remove_abandoned(tmp_path, older_than_s=1000)
    assert dead.exists()  # young: its owner may be about to lock it
    remove_abandoned(tmp_path, older_than_s=0)
    assert list(tmp_path.iterdir()) == [live]


@pytest.mark.slow
def test_one_rank_publishes_for_all(world: World, start: Any, tmp_path: Path) -> None:
    """Two processes, two servers, one of them restarted before the ranks sample."""
    servers = [start(), start()]
    told = [str(tmp_path), str(world.codec.end_id), *(server.url for server in servers)]
    env = os.environ | {"PYTHONPATH": ".:src", "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2"}
    env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(find_free_network_port())}

    def worker(rank: int) -> subprocess.CompletedProcess[str]:
        own = env | {"RANK": str(rank)}
        module, folder = "tests.unit.rollout.server_worker", Path(__file__).parents[3]
        return run_forked(module, told, folder=folder, env=own, timeout=120)

    with ThreadPoolExecutor(2) as threads:
        ranks = [threads.submit(worker, rank) for rank in range(2)]
        while not (tmp_path / "published").exists():
            assert not any(rank.done() for rank in ranks), ranks[0].result().stderr[-5000:]
            time.sleep(0.05)
        assert [len(server.loaded) for server in servers] == [1, 1]  # not once per rank
        label = servers[0].label
        servers[0].kill()
        servers[0].start()
        (tmp_path / "restarted").touch()
        for rank in ranks:
            assert rank.result().returncode == 0, rank.result().stderr[-5000:]
    assert servers[0].label == servers[1].label == label
    assert not list(tmp_path.glob("vigorl-weights-*"))


def test_workers_of_several_servers_have_ranks_of_their_own() -> None:
    seen: dict[str, Any] = {}

    class One:
        def __init__(self, url: str, *, timeout: float) -> None:
            self.url = url

        def init_weight_transfer_engine(self, info: dict[str, Any]) -> None:
            seen[self.url] = info

    client = FanOutClient(["a", "b", "c"], [2, 1, 4], timeout_s=1, make=One)
    client.init_weight_transfer_engine({"rank_offset": 1, "world_size": 8})
    assert {url: info["rank_offset"] for url, info in seen.items()} == {"a": 1, "b": 3, "c": 4}


# ---- teachers ------------------------------------------------------------------------------------


@pytest.fixture
def teacher(connect: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ServerEngine]:
    monkeypatch.setenv("TEACHER_KEY", "sk-very-secret")
    settings = {
        "api": "chat", "transfer": "none", "model": "teacher", "api_key_env": "TEACHER_KEY"
    }  # fmt: skip
    return lambda *servers, **given: connect(*servers, **(settings | given))


def test_a_teacher_sees_messages_and_pictures(world: World, start: Any, teacher: Any) -> None:
    server, (request,) = start(), ask(world)
    engine = teacher(server, extra={"seed": None, "top_k": 5})
    server.answer = lambda path, body: {
        "choices": [{"message": {"content": "<answer> red </answer>"}, "finish_reason": "stop"}]
    }
    completion = run(engine, [request])[request.id]
    ((path, body),) = server.posts
    assert path == "/v1/chat/completions"
    assert server.headers[0]["Authorization"] == "Bearer sk-very-secret"
    system, user = body["messages"]
    assert system == {"role": "system", "content": "Point, zoom, then answer."}
    assert [part["type"] for part in user["content"]] == ["image_url", "text"]
    assert "The colour of disc?" in user["content"][1]["text"]
    assert "seed" not in body
    assert (body["top_k"], body["model"], body["max_tokens"]) == (5, "teacher", 64)
    assert "continue_final_message" not in body
    assert completion.token_ids == tuple(world.codec.completion_ids("<answer> red </answer>"))
    assert completion.logprobs == ()
    assert completion.is_finished


def test_a_teachers_turn_can_be_opened(world: World, start: Any, teacher: Any) -> None:
    server, (request,) = start(), ask(world)
    opened = (*request.prompt_ids, *world.codec.prefix_ids("<answer>"))
    run(teacher(server), [replace(request, prompt_ids=opened)])
    ((_, body),) = server.posts
    assert body["messages"][-1] == {"role": "assistant", "content": "<answer>"}
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)


@pytest.mark.parametrize(("reason", "limit"), [("length", 64), ("stop", 2)])
def test_a_teachers_turn_that_was_cut_is_not_finished(
    reason: str, limit: int, world: World, start: Any, teacher: Any
) -> None:
    server, (request,) = start(), ask(world)
    text = "one two three"
    server.answer = lambda path, body: {
        "choices": [{"message": {"content": text}, "finish_reason": reason}]
    }
    request = replace(request, sampling=SamplingParams(max_new_tokens=limit))
    completion = run(teacher(server), [request])[request.id]
    assert completion.token_ids == tuple(world.codec.prefix_ids(text)[:limit])
    assert not completion.is_finished


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ({"message": {"content": "C", "reasoning_content": "R"}}, "<think> R </think>\nC"),
        ({"message": {"content": "C", "reasoning": " R\n"}}, "<think> R </think>\nC"),
        ({"message": {"content": "<think> C </think>", "thinking": "R"}}, "<think> C </think>"),
        ({"message": {"content": None, "reasoning_content": "R"}}, "R"),
        ({"message": {"content": [{"type": "text", "text": "C"}]}}, "C"),
        ({"message": {"content": ""}, "finish_reason": "stop"}, ""),
        (
            {"message": {"content": "C", "reasoning_content": "R\n"}, "vigorl": {}},
            "<think> R </think>\n<answer> C </answer>",
        ),
    ],
)
def test_what_a_teacher_says_beside_its_content_is_read(
    choice: dict[str, Any], text: str, world: World
) -> None:
    wire = ChatFormat(world.codec, world.images, model="teacher")
    ids = wire.read(ask(world)[0], {"choices": [choice]}).token_ids
    assert ids == tuple(world.codec.completion_ids(text))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"message": {"refusal": "I will not"}}, "the teacher refused: I will not"),
        ({"message": {"content": None, "tool_calls": [{}]}}, r"but \['tool_calls'\]"),
        ({"message": {"content": ""}, "finish_reason": "length"}, "raise limits.max_new_tokens"),
        ({"message": {}, "finish_reason": "content_filter"}, "nothing .*'content_filter'"),
        ({"message": None}, "holds no message"),
        ({"text": "old"}, "holds no message"),
        ("red", "holds no choice"),
    ],
)
def test_a_teacher_without_content_says_what_came(
    choice: Any, message: str, world: World, start: Any, teacher: Any
) -> None:
    server = start()
    server.answer = lambda path, body: {"choices": [choice]}
    with pytest.raises(RequestError, match=message) as caught:  # a search counts it, and goes on
        run(teacher(server), ask(world))
    assert isinstance(caught.value, RefusalError) == ("holds no" not in message)


def test_an_evaluation_counts_a_refusal_and_goes_on(
    world: World, start: Any, teacher: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server, asked = start(), itertools.count()
    said = [
        {"message": {"content": "<answer> red </answer>"}, "finish_reason": "stop"},
        {"message": {"refusal": "I will not", "content": None}, "finish_reason": "stop"},
        {"message": {"content": None, "tool_calls": [{}]}, "finish_reason": "tool_calls"},
    ]
    server.answer = lambda path, body: {"choices": [said[next(asked) % 3]]}
    engine, tasks = teacher(server, max_concurrent=1), [world.task(f"t{i}") for i in range(6)]
    report = evaluate(engine, world.environment(), tasks, grounded_zoom_reward())
    assert sorted(one.score for one in report.questions) == [0, 0, 0, 0, 1, 1]
    assert report.metrics["rollout/refused_frac"] == pytest.approx(4 / 6)
    assert "refused" in report.table()
    assert sum("I will not" in line for line in caplog.messages) == 2


def test_a_4xx_for_what_was_asked_is_the_models_refusal(
    world: World, start: Any, teacher: Any
) -> None:
    engine = teacher(start(lambda path, body: (400, '{"error": {"code": "content_filter"}}')))
    dialog = world.environment().start(world.task(), group="g", index=0, seed=1)
    (rollout,) = collect(engine, [dialog], phase="p").rollouts
    assert (rollout.stop_reason, rollout.answer, len(rollout.turns)) == (
        StopReason.REFUSED,
        None,
        1,
    )


def test_a_servers_wish_to_wait_has_an_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, pauses = ServerPool(["http://a"], revive=lambda _: None, max_attempts=2), []
    monkeypatch.setattr(pool, "_pause", pauses.append)

    def busy(url: str) -> None:
        raise TransientError("status 429", retry_after_s=86_400.0)

    with pytest.raises(EngineError, match="2 times"):
        pool.submit(busy, name="job", key="k").result(timeout=10)
    assert pauses == [60.0]


def test_a_teachers_rollout_is_never_trained_on(world: World, start: Any, teacher: Any) -> None:
    engine = teacher(start())
    with pytest.raises(EngineError, match=r"engine\.transfer=none"):
        engine.publish(iter(WEIGHTS), version=0)
    assert not engine.has_logprobs
    rollout = phase(engine, world)[0]
    with pytest.raises(ValueError, match="no sampling logprobs"):
        _ = rollout.sampling_logprobs


def test_some_logprobs_are_not_none() -> None:
    Turn((1, 2), (), "")
    with pytest.raises(ValueError, match="2 completion tokens but 1"):
        Turn((1, 2), (-0.5,), "")


def test_the_key_is_in_no_error(world: World, start: Any, teacher: Any) -> None:
    echo = start(lambda path, body: (401, "wrong key: sk-very-secret"))
    engine = teacher(echo)
    with pytest.raises(EngineError, match=r"401.*wrong key: \*\*\*"):
        run(engine, ask(world))
    broken = start(lambda path, body: (500, "wrong key: sk-very-secret"))
    with pytest.raises(EngineError, match=r"wrong key: \*\*\*"):
        run(teacher(broken, give_up_s=0.2), ask(world))
    assert "sk-very" not in repr(engine) + repr(vars(engine._http)) + repr(engine._http)


def test_a_redirect_does_not_carry_the_key_elsewhere(
    world: World, start: Any, teacher: Any
) -> None:
    elsewhere = start()
    server = start(lambda path, body: (302, elsewhere.url))
    with pytest.raises(EngineError, match="answered 302"):
        run(teacher(server), ask(world))


# ---- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"urls": []}, "one or more"),
        ({"urls": ["http://a:1", "http://a:1/"]}, "different"),
        ({"urls": ["localhost:8000"]}, "http://host:8000"),
        ({"urls": ["http://me:secret@host:1"]}, "no password"),
        ({"api": "soap"}, "tokens or chat"),
        ({"transfer": "pigeon"}, "pigeon"),
        ({"api": "chat", "model": "m"}, "transfer=none"),
        ({"api": "chat", "transfer": "none"}, r"engine\.model"),
        ({"extra": {"top_k": 1}}, r"engine\.extra has no effect"),
        ({"api_key_env": "NOT_SET_ANYWHERE"}, "NOT_SET_ANYWHERE, which is not set"),
        ({"adapters_only": True, "transfer": "nccl"}, "adapters_only needs"),
        ({"max_concurrent": 0}, "max_concurrent"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    settings: dict[str, Any], message: str, world: World
) -> None:
    given: dict[str, Any] = {"urls": ["http://a:1"]} | settings
    with pytest.raises(ConfigError, match=message) as caught:
        ServerEngine(codec=world.codec, images=world.images, **given)
    assert "secret" not in str(caught.value)


def test_a_rollout_that_stops_at_once_is_whole(world: World, start: Any, connect: Any) -> None:
    assert {rollout.stop_reason for rollout in phase(connect(start()), world)} == {
        StopReason.NO_ACTION
    }
