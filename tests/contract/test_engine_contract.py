"""What every engine promises. A new engine: one more entry in ENGINES, nothing else."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from tests.unit.rollout.fake_server import FakeServer
from tests.unit.rollout.world import ANSWER, ZOOM, World
from vigorl.core.errors import EngineError
from vigorl.core.protocols import (
    Completion,
    Engine,
    GenerationRequest,
    ReadingEngine,
    SamplingParams,
)
from vigorl.data.encoding import expand_image_pads
from vigorl.models.weight_export import export_weights
from vigorl.rollout.collector import build_dialogs, collect
from vigorl.rollout.engines.hf import HFEngine
from vigorl.rollout.engines.scripted import ScriptedEngine
from vigorl.rollout.engines.server import ServerEngine
from vigorl.rollout.engines.vllm import VLLMEngine

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def scripted(world: World) -> Engine:
    # the "policy" is a function of the noise, as a real one is
    def script(request: GenerationRequest) -> str:
        return f"<think> {request.seed} </think> {len(request.prompt_ids)}"

    return ScriptedEngine(script, world.codec, delay=lambda request: request.seed % 3)


def hf(world: World) -> HFEngine:
    return HFEngine(world.model(), world.codec, world.images, max_batch_size=3)


def hf_refill(world: World) -> HFEngine:
    return HFEngine(world.model(), world.codec, world.images, max_batch_size=3, refill=True)


def server(world: World) -> Engine:
    urls = [FakeServer(world.codec, folder=world.folder).url for _ in range(2)]
    return ServerEngine(
        codec=world.codec, images=world.images, urls=urls, shared_folder=str(world.folder)
    )


def example(world: World) -> Engine:
    made = runpy.run_path(str(EXAMPLES / "my_engine.py"))["PlainEngine"]
    return made(folder=str(world.folder), codec=world.codec, images=world.images)


@cache  # vLLM takes ten seconds to start, and a process holds one
def started_vllm(folder: str, world: World) -> VLLMEngine:
    return VLLMEngine(
        folder,
        world.codec,
        world.images,
        dtype="float32",
        max_images=4,
        max_model_len=4096,
        kv_cache_gib=0.25,
        block_size=32,
        enforce_eager=True,
    )


def vllm(world: World) -> Engine:
    engine = started_vllm(str(world.folder), world)
    engine.publish(export_weights(world.model()), version=0)
    return engine


ENGINES: dict[str, Callable[[World], Engine]] = {
    "scripted": scripted,
    "hf": hf,
    "hf_refill": hf_refill,
    "server": server,
    "vllm": vllm,
    "my_engine": example,
}
NEEDS_VLLM = [
    pytest.mark.vllm,
    pytest.mark.skipif(find_spec("vllm") is None, reason="needs vLLM: make test-vllm"),
]


@pytest.fixture(
    params=[pytest.param(name, marks=NEEDS_VLLM if name == "vllm" else ()) for name in ENGINES]
)
def make(request: pytest.FixtureRequest, world: World) -> Callable[[], Engine]:
    return lambda: ENGINES[request.param](world)


@pytest.fixture
def requests(world: World) -> list[GenerationRequest]:
    """Seven requests on two prompts, some with the same prompt and some with different limits."""
    tasks = [world.task("disc"), world.task("a much longer name than that")]
    environment = world.environment(max_new_tokens=24)
    dialogs = build_dialogs(environment, tasks, group_size=4, phase="p", run_seed=0)[:7]
    first = [dialog.next_request() for dialog in dialogs]
    short = SamplingParams(max_new_tokens=2)
    return [replace(first[0], sampling=short), *first[1:]]


def run(engine: Engine, requests: list[GenerationRequest]) -> dict[str, Completion]:
    for request in requests:
        engine.submit(request)
    found: list[Completion] = []
    while engine.num_in_flight:
        found += engine.poll()
    return {completion.request_id: completion for completion in found}


def assert_same(left: Completion, right: Completion) -> None:
    assert left.token_ids == right.token_ids
    assert left.is_finished == right.is_finished
    assert left.logprobs == pytest.approx(right.logprobs, abs=1e-4)


def test_it_is_an_engine(make: Callable[[], Engine]) -> None:
    assert isinstance(make(), Engine)


def test_every_request_is_answered_once(
    make: Callable[[], Engine], requests: list[GenerationRequest]
) -> None:
    engine = make()
    assert engine.num_in_flight == 0
    assert engine.poll() == []
    for count, request in enumerate(requests, start=1):
        engine.submit(request)
        assert engine.num_in_flight == count
    found: list[Completion] = []
    while engine.num_in_flight:
        before = engine.num_in_flight
        batch = engine.poll()
        assert batch  # a poll works until something has finished
        assert engine.num_in_flight == before - len(batch)
        found += batch
    assert sorted(completion.request_id for completion in found) == sorted(r.id for r in requests)
    assert engine.poll() == []


def test_completions_keep_their_promises(
    make: Callable[[], Engine], requests: list[GenerationRequest], world: World
) -> None:
    found = run(make(), requests)
    for request in requests:
        completion = found[request.id]
        ids, limit = completion.token_ids, request.sampling.max_new_tokens
        assert 1 <= len(ids) <= limit
        assert len(completion.logprobs) == len(ids)
        assert all(logprob <= 0 for logprob in completion.logprobs)
        assert world.codec.end_id not in ids[:-1]
        assert not set(ids) & set(world.codec.banned_ids)
        assert completion.is_finished == (ids[-1] == world.codec.end_id)
        assert completion.is_finished or len(ids) == limit
    assert not found[requests[0].id].is_finished


def test_results_do_not_depend_on_order_or_company(
    make: Callable[[], Engine], requests: list[GenerationRequest]
) -> None:
    together = run(make(), requests)
    reversed_order = run(make(), requests[::-1])
    one_engine = make()
    for request in requests:
        assert_same(together[request.id], reversed_order[request.id])
        assert_same(together[request.id], run(one_engine, [request])[request.id])


def test_the_seed_is_the_noise(
    make: Callable[[], Engine], requests: list[GenerationRequest]
) -> None:
    request = requests[1]
    copies = [replace(request, id=f"copy/{i}", seed=request.seed + i % 2) for i in range(4)]
    found = run(make(), copies)
    assert_same(found["copy/0"], found["copy/2"])
    assert found["copy/0"].token_ids != found["copy/1"].token_ids


def test_requests_may_be_submitted_while_others_run(
    make: Callable[[], Engine], requests: list[GenerationRequest]
) -> None:
    engine, expected = make(), run(make(), requests)
    found: list[Completion] = []
    waiting = list(requests)
    while waiting or engine.num_in_flight:
        for request in waiting[:2]:
            engine.submit(request)
        waiting = waiting[2:]
        found += engine.poll()
    assert len(found) == len(requests)
    for completion in found:
        assert_same(completion, expected[completion.request_id])


def test_an_id_is_in_flight_once_and_can_be_used_again(
    make: Callable[[], Engine], requests: list[GenerationRequest]
) -> None:
    engine = make()
    engine.submit(requests[1])
    with pytest.raises(EngineError, match=requests[1].id):
        engine.submit(requests[1])
    (first,) = engine.poll()
    assert_same(first, run(engine, [requests[1]])[requests[1].id])


def test_publishing_stamps_the_version(
    make: Callable[[], Engine], requests: list[GenerationRequest], world: World
) -> None:
    engine = make()
    assert engine.policy_version == 0
    before = run(engine, requests)
    engine.publish(export_weights(world.model()), version=7)
    assert engine.policy_version == 7
    cost = engine.last_publish
    assert cost is not None
    assert (cost.version, cost.num_bytes) == (7, sum(w.nbytes for w in world.model().parameters()))
    for request_id, completion in run(engine, requests).items():
        assert_same(completion, before[request_id])


def test_new_weights_change_what_a_real_policy_says(
    make: Callable[[], Engine], requests: list[GenerationRequest], world: World
) -> None:
    engine = make()
    if isinstance(engine, ScriptedEngine):
        pytest.skip("a script has no weights")
    before = run(engine, requests)
    model = world.model()
    with torch.no_grad():
        for weight in model.model.visual.parameters():  # the tower alone: its caches must go too
            weight.mul_(1.5)
    engine.publish(export_weights(model), version=1)
    after = run(engine, requests)
    assert any(after[r.id].logprobs[0] != pytest.approx(before[r.id].logprobs[0], abs=1e-4)
               for r in requests)  # fmt: skip


def test_logprobs_are_those_of_the_tokens_that_top_p_has_left(
    make: Callable[[], Engine], requests: list[GenerationRequest]
) -> None:
    engine = make()
    if isinstance(engine, ScriptedEngine | ServerEngine):
        pytest.skip("no policy behind it here; vLLM's server is started with the same mode as vLLM")
    for request in requests:
        engine.submit(replace(request, sampling=replace(request.sampling, top_p=1e-6)))
    while engine.num_in_flight:
        for one in engine.poll():  # a single token is left, which is certain
            assert one.logprobs == pytest.approx([0.0] * len(one.token_ids), abs=1e-5)


def test_new_weights_are_the_new_weights(
    make: Callable[[], Engine], requests: list[GenerationRequest], world: World
) -> None:
    """Every one of them, tied ones too: as the reference engine with the same weights."""
    engine = make()
    if isinstance(engine, ScriptedEngine | ServerEngine):
        pytest.skip("no policy behind it here; tests/vllm has real servers")
    model, reference = world.model(), hf(world)
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    for one in (engine, reference):
        one.publish(export_weights(model), version=1)
    greedy = [replace(r, sampling=replace(r.sampling, temperature=0.0)) for r in requests]
    expected = run(reference, greedy)
    for request_id, completion in run(engine, greedy).items():
        assert_same(completion, expected[request_id])


def test_a_cancelled_request_never_comes_back(
    make: Callable[[], Engine], requests: list[GenerationRequest]
) -> None:
    engine = make()
    for request in requests:
        engine.submit(request)
    engine.cancel([requests[1].id, "never asked"])
    assert engine.num_in_flight == len(requests) - 1
    left = [request for request in requests if request.id != requests[1].id]
    found: list[Completion] = []
    while engine.num_in_flight:
        found += engine.poll()
    assert sorted(c.request_id for c in found) == sorted(request.id for request in left)
    assert_same(run(engine, [requests[1]])[requests[1].id], run(make(), requests)[requests[1].id])


def test_it_shows_how_it_reads_a_prompt(make: Callable[[], Engine], world: World) -> None:
    engine = make()
    if not isinstance(engine, ReadingEngine):
        pytest.skip("a script reads nothing")
    dialog = build_dialogs(
        world.environment(), [world.task()], group_size=1, phase="p", run_seed=0
    )[0]
    ids = tuple(world.codec.completion_ids(ZOOM))
    dialog.accept(Completion(dialog.next_request().id, ids, (-1.0,) * len(ids), is_finished=True))
    request = dialog.next_request()  # two pictures of different sizes
    reading = engine.read(request)
    counts = tuple(world.images.num_tokens(view) for view in request.views)
    expanded = expand_image_pads(request.prompt_ids, counts, image_id=world.codec.image_id)
    assert (reading.image_tokens, reading.token_ids) == (counts, tuple(expanded))
    assert len(counts) == 2
    assert reading.positions == hf(world).read(request).positions
    assert run(engine, [request])[request.id].token_ids  # and can still generate it


def test_it_runs_dialogs(make: Callable[[], Engine], world: World) -> None:
    dialogs = build_dialogs(
        world.environment(max_new_tokens=16, max_turns=3, forced_answer=True),
        [world.task("a"), world.task("b")],
        group_size=2,
        phase="p",
        run_seed=0,
    )
    result = collect(make(), dialogs, phase="p")
    assert [rollout.index for rollout in result.rollouts] == [0, 1, 0, 1]
    for rollout in result.rollouts:
        assert len(rollout.token_ids) == len(rollout.loss_mask)
        assert sum(rollout.loss_mask) == sum(len(turn.completion_ids) for turn in rollout.turns)


def test_the_script_is_what_comes_back(world: World, requests: list[GenerationRequest]) -> None:
    engine = ScriptedEngine(lambda _: ANSWER, world.codec)
    wide = [replace(r, sampling=SamplingParams(max_new_tokens=500)) for r in requests]
    for completion in run(engine, wide).values():
        assert world.codec.decode(completion.token_ids) == ANSWER
