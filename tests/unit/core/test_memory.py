"""Figures of Qwen2.5-VL-7B worked out by hand; see tests/unit/models/test_model_size.py for its
weights.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from vigorl.core.memory import (
    EngineLoad,
    LearningLoad,
    MemoryItem,
    ModelSize,
    When,
    activation_bytes,
    advise,
    checkpoint_bytes,
    engine_items,
    learning_items,
    peak_bytes,
)

ALL, TRAINED = 8_292_166_656, 7_615_616_512
QWEN_7B = ModelSize(
    num_params=ALL,
    num_vision_params=676_550_144,
    num_trainable=TRAINED,
    num_adapter=0,
    layers=28,
    hidden=3584,
    intermediate=18944,
    kv_width=512,
    vocab=152064,
    feature_width=3584,
    vision_hidden=1280,
    vision_intermediate=3420,
    vision_depth=32,
    patch_dim=1176,
    patches_per_token=4,
    pixels_per_token=784,
)
ONE_GPU = LearningLoad(
    weight_bytes=4,
    compute_bytes=2,
    num_ranks=1,
    zero_stage=None,
    reference_bytes=4,
    micro_batch_size=2,
    sequence_tokens=8000,
    response_tokens=4096,
    picture_tokens=4000,
    is_tower_trained=False,
    is_checkpointed=True,
    logits_chunk_tokens=4096,
    vocab_tile=16_384,
)
ENGINE = EngineLoad(
    dtype_bytes=2,
    batch_size=8,
    prompt_tokens=4000,
    sequence_tokens=8000,
    prefix_cache_tokens=1000,
    feature_cache_tokens=1000,
    encode_tokens=8192,
)


def sizes(items: list[MemoryItem]) -> dict[str, int]:
    found = {item.name: item.num_bytes for item in items}
    assert len(found) == len(items)
    return found


def test_one_gpu_holds_sixteen_bytes_per_trained_weight_and_the_reference() -> None:
    found = sizes(learning_items(QWEN_7B, ONE_GPU))
    assert found["weights"] == 4 * ALL == 33_168_666_624
    assert found["gradients"] == 4 * TRAINED == 30_462_466_048
    assert found["AdamW moments"] == 8 * TRAINED == 60_924_932_096
    assert found["autocast copies"] == 2 * TRAINED
    assert found["KL reference"] == 4 * ALL
    assert "DDP buckets" not in found


def test_ddp_holds_gradients_twice() -> None:
    found = sizes(learning_items(QWEN_7B, replace(ONE_GPU, num_ranks=4)))
    assert found["DDP buckets"] == found["gradients"] == 4 * TRAINED


@pytest.mark.parametrize(
    ("stage", "weights", "gradients"),
    [
        (1, 2 * ALL, 2 * TRAINED),  # summed in bfloat16, whole
        (2, 2 * ALL, 4 * TRAINED // 8),
        (3, 2 * ALL // 8, 4 * TRAINED // 8),
    ],
)
def test_zero_shards_more_with_each_stage(stage: int, weights: int, gradients: int) -> None:
    load = replace(ONE_GPU, weight_bytes=2, reference_bytes=2, num_ranks=8, zero_stage=stage)
    found = sizes(learning_items(QWEN_7B, load))
    assert (found["weights"], found["gradients"]) == (weights, gradients)
    assert found["float32 copies"] == 4 * TRAINED // 8
    assert found["AdamW moments"] == 8 * TRAINED // 8
    assert found["KL reference"] == 2 * ALL  # not sharded
    assert "autocast copies" not in found


def test_fsdp2_holds_parts_and_a_few_whole_layers_in_the_dtype_that_travels() -> None:
    load = replace(ONE_GPU, num_ranks=8, parts=8)
    layers = 152064 * 3584 + 2 * ALL // 28
    found = sizes(learning_items(QWEN_7B, load))
    assert found["weights"] == 4 * ALL // 8
    assert (found["whole layers"], found["autocast copies"]) == (4 * layers, 2 * TRAINED)
    found = sizes(learning_items(QWEN_7B, replace(load, gather_bytes=2)))
    assert found["whole layers"] == 2 * layers
    assert "autocast copies" not in found  # nothing is left to cast


def test_adapters_alone_have_gradients_and_moments_in_float32() -> None:
    adapters = 40_370_176
    model = replace(
        QWEN_7B, num_params=ALL + adapters, num_trainable=adapters, num_adapter=adapters
    )
    load = replace(ONE_GPU, weight_bytes=2, reference_bytes=None)
    found = sizes(learning_items(model, load))
    assert found["weights"] == 2 * ALL + 4 * adapters
    assert found["gradients"] == 4 * adapters
    assert found["AdamW moments"] == 8 * adapters
    assert "KL reference" not in found
    assert checkpoint_bytes(model, load) == 2 * ALL + 12 * adapters


def test_logits_are_those_of_a_tile() -> None:
    found = sizes(learning_items(QWEN_7B, ONE_GPU))
    assert found["logits"] == 4096 * 16_384 * 4 * 4
    short = replace(ONE_GPU, micro_batch_size=1, response_tokens=100)
    assert sizes(learning_items(QWEN_7B, short))["logits"] == 100 * 16_384 * 4 * 4


def test_checkpointing_keeps_one_layer_and_the_inputs() -> None:
    tokens = 2 * 8000
    layer = tokens * (32 * 3584 + (2 * 512 + 4 * 18944) * 2)
    mask = 2 * 8000 * 8000 * 2
    whole = replace(ONE_GPU, is_checkpointed=False)
    assert activation_bytes(QWEN_7B, whole) == 29 * layer + mask
    inputs = 28 * tokens * 3584 * 4
    assert activation_bytes(QWEN_7B, ONE_GPU) == inputs + 2 * layer + mask


def test_ranks_that_read_together_keep_a_part_each() -> None:
    whole = replace(ONE_GPU, is_checkpointed=False)
    both = replace(whole, together=2)
    around = 2 * 2 * 8000 * 3584 * 4
    assert activation_bytes(QWEN_7B, both) == activation_bytes(QWEN_7B, whole) / 2 + around
    alone = replace(whole, shared_tokens=4000)
    shared, around = replace(alone, together=2), 2 * (2 * 8000 - 4000) * 3584 * 4
    assert activation_bytes(QWEN_7B, shared) == activation_bytes(QWEN_7B, alone) / 2 + around
    short = replace(both, response_tokens=100)
    assert sizes(learning_items(QWEN_7B, short))["logits"] == 100 * 16_384 * 4 * 4


def test_engine_keeps_57344_bytes_per_token() -> None:
    # 28 layers x (keys, values) x 4 heads x 128 x 2 bytes
    assert QWEN_7B.kv_bytes(1, dtype_bytes=2) == 57_344
    found = sizes(engine_items(QWEN_7B, ENGINE))
    assert found["engine weights"] == 2 * ALL
    assert found["KV cache"] == 2 * 8 * 8000 * 57_344
    assert found["engine's kept turns"] == 1000 * 57_344
    roomy = replace(ENGINE, prefix_cache_tokens=None)
    assert sizes(engine_items(QWEN_7B, roomy))["engine's kept turns"] == 2**30
    assert found["engine's kept features"] == 1000 * 3584 * 2


def test_an_engine_that_takes_a_share_takes_nothing_else() -> None:
    found = engine_items(QWEN_7B, replace(ENGINE, reserved_bytes=30))
    assert [(item.num_bytes, item.when) for item in found] == [(30, When.ALWAYS)]


def test_sampling_and_learning_take_turns() -> None:
    items = [
        MemoryItem("a", 5),
        MemoryItem("b", 3, When.GENERATING),
        MemoryItem("c", 1, When.LEARNING),
        MemoryItem("d", 4, When.LEARNING),
    ]
    assert peak_bytes(items) == 5 + (1 + 4)


def test_advice_is_of_the_largest_items_and_said_once() -> None:
    items = [
        MemoryItem("a", 1, advice="small=1"),
        MemoryItem("b", 9, advice="x=1, y=2"),
        MemoryItem("c", 99),
        MemoryItem("d", 8, advice="y=2"),
    ]
    assert advise(items, count=2) == "x=1, y=2"
    assert advise(items) == "x=1, y=2, small=1"


def test_a_picture_is_rounded_up_to_whole_tokens() -> None:
    assert QWEN_7B.picture_tokens(784 * 3) == 3
    assert QWEN_7B.picture_tokens(784 * 3 + 1) == 4


def test_a_critic_is_a_second_model_without_its_output_head() -> None:
    head = 152064 * 3584
    model, load = replace(QWEN_7B, num_head=head), replace(ONE_GPU, has_critic=True)
    found, alone = sizes(learning_items(model, load)), sizes(learning_items(model, ONE_GPU))
    assert {name: found[name] for name in alone} == alone
    assert found["critic's weights"] == 4 * (ALL - head)
    assert found["critic's gradients"] == 4 * (TRAINED - head)
    assert found["critic's AdamW moments"] == 8 * (TRAINED - head)
    assert found["critic's activations"] == found["activations"]
    assert found.keys() - alone.keys() == {
        "critic's weights", "critic's gradients", "critic's AdamW moments",
        "critic's autocast copies", "critic's activations",
    }  # fmt: skip
    both = checkpoint_bytes(model, load)
    assert both == 4 * (2 * ALL - head) + 8 * (2 * TRAINED - head)
    frozen = replace(model, num_trainable=45_000_000, is_head_trained=False).without_head
    assert (frozen.num_params, frozen.num_trainable) == (ALL - head, 45_000_000)
