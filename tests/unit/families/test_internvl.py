"""InternVL: pictures as tiles, by hand and as its own processor cuts them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import (
    AutoModelForImageTextToText,
    AutoTokenizer,
    GotOcr2ImageProcessorPil,
    InternVLConfig,
)

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box, Size
from vigorl.core.rollout import TrainingSample
from vigorl.data.collate import TrainingBatch, collate
from vigorl.data.encoding import ChatCodec
from vigorl.data.images import ImageStore
from vigorl.data.prompts import Message
from vigorl.families.family import TinySettings
from vigorl.families.internvl import CHAT, InternVL, TileSizing
from vigorl.models.lora import LoraSettings, lora_layers, lora_weights
from vigorl.models.model_size import measure_model
from vigorl.models.policy import Policy
from vigorl.models.pretrained import freeze_parts
from vigorl.models.tiny import make_tiny
from vigorl.models.weight_export import export_weights
from vigorl.rollout.tools.arguments import view_size

FULL = TileSizing(448, 1, 12)
SMALL = TinySettings(
    model_type="internvl", hidden=64, layers=1, ffn=64, vision_hidden=64, vision_depth=1
)


@pytest.mark.parametrize(
    ("size", "columns", "rows", "tokens"),
    [
        ((448, 448), 1, 1, 256),
        ((1000, 600), 3, 2, 7 * 256),  # 5:3 is nearer to 3:2 than to 2:1
        ((40, 30), 4, 3, 13 * 256),  # a small 4:3 picture costs as much as a large one
        ((10, 800), 1, 12, 13 * 256),
        ((896, 896), 2, 2, 5 * 256),  # 1 x 1 has the aspect too: large pictures get the larger grid
    ],
)
def test_the_grid_of_the_nearest_aspect_is_taken(
    size: tuple[int, int], columns: int, rows: int, tokens: int
) -> None:
    shown = FULL.fit(Size(*size))
    assert shown == Size(columns * 448, rows * 448)
    assert FULL.num_tokens(shown) == tokens == len(FULL.token_boxes(shown))


@pytest.mark.parametrize("most", [1, 6, 12, 24])
def test_what_is_shown_stays(most: int) -> None:
    sizing, rng = TileSizing(448, 1, most), random.Random(0)
    for _ in range(500):
        size = Size(rng.randint(1, 3000), rng.randint(1, 3000))
        for shown in (sizing.fit(size), sizing.fit_view(size)):
            assert sizing.fit(shown) == sizing.fit_view(shown) == shown
            assert shown.width * shown.height <= sizing.max_pixels


@pytest.mark.parametrize("window", [Box(0, 0, 300, 300), Box(0, 0, 80, 240), Box(0, 0, 400, 30)])
def test_a_crop_shown_at_one_tiles_side_is_one_tile(window: Box) -> None:
    assert FULL.fit_view(view_size(window, view_px=448)) == Size(448, 448)
    assert FULL.fit_view(Size(900, 400)) == Size(896, 448)


def test_pixel_limits_count_whole_tiles() -> None:
    assert FULL.within(min_pixels=3136, max_pixels=2_850_000) == TileSizing(448, 1, 14)
    assert FULL.within(max_pixels=448 * 448).fit(Size(4000, 3000)) == Size(448, 448)
    assert FULL.within(min_pixels=448 * 448 + 1).min_pixels == 2 * 448 * 448
    with pytest.raises(ConfigError, match=r"pixels\.max_pixels=12544 is less than 1 tile of 448"):
        FULL.within(max_pixels=12544)


def test_a_token_of_the_thumbnail_sees_a_token_of_every_tile() -> None:
    boxes = TileSizing(56, 1, 4).token_boxes(Size(112, 56))
    assert boxes[:4] == [
        Box(0, 0, 28, 28), Box(28, 0, 56, 28), Box(0, 28, 28, 56), Box(28, 28, 56, 56)
    ]  # fmt: skip
    assert boxes[4] == Box(56, 0, 84, 28)
    assert boxes[8:10] == [Box(0, 0, 56, 28), Box(56, 0, 112, 28)]


def test_tiles_are_the_processors_own_and_the_thumbnail_nearly_so(tmp_path: Path) -> None:
    processor: Any = InternVL().tiny_processor(SMALL)
    images = ImageStore(processor, family=InternVL())
    picture = Image.effect_noise((300, 210), 60).convert("RGB").resize((90, 63)).resize((300, 210))
    picture.save(tmp_path / "a.png")
    alone = processor(images=[picture], return_tensors="pt")["pixel_values"]
    ours = images.pixels(images.whole(tmp_path / "a.png")).pixel_values
    assert len(ours) == 5
    assert torch.equal(ours[:-1], alone[:-1])
    assert (ours[-1] - alone[-1]).abs().mean() < 0.1  # it is resized twice


def test_other_processors_are_refused() -> None:
    with pytest.raises(ConfigError, match="object is not an InternVL image processor"):
        InternVL().sizing(object())
    with pytest.raises(ConfigError, match="tiles of 384x384 pixels"):
        InternVL().sizing(GotOcr2ImageProcessorPil())


def config(**text: Any) -> dict[str, Any]:
    ids = {token: number for number, token in enumerate(CHAT.controls)}
    made = InternVL().tiny_config(SMALL, ids, 300).to_dict()
    made["text_config"] |= text
    return made


@pytest.mark.parametrize("text_model", ["qwen2", "qwen3"])
def test_the_projector_is_the_merger(text_model: str) -> None:
    family = InternVL()
    model = AutoModelForImageTextToText.from_config(InternVLConfig(**config(model_type=text_model)))
    freeze_parts(model, family, is_tower_frozen=True, is_merger_frozen=False)
    learning = {name.split(".")[1] for name, w in model.named_parameters() if w.requires_grad}
    assert learning == {"multi_modal_projector", "language_model"}
    names = {name.split(".")[0] for name, _ in export_weights(model)}
    assert names == {"vision_tower", "multi_modal_projector", "language_model"}
    assert family.head_dim(model.config) == 32


def test_experts_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="text model of type qwen3_moe is not supported: take"):
        measure_model(config(model_type="qwen3_moe", num_experts=2, num_experts_per_tok=1))


def test_memory_counts_the_thumbnail() -> None:
    size = measure_model(config())
    assert size.picture_tokens(56 * 56) == 4
    assert size.picture_tokens(4 * 56 * 56) == 20


def test_the_template_leaves_to_the_processor_what_it_writes(tmp_path: Path) -> None:
    folder = make_tiny(tmp_path, corpus=["Where?"], settings=SMALL)
    codec, tokenizer = ChatCodec.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    said = [{"type": "image"}, {"type": "text", "text": "Where?"}]
    written = tokenizer.apply_chat_template(
        [{"role": "user", "content": said}],
        chat_template=CHAT.template(), add_generation_prompt=True, tokenize=False,
    )  # fmt: skip
    assert written == "<|im_start|>user\n<IMG_CONTEXT>\nWhere?<|im_end|>\n<|im_start|>assistant\n"
    message = Message("user", "<image>Where?", 1)
    ids = codec.prompt_ids([message])
    assert codec.processor_ids(ids) == tokenizer(written)["input_ids"]
    assert len(ids) == len(codec.processor_ids(ids)) + 2
    assert codec.messages_of(ids)[0] == message


def test_a_saved_policy_with_merged_adapters_reads_back_equal(tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "a", corpus=["Where?"], settings=SMALL)
    policy = Policy.from_pretrained(folder, dtype="float32", lora=LoraSettings(rank=2))
    layers = lora_layers(policy.model)
    assert len(layers) == 7
    assert all(".language_model.layers.0." in name for name in layers)
    with torch.no_grad():
        for layer in layers.values():
            for weight in lora_weights(layer):
                weight.fill_(0.05)
    policy.save_pretrained(tmp_path / "b")
    ids = torch.tensor([[5, 6, 7]])
    plain: Any = AutoModelForImageTextToText.from_pretrained(tmp_path / "b")
    with torch.no_grad():
        torch.testing.assert_close(plain(input_ids=ids).logits, policy.model(input_ids=ids).logits)
    on_disk = load_file(tmp_path / "b" / "model.safetensors")
    assert {name.split(".")[0] for name in on_disk} == {
        "vision_tower", "multi_modal_projector", "language_model"
    }  # fmt: skip
    known = json.loads((tmp_path / "b" / "processor_config.json").read_text())
    assert known["image_seq_length"] == 4
    assert (tmp_path / "b" / "chat_template.jinja").read_text() == CHAT.template()


def make_sequences(folder: Path) -> TrainingBatch:
    """Three of unequal lengths, with one picture, none and two; their model into the folder."""
    make_tiny(folder, corpus=["Where?"], settings=SMALL)
    codec, images = ChatCodec.from_pretrained(folder), ImageStore.from_pretrained(folder)
    Image.effect_noise((300, 210), 60).convert("RGB").save(folder / "a.png")
    whole, samples = images.whole(folder / "a.png"), []
    for num in (1, 0, 2):
        ids = codec.prompt_ids([Message("user", "<image>" * num + "Where?", num)])
        reply = codec.completion_ids("There. " * (num + 1))
        mask = [0] * len(ids) + [1] * len(reply)
        samples.append(TrainingSample((*ids, *reply), tuple(mask), (whole,) * num))
    return collate(samples, images=images, pad_id=codec.pad_id, image_id=codec.image_id)


def test_sequences_in_one_row_are_read_as_alone_and_without_a_mask(tmp_path: Path) -> None:
    batch, masks, scored = make_sequences(tmp_path), [], []
    for packing, sharing in ((False, False), (True, False), (True, True)):
        policy = Policy.from_pretrained(
            tmp_path, dtype="float32", packing=packing, shared_prefix=sharing,
            freeze_vision_tower=False,
        )  # fmt: skip
        attention = policy.model.get_submodule("model.language_model.layers.0.self_attn")
        attention.register_forward_pre_hook(
            lambda _, __, given: masks.append(given["attention_mask"]), with_kwargs=True
        )
        with torch.no_grad():
            scored.append(policy.response_logprobs(batch)[0])
    assert masks[0] is not None
    assert masks[1:] == [None, None]
    for found in scored[1:]:
        torch.testing.assert_close(found, scored[0], atol=1e-5, rtol=0)
