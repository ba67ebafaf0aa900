"""A small world for the data tests: a byte-level tokenizer, a store, pictures, a fake zoom tool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2VLImageProcessorPil

from vigorl.core.geometry import Point, Size, zoom_window
from vigorl.core.media import ImageView, Region
from vigorl.core.protocols import (
    Argument,
    ArgumentKind,
    Observation,
    Scene,
    StatelessTool,
    ToolError,
    ToolSpec,
)
from vigorl.data.encoding import ChatCodec
from vigorl.data.images import ImageStore
from vigorl.families.qwen_vl import CHAT, Qwen25VL

CONTROLS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>",
    "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role + '\n' }}"
    "{{ m.content | replace('<image>', '<|vision_start|><|image_pad|><|vision_end|>') }}"
    "<|im_end|>{{ '\n' }}{% endfor %}<|im_start|>{{ 'assistant\n' }}"
)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE with Qwen's control tokens (ids 0-6) and the non-special <tool_call>."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(CONTROLS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(
        ["user\nsystem\nassistant\nhello world point zoom answer"] * 9, trainer
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(CONTROLS),
    )
    tokenizer.add_tokens(["<tool_call>", "</tool_call>"])
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def make_processor(
    min_pixels: int = 56 * 56, max_pixels: int = 112 * 112
) -> Qwen2VLImageProcessorPil:
    return Qwen2VLImageProcessorPil(min_pixels=min_pixels, max_pixels=max_pixels)


class FakeZoom(StatelessTool):
    """Shows a 56 px square around "coordinate" at 56 px."""

    name = "look"
    spec = ToolSpec((Argument("coordinate", ArgumentKind.POINT),), "a look", "a part")

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        values, image = arguments.get("coordinate"), scene.first
        if not isinstance(values, list) or not image.holds(Point(*values)):
            raise ToolError("that is off the picture")
        center = image.to_original(Point(*values))
        window = zoom_window(center, image=image.original, side_px=56)
        view = replace(image, size=Size(56, 56), box=window)
        return Observation(("Here is the crop:\n", view), Region(center, window))

    def arguments_at(self, target: Point, *, image: ImageView) -> Mapping[str, object]:
        point = image.to_text(target)
        return {"coordinate": [point.x, point.y]}


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer()


@pytest.fixture(scope="session")
def codec(tokenizer: PreTrainedTokenizerFast) -> ChatCodec:
    return ChatCodec(tokenizer, CHAT)


@pytest.fixture
def store() -> ImageStore:
    return ImageStore(make_processor(), family=Qwen25VL())


@pytest.fixture
def picture(tmp_path: Path) -> Callable[..., str]:
    """Writes a noise picture below `tmp_path` and gives its path."""

    def write(name: str = "a.png", size: tuple[int, int] = (448, 448)) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(list(name.encode())).integers(0, 256, (size[1], size[0], 3))
        Image.fromarray(noise.astype(np.uint8)).save(path)
        return str(path)

    return write


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two real photographs, 640 x 427, as PNG."""
    from sklearn.datasets import load_sample_images

    folder = tmp_path_factory.mktemp("photographs")
    paths = []
    for name, pixels in zip(("church", "flower"), load_sample_images().images, strict=True):
        Image.fromarray(np.asarray(pixels)).save(folder / f"{name}.png")
        paths.append(str(folder / f"{name}.png"))
    return paths


def shared_data() -> Path:
    """Real samples that lie beside a checkout on some machines; tests over them skip without."""
    return Path(__file__).parents[3] / ".." / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    if not shared_data().is_dir():
        pytest.skip("the real sample data are not beside this checkout")
    return shared_data().resolve()
