"""The arithmetic by hand, on numbers that make it easy; and what must hold of any plan."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vigorl.core.cost import Achieved, Bound, ModelCost, Prediction, Side, Workload, predict
from vigorl.core.devices import Device
from vigorl.core.flops import Load, ModelFlops, Weights

FLOPS = ModelFlops(
    layers=Weights(num=1000, num_trained=1000),
    head=Weights(num=100, num_trained=100),
    tower=Weights(num=50),
    merger=Weights(num=0),
    query_width=0,
    tower_width=0,
)
MODEL = ModelCost(
    flops=FLOPS, num_params=1200, num_trained=1100, layers=2, kv_bytes=10, engine_bytes=2,
    gather_bytes=2, reduce_bytes=2,
)  # fmt: skip
WORK = Workload(
    prompts=2, group_size=4, turns=2, longest_turns=3, turn_tokens=10, longest_turn_tokens=20,
    longest_tokens=50, text_tokens=30, picture=Load(patches=80), crop=Load(patches=40),
    is_checkpointed=False, reads=1,
)  # fmt: skip
DEVICE = Device(name="made", flops=1e6, memory_bytes=0, memory_rate=1e5, link_rate=1e5)
WHOLE = Achieved(update=1.0, forward=1.0, memory=1.0, link=1.0, layer_s=0.0)


def seconds(
    work: Workload = WORK, *, model: ModelCost = MODEL, **settings: object
) -> dict[str, float]:
    said = {"num_devices": 1, "achieved": WHOLE} | settings
    found = predict(model, work, DEVICE, **said)  # pyright: ignore[reportArgumentType]
    return {part.name: part.seconds for part in found.parts}


def test_each_part_by_hand() -> None:
    found = seconds(replace(WORK, tool_s=0.5, rollout_s=0.25))
    # a prompt is 30 + 80 / 4 = 50 tokens, read once a group; a crop 10, and each reading asks once
    assert found["read"] == pytest.approx(2 * (1000 * (2 * 50 + 8 * 10) + 100 * (2 + 8)) / 1e6)
    # 2 pictures of 80 patches, 8 crops of 40
    assert found["see"] == pytest.approx(2 * 50 * (2 * 80 + 8 * 40) / 1e6)
    assert found["features"] == found["see"]
    # the longest dialog's 50 steps read 1100 weights of 2 bytes; 8 rollouts of 20 tokens see
    # 50 + 10 + 20 / 2 = 70 on average, of 10 bytes each
    assert found["decode"] == pytest.approx((50 * 1100 * 2 + 8 * 20 * 70 * 10) / 1e5)
    assert found["tools"] == 8 * 0.5
    # 50 + 10 + 20 tokens a sequence, 20 of them scored
    forward = 2 * 8 * (1000 * 80 + 100 * 20) / 1e6
    assert found["logprob"] == pytest.approx(forward)
    assert found["update"] == pytest.approx(3 * forward)
    assert found["optimizer"] == pytest.approx(28 * 1100 / 1e5)
    assert found["publish"] == pytest.approx(2 * 1200 * 2 / 1e5)
    assert found["other"] == 8 * 0.25


def test_attention_by_hand() -> None:
    """Four FLOPs a pair and number of a query; what the products take is in the test above."""
    flops = replace(FLOPS, query_width=3, state=7, tower_width=5, window_width=2)
    work = replace(
        WORK,
        picture=Load(patches=80, patch_pairs=6400, window_pairs=640),
        crop=Load(patches=40, patch_pairs=1600, window_pairs=160),
    )
    with_it, without = seconds(work, model=replace(MODEL, flops=flops)), seconds(work)
    more = {name: with_it[name] - value for name, value in without.items()}
    # 2 prompts of 50 tokens; of a crop's 10 the state alone is counted
    assert more["read"] == pytest.approx(4 * (3 * 2 * 50**2 + 7 * (2 * 50 + 8 * 10)) / 1e6)
    seen = 4 * (5 * (2 * 6400 + 8 * 1600) + 2 * (2 * 640 + 8 * 160)) / 1e6
    assert (more["see"], more["features"]) == pytest.approx((seen, seen))
    # 8 sequences of 80 tokens, thrice with the backward pass
    forward = 4 * (3 * 8 * 80**2 + 7 * 8 * 80) / 1e6
    assert more["logprob"] == pytest.approx(forward)
    assert more["update"] == pytest.approx(3 * forward)
    # with a group in one row a continuation of 30 tokens sees all 80
    shared = replace(work, shares_prefix=True, micro_batch_size=4)
    more_shared = seconds(shared, model=replace(MODEL, flops=flops))["logprob"]
    more_shared -= seconds(shared)["logprob"]
    pairs, tokens = 2 * 50**2 + 8 * 30 * 80, 2 * 50 + 8 * 30
    assert more_shared == pytest.approx(4 * (3 * pairs + 7 * tokens) / 1e6)
    # decoding is bound by memory here; by arithmetic on a device of more of that
    fast = replace(DEVICE, memory_rate=1e12)
    said = {"num_devices": 1, "achieved": WHOLE}
    slow = [predict(one, work, fast, **said) for one in (replace(MODEL, flops=flops), MODEL)]  # pyright: ignore[reportArgumentType]
    assert slow[0].parts[2].bound is Bound.FLOPS
    steps_s = slow[0].parts[2].seconds - slow[1].parts[2].seconds
    assert steps_s == pytest.approx(4 * 8 * (3 * 20 * 70 + 7 * 20) / 1e6)


def test_a_turn_barrier_waits_for_the_longest_turn_of_each() -> None:
    decode = seconds(replace(WORK, has_turn_barrier=True))["decode"]
    assert decode == pytest.approx((3 * 20 * 1100 * 2 + 8 * 20 * 70 * 10) / 1e5)


def test_more_rollouts_than_places_take_more_steps() -> None:
    decode = seconds(replace(WORK, max_in_flight=4))["decode"]  # 2 waves: 20 steps more
    assert decode == pytest.approx((70 * 1100 * 2 + 8 * 20 * 70 * 10) / 1e5)


def test_what_is_shared_is_read_once() -> None:
    alone = seconds(replace(WORK, shares_prompts=False, keeps_features=False))
    shared = seconds(replace(WORK, shares_prefix=True, micro_batch_size=4))
    assert alone["read"] > 3 * shared["read"]
    assert alone["see"] > 2 * shared["see"]
    assert alone["features"] > 2 * shared["features"]
    # 2 prompts of 50 and 8 continuations of 30, instead of 8 x 80
    products = 1000 * (2 * 50 + 8 * 30) + 100 * 8 * 20
    assert shared["logprob"] == pytest.approx(2 * products / 1e6)
    # by two at a time a prompt is read twice, by one there is nothing to share
    products = 1000 * (4 * 50 + 8 * 30) + 100 * 8 * 20
    halves = seconds(replace(WORK, shares_prefix=True, micro_batch_size=2))
    assert halves["logprob"] == pytest.approx(2 * products / 1e6)
    assert seconds(replace(WORK, shares_prefix=True))["logprob"] == seconds()["logprob"]


def test_sorted_sequences_are_padded_to_the_longest_beside_them() -> None:
    """The mean is 80 tokens, the longest 50 + 2 x 10 + 50 = 120."""
    of = {1: 80, 8: 120, 100: 120, 3: 80 + 40 * 2 / 7}
    for size, tokens in of.items():
        work = replace(WORK, micro_batch_size=size)
        assert work.padded_tokens(4, num_sorted=8) == pytest.approx(tokens)
    lengths = [40 + 80 * i / 7 for i in range(8)]  # of that mean, evenly; by twos the second's
    twos = replace(WORK, micro_batch_size=2).padded_tokens(4, num_sorted=8)
    assert twos == pytest.approx(sum(lengths[1::2]) / 4)
    as_long = replace(WORK, longest_turns=2, longest_tokens=20, micro_batch_size=8)
    assert as_long.padded_tokens(4, num_sorted=8) == 80


def test_a_budget_of_tokens_is_so_many_sequences() -> None:
    assert WORK.sequences_within(200, 4) == 2.5
    assert WORK.sequences_within(70, 4) == 1
    shared = replace(WORK, shares_prefix=True)  # 50 and 30 each; a group 50 + 4 x 30 = 170
    assert shared.sequences_within(110, 4) == 2
    assert shared.sequences_within(170, 4) == 4
    assert shared.sequences_within(340, 4) == 8
    for tokens in (110, 170, 340):  # as many tokens are read in each pass
        work = replace(shared, micro_batch_size=shared.sequences_within(tokens, 4))
        assert work.learned(4).tokens == pytest.approx(tokens * 8 / work.micro_batch_size)


def test_padding_and_a_head_everywhere_cost_what_they_read() -> None:
    found = seconds(replace(WORK, row_tokens=160, scores_all=True))
    assert found["logprob"] == pytest.approx(2 * 8 * 160 * 1100 / 1e6)


def test_devices_share_the_arithmetic_but_not_the_weights() -> None:
    one, four = seconds(), seconds(num_devices=4)
    assert four["update"] == pytest.approx(one["update"] / 4)
    assert four["publish"] == one["publish"]
    assert one["decode"] > four["decode"] > one["decode"] / 4


def test_links_bound_a_small_batch_under_zero3() -> None:
    slow = replace(DEVICE, link_rate=1e2)
    work = replace(WORK, zero_stage=3)
    parts = {p.name: p for p in predict(MODEL, work, slow, num_devices=2, achieved=WHOLE).parts}
    # gradients 2 x 1100 x 2 bytes; weights of 4 micro-batches, forward and backward
    assert parts["update"].bound is Bound.LINK
    assert parts["update"].seconds == pytest.approx(0.5 * (4400 + 2 * 4 * 1200 * 2) / 1e2)
    # of 4 bytes a gradient, of 1 a weight
    other = replace(MODEL, reduce_bytes=4, gather_bytes=1)
    parts = {p.name: p for p in predict(other, work, slow, num_devices=2, achieved=WHOLE).parts}
    assert parts["update"].seconds == pytest.approx(0.5 * (8800 + 2 * 4 * 1200) / 1e2)


def test_what_reads_together_exchanges_tokens_for_heads() -> None:
    heads = replace(MODEL, flops=replace(FLOPS, query_width=6))
    work = replace(WORK, is_checkpointed=True)
    alone, both = (
        seconds(one, model=heads, num_devices=2) for one in (work, replace(work, together=2))
    )
    # 2 x 6 numbers of queries and what became of them, 10 / 2 of keys and values, 2 bytes each;
    # a half of 4 sequences of 80 tokens, forwards, backwards and once more
    assert both["update"] - alone["update"] == pytest.approx(0.5 * 3 * (12 + 5) * 2 * 320 / 1e5)
    assert both["logprob"] == alone["logprob"]
    assert both["features"] == 2 * alone["features"]  # each sees the pictures of both
    far = replace(DEVICE, link_rate=1e2)
    parts = predict(heads, replace(work, together=2), far, num_devices=2, achieved=WHOLE).parts
    assert next(part.bound for part in parts if part.name == "update") is Bound.LINK
    slow, parts = replace(WHOLE, layer_s=1.0), []
    for one in (work, replace(work, together=2)):  # each starts the kernels of both's micro-batches
        parts.append(seconds(one, model=heads, num_devices=2, achieved=slow)["update"])
    assert parts[1] - parts[0] == pytest.approx(both["update"] - alone["update"] + 3 * 2 * 4)


def test_links_bound_a_pass_without_gradient_too_but_for_weights_that_are_whole() -> None:
    slow = replace(DEVICE, link_rate=1e2)
    work = replace(WORK, zero_stage=3, reads=2, whole_reads=1)
    parts = {p.name: p for p in predict(MODEL, work, slow, num_devices=2, achieved=WHOLE).parts}
    # weights of 4 micro-batches, forward; and the arithmetic of 4 sequences
    gathered, read = 0.5 * 4 * 1200 * 2 / 1e2, 2 * 4 * (1000 * 80 + 100 * 20) / 1e6
    assert parts["logprob"].bound is Bound.LINK
    assert parts["logprob"].seconds == pytest.approx(gathered + read)
    whole = seconds(replace(work, whole_reads=2), num_devices=2)
    assert whole["logprob"] == pytest.approx(2 * read)


def test_the_seconds_are_the_sum_and_the_longest_says_what_binds() -> None:
    found = predict(MODEL, WORK, DEVICE, num_devices=1, achieved=WHOLE)
    assert found.seconds == pytest.approx(sum(part.seconds for part in found.parts))
    assert found.longest.name == "update"
    assert found.longest.bound is Bound.FLOPS
    assert found.tokens == 8 * 80


def test_the_longer_side_counts_where_rollouts_are_made_beside_learning() -> None:
    def phase(work: Workload) -> Prediction:
        return predict(MODEL, work, DEVICE, num_devices=1, achieved=WHOLE)

    learns = phase(replace(WORK, overlaps=True))
    parts = {part.name: part.seconds for part in learns.parts}
    by_learner = sum(parts[name] for name in ("features", "logprob", "update", "optimizer"))
    assert learns.hidden is Side.ENGINE
    assert learns.seconds == pytest.approx(by_learner + parts["publish"])
    assert learns.longest.name == "update"
    # weights go over the link to other devices
    assert parts["publish"] == pytest.approx(1200 * 2 / 1e5)

    waits = phase(replace(WORK, overlaps=True, tool_s=5.0))
    parts = {part.name: part.seconds for part in waits.parts}
    by_engine = sum(parts[name] for name in ("read", "see", "decode", "tools", "other"))
    assert waits.hidden is Side.LEARNER
    assert waits.seconds == pytest.approx(by_engine + parts["publish"])
    assert waits.longest.name == "tools"
    assert phase(WORK).hidden is None


def test_starting_kernels_can_be_all_of_a_small_model() -> None:
    slow = replace(WHOLE, layer_s=1.0)
    parts = {p.name: p for p in predict(MODEL, WORK, DEVICE, num_devices=1, achieved=slow).parts}
    assert parts["decode"].bound is Bound.STEPS
