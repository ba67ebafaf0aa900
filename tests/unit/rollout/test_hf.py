import math
from dataclasses import replace

import pytest
import torch

from tests import builders
from tests.unit.rollout.world import ANSWER, ZOOM, World
from vigorl.core.errors import ConfigError, EngineError
from vigorl.core.protocols import Completion, GenerationRequest, SamplingParams
from vigorl.core.trace import observation_parts
from vigorl.data.encoding import expand_image_pads
from vigorl.models.weight_export import export_weights
from vigorl.rollout.engines.hf import HFEngine
from vigorl.rollout.engines.hf_batch import Row

# float32, two layers: what different batch shapes and cached keys may change
FLOAT_NOISE = 2e-5


def engine_of(world: World, **settings: int) -> HFEngine:
    return HFEngine(world.model(), world.codec, world.images, **settings)


def test_an_engine_goes_to_its_device_in_its_dtype_and_keeps_its_rotary_frequencies(
    world: World,
) -> None:
    model = world.model()
    frequencies = {name: buffer.clone() for name, buffer in model.named_buffers()}
    engine = HFEngine(model, world.codec, world.images, dtype=torch.bfloat16)
    assert (engine.device, engine.dtype) == (torch.device("cpu"), torch.bfloat16)
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}
    assert any("inv_freq" in name for name in frequencies)
    assert all(torch.equal(frequencies[name], buffer) for name, buffer in model.named_buffers())
    assert run(engine, first_turn(world))
    elsewhere = HFEngine(world.model(), world.codec, world.images, device="meta")
    assert elsewhere.device.type == "meta"


def first_turn(
    world: World, name: str = "disc", *, seed: int = 1, **params: float
) -> GenerationRequest:
    task = world.task(name)
    dialog = world.environment().start(task, group=name, index=0, seed=seed)
    sampling = SamplingParams(int(params.pop("max_new_tokens", 12)), **params)
    return replace(dialog.next_request(), sampling=sampling, id=f"{name}/{seed}/1", seed=seed)


def second_turn(world: World, first: GenerationRequest, *, x: int = 60) -> GenerationRequest:
    ids = world.codec.completion_ids(ZOOM)
    shown = world.codec.observation_ids(observation_parts(("Here is the crop:\n", builders.view())))
    crop = world.crop_of(4 * x, 80)
    prompt_ids = (*first.prompt_ids, *ids, *shown)
    return replace(
        first, id=first.id + "b", prompt_ids=prompt_ids, views=(*first.views, crop)
    )  # fmt: skip


def run(engine: HFEngine, *requests: GenerationRequest) -> dict[str, Completion]:
    for request in requests:
        engine.submit(request)
    found: list[Completion] = []
    while engine.num_in_flight:
        found += engine.poll()
    return {completion.request_id: completion for completion in found}


def full_logits(world: World, request: GenerationRequest, completion: Completion) -> torch.Tensor:
    """What the trainer sees: one forward pass over prompt and completion, without any cache."""
    counts = [world.images.num_tokens(view) for view in request.views]
    image_id = world.codec.image_id
    prompt = expand_image_pads(request.prompt_ids, counts, image_id=image_id)
    ids = torch.tensor([[*prompt, *completion.token_ids]])
    blocks = [world.images.pixels(view) for view in request.views]
    with torch.no_grad():
        logits = world.model()(
            input_ids=ids,
            mm_token_type_ids=(ids == image_id).int(),
            pixel_values=torch.cat([block.pixel_values for block in blocks]),
            image_grid_thw=torch.tensor([block.grid_thw for block in blocks]),
        ).logits[0, len(prompt) - 1 : -1]
    logits[:, list(world.codec.banned_ids)] = -torch.inf
    return logits


@pytest.mark.parametrize("num_images", [1, 2])
def test_greedy_equals_transformers_generate(world: World, num_images: int) -> None:
    request = first_turn(world, temperature=0.0, max_new_tokens=20)
    if num_images == 2:
        request = second_turn(world, request)
    counts = [world.images.num_tokens(view) for view in request.views]
    ids = torch.tensor(
        [expand_image_pads(request.prompt_ids, counts, image_id=world.codec.image_id)]
    )
    blocks = [world.images.pixels(view) for view in request.views]
    expected = world.model().generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        mm_token_type_ids=(ids == world.codec.image_id).int(),
        pixel_values=torch.cat([block.pixel_values for block in blocks]),
        image_grid_thw=torch.tensor([block.grid_thw for block in blocks]),
        max_new_tokens=20,
        do_sample=False,
        suppress_tokens=list(world.codec.banned_ids),
    )[0, ids.shape[1] :]
    found = run(engine_of(world), request)[request.id]
    assert list(found.token_ids) == expected.tolist()


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_are_those_of_a_full_forward_pass(world: World, temperature: float) -> None:
    first = first_turn(world, temperature=temperature)
    other = first_turn(world, "another one", seed=2, temperature=0.5)
    requests = [first, second_turn(world, first), other]
    completions = run(engine_of(world), *requests)
    for request in requests:
        found = completions[request.id]
        logits = full_logits(world, request, found) / request.sampling.temperature
        ids = torch.tensor(found.token_ids)
        expected = logits.log_softmax(-1).gather(1, ids[:, None])[:, 0]
        assert found.logprobs == pytest.approx(expected.tolist(), abs=FLOAT_NOISE)


def test_a_result_does_not_depend_on_its_batch(world: World) -> None:
    first = first_turn(world)
    requests = [first, second_turn(world, first)]
    requests += [first_turn(world, "d" * i, seed=i, max_new_tokens=3 * i) for i in range(2, 7)]
    requests += [replace(first, id=f"copy/{i}", seed=i) for i in range(3)]
    together = run(engine_of(world), *requests)
    in_threes = run(engine_of(world, max_batch_size=3), *reversed(requests))
    refilled = run(engine_of(world, max_batch_size=3, refill=True), *requests)
    for request in requests:
        alone = run(engine_of(world), request)[request.id]
        for other in (together[request.id], in_threes[request.id], refilled[request.id]):
            assert other.token_ids == alone.token_ids
            assert other.logprobs == pytest.approx(alone.logprobs, abs=FLOAT_NOISE)


def test_a_free_place_is_filled_while_the_others_go_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One long turn and eight short ones at two places: in the time of the long one, not after."""
    is_full = property(lambda row: len(row.token_ids) == row.request.sampling.max_new_tokens)
    monkeypatch.setattr(Row, "is_done", is_full)  # no turn ends before its limit
    requests = [first_turn(world, "long", max_new_tokens=40)]
    requests += [first_turn(world, "short", seed=i, max_new_tokens=5) for i in range(2, 10)]
    num_steps = {}
    for refill in (False, True):
        engine = engine_of(world, max_batch_size=2, refill=refill)
        steps, step = [], engine._step
        monkeypatch.setattr(
            engine, "_step", lambda one, steps=steps, step=step: (steps.append(1), step(one))
        )
        assert len(run(engine, *requests)) == 9
        num_steps[refill] = len(steps)
    assert num_steps == {False: 40 + 4 * 5, True: 40}


def test_what_was_given_up_leaves_its_place(world: World) -> None:
    engine = engine_of(world, max_batch_size=2, refill=True)
    kept, given_up, late = (first_turn(world, name, max_new_tokens=30) for name in "abc")
    short = first_turn(world, "short", seed=5, max_new_tokens=1)
    expected = run(engine_of(world), replace(kept, id="kept"), replace(late, id="late"))
    for request in (short, replace(kept, id="kept"), replace(given_up, id="given up")):
        engine.submit(request)
    assert [one.request_id for one in engine.poll()] == [short.id]
    assert engine.num_in_flight == 2
    engine.cancel(["given up"])
    found = run(engine, replace(late, id="late"))
    assert set(found) == {"kept", "late"}
    for name, completion in found.items():
        assert completion.token_ids == expected[name].token_ids
        assert completion.logprobs == pytest.approx(expected[name].logprobs, abs=FLOAT_NOISE)


def test_a_turn_that_runs_while_weights_are_published_starts_anew(world: World) -> None:
    engine = engine_of(world, max_batch_size=2, refill=True)
    request = first_turn(world, max_new_tokens=30)
    engine.submit(request)
    engine.submit(first_turn(world, "short", max_new_tokens=1))
    engine.poll()
    model = world.model()
    with torch.no_grad():
        model.lm_head.weight.mul_(1.5)
    engine.publish(export_weights(model), version=1)
    assert run(engine) == run(HFEngine(model, world.codec, world.images), request)


def test_copies_of_a_prompt_are_read_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, sizes = engine_of(world), []
    prefill = engine._prefill

    def spy(prompts: list) -> object:
        sizes.append([len(prompt.ids) for prompt in prompts])
        return prefill(prompts)

    monkeypatch.setattr(engine, "_prefill", spy)
    first = first_turn(world)
    run(engine, *[replace(first, id=f"copy/{i}", seed=i) for i in range(8)])
    assert len(sizes[0]) == 1


def ending(engine: HFEngine, world: World, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the next poll say `text`, with its real logprobs."""
    ids = iter(world.codec.completion_ids(text))

    def sample(_: object, logits: torch.Tensor, noise: torch.Tensor) -> tuple:
        token = next(ids)
        return torch.full((len(logits),), token), logits.log_softmax(-1)[:, token]

    monkeypatch.setattr("vigorl.rollout.engines.hf.Sampler.sample", sample)


def test_turns_are_kept_as_far_as_a_gib_goes(world: World) -> None:
    engine = engine_of(world)
    size = math.prod(engine._kv_shape(1, 1)) * 4
    assert engine._prefixes._entries.maxsize == 2**30 // size > 10_000
    assert not engine_of(world, prefix_cache_tokens=0)._prefixes.is_enabled


def test_the_next_turn_reads_only_what_is_new(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, without = engine_of(world), engine_of(world, prefix_cache_tokens=0)
    first = first_turn(world, max_new_tokens=99)
    with monkeypatch.context() as patch:
        ending(engine, world, ZOOM, patch)
        longer = first_turn(world, "a name that leaves the first a hole", max_new_tokens=99)
        assert run(engine, first, longer)[first.id].is_finished
    second = replace(second_turn(world, first), sampling=SamplingParams(12))
    other = first_turn(world, "unrelated", seed=9)  # a row without a known part beside one with
    read = []
    prefill = engine._prefill
    monkeypatch.setattr(
        engine,
        "_prefill",
        lambda prompts: (read.extend(len(p.ids) for p in prompts), prefill(prompts))[1],
    )
    found, expected = run(engine, second, other), run(without, second, other)
    # the observation with four crop tokens, and the first turn's end token, which was never fed
    shown = (
        len(
            world.codec.observation_ids(observation_parts(("Here is the crop:\n", builders.view())))
        )
        + 3
    )
    assert read[0] == shown + 1
    for request in (second, other):
        assert found[request.id].token_ids == expected[request.id].token_ids
        assert found[request.id].logprobs == pytest.approx(
            expected[request.id].logprobs, abs=FLOAT_NOISE
        )


def test_publishing_drops_what_the_old_weights_made(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(world)
    first = first_turn(world, max_new_tokens=99)
    with monkeypatch.context() as patch:
        ending(engine, world, ZOOM, patch)
        run(engine, first)
    model = world.model()
    with torch.no_grad():
        for weight in model.model.visual.parameters():
            weight.mul_(1.5)
    engine.publish(export_weights(model), version=5)
    fresh = HFEngine(model, world.codec, world.images)
    second = replace(second_turn(world, first), sampling=SamplingParams(12))
    old = run(engine_of(world), second)[second.id]
    new = run(engine, second)[second.id]
    assert new == run(fresh, second)[second.id]
    assert new.logprobs != pytest.approx(old.logprobs, abs=1e-4)
    assert engine.policy_version == 5


def test_publishing_is_strict(world: World) -> None:
    engine, weights = engine_of(world), dict(export_weights(world.model()))
    with pytest.raises(EngineError, match="weights were not published, such as"):
        engine.publish([], version=1)
    with pytest.raises(EngineError, match="ghost is not one"):
        engine.publish([("ghost", torch.zeros(1))], version=1)
    name = "model.norm.weight"  # as in the folder
    with pytest.raises(EngineError, match=r"norm.weight is \(1,\), not \(64,\)"):
        engine.publish([(name, torch.zeros(1))], version=1)
    assert engine.policy_version == 0
    assert "lm_head.weight" not in weights  # tied to the embedding
    engine.publish(weights.items(), version=1)
    assert engine.policy_version == 1


def test_banned_tokens_are_never_sampled(world: World) -> None:
    requests = [first_turn(world, seed=i, temperature=5.0, max_new_tokens=40) for i in range(20)]
    for completion in run(engine_of(world), *requests).values():
        assert not set(world.codec.banned_ids) & set(completion.token_ids)


def test_a_prompt_without_pictures(world: World) -> None:
    request = first_turn(world)
    ids = tuple(world.codec.prompt_ids([]) + world.codec.prefix_ids(ANSWER))
    text_only = replace(request, id="t", prompt_ids=ids, views=())
    beside = run(engine_of(world), text_only, request)["t"]
    alone = run(engine_of(world), text_only)["t"]
    assert beside.token_ids == alone.token_ids
    assert beside.logprobs == pytest.approx(alone.logprobs, abs=FLOAT_NOISE)


def test_wrong_use(world: World) -> None:
    with pytest.raises(ConfigError, match="max_batch_size"):
        engine_of(world, max_batch_size=0)
    request = first_turn(world)
    with pytest.raises(EngineError, match="has 1 placeholders but 0 pictures"):
        engine_of(world).submit(replace(request, views=()))


def test_padding_does_not_leak_through_an_attention_without_safeguards(world: World) -> None:
    # eager attention gives NaN for a padding token that may see nothing, and 0 * NaN is NaN
    model = world.model()
    model.set_attn_implementation("eager")
    requests = [first_turn(world), first_turn(world, "a much longer name", seed=2)]
    found = run(HFEngine(model, world.codec, world.images), *requests)
    for request_id, expected in run(engine_of(world), *requests).items():
        assert found[request_id].token_ids == expected.token_ids
        assert found[request_id].logprobs == pytest.approx(expected.logprobs, abs=FLOAT_NOISE)
