"""A folder that vigorl writes answers in plain transformers as it does here."""

from __future__ import annotations

import random
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
)

from vigorl.build import ASSETS
from vigorl.core.protocols import GenerationRequest, SamplingParams
from vigorl.data.encoding import ChatCodec, Message
from vigorl.data.images import ImageStore
from vigorl.data.prompts import Prompt
from vigorl.families.qwen_vl import CHAT
from vigorl.models.policy import Policy
from vigorl.rollout.chat_files import add_chat_files, write_chat_files
from vigorl.rollout.engines.hf import HFEngine
from vigorl.rollout.environment import Environment
from vigorl.rollout.limits import RolloutLimits

pytestmark = pytest.mark.slow
SYSTEM, QUESTION, NUM_TOKENS = "Be exact.", "Where is the disc?", 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("exported")
    model = made / "model"
    Policy.from_pretrained(ASSETS / "tiny_start", dtype="float32").save_pretrained(model)
    environment = Environment(
        prompt=Prompt(SYSTEM),
        codec=ChatCodec.from_pretrained(model),
        images=ImageStore.from_pretrained(model),
        limits=RolloutLimits(
            max_turns=1, max_images=1, max_new_tokens=NUM_TOKENS, max_response_tokens=NUM_TOKENS
        ),
    )
    write_chat_files(made / "chat", environment, source=model)
    assert add_chat_files(model, made / "chat")
    rng = random.Random(0)
    picture = Image.new("RGB", (100, 80))
    picture.putdata([tuple(rng.randrange(256) for _ in "rgb") for _ in range(8000)])
    picture.save(made / "picture.png")
    return made


@pytest.fixture(scope="module")
def ours(folder: Path) -> list[int]:
    """Our greedy answer."""
    model = folder / "model"
    codec, images = ChatCodec.from_pretrained(model), ImageStore.from_pretrained(model)
    engine = HFEngine.from_pretrained(folder=str(model), codec=codec, images=images)
    said = [Message("system", SYSTEM), Message("user", "<image>" + QUESTION, 1)]
    request = GenerationRequest(
        id="a/0/1",
        prompt_ids=tuple(codec.prompt_ids(said)),
        views=(images.whole(folder / "picture.png"),),
        sampling=SamplingParams(max_new_tokens=NUM_TOKENS, temperature=0.0),
        seed=0,
    )
    engine.submit(request)
    return list(engine.poll()[0].token_ids)


def chat(folder: Path) -> list[dict[str, Any]]:
    picture = {"type": "image", "url": str(folder / "picture.png")}
    question = {"type": "text", "text": QUESTION}
    return [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": [picture, question]},
    ]


def greedy(folder: Path, inputs: Any) -> list[int]:
    model: Any = AutoModelForImageTextToText.from_pretrained(folder / "model")
    found = model.generate(**inputs, max_new_tokens=NUM_TOKENS, do_sample=False)
    return found[0, inputs["input_ids"].shape[1] :].tolist()


def test_the_chat_template_gives_our_greedy_answer(folder: Path, ours: list[int]) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(folder / "model")
    processor: Any = AutoImageProcessor.from_pretrained(folder / "model", backend="pil")
    with Image.open(folder / "picture.png") as picture:
        pixels = processor(images=[picture], return_tensors="pt")
    said, unsaid = (
        tokenizer.apply_chat_template(one, add_generation_prompt=True, tokenize=False)
        for one in (chat(folder), chat(folder)[1:])
    )
    assert said == unsaid  # the folder knows the system text
    # as the model's processor does, which needs torchvision for videos
    num = int(pixels["image_grid_thw"].prod()) // processor.merge_size**2
    text = unsaid.replace(CHAT.picture, CHAT.picture * num)
    ids = tokenizer(text, return_tensors="pt")
    types = (ids["input_ids"] == tokenizer.convert_tokens_to_ids(CHAT.picture)).int()
    assert greedy(folder, {**ids, **pixels, "mm_token_type_ids": types}) == ours


@pytest.mark.skipif(find_spec("torchvision") is None, reason="AutoProcessor needs torchvision")
def test_the_auto_processor_gives_our_greedy_answer(folder: Path, ours: list[int]) -> None:
    processor: Any = AutoProcessor.from_pretrained(folder / "model")
    inputs = processor.apply_chat_template(
        chat(folder), add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    assert torch.is_tensor(inputs["input_ids"])
    assert greedy(folder, inputs) == ours
