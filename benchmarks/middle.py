"""A model of a middle size, random, and rollouts for it: what benchmarks of an update share.

About 100 million weights: Qwen2.5-VL with the released vocabulary (151,936) in one of two shapes,
and for GPUs in that of a released model.

    deep   Qwen2.5-VL-3B eight times narrower, tower included: 36 layers, 256 wide
    wide   8 layers, 512 wide: 78 of 109 million weights are the vocabulary's
    3b     Qwen2.5-VL-3B's own

A vocabulary this large outweighs the layers of any model so small: the head is 10 % of the 3B's
language model, 47 % of `deep`'s and 76 % of `wide`'s, where it is nearly all of the work. `deep` is
the nearer, and its tower's work is to its layers' as in the 3B.

A rollout is a picture of 448 x 448 (256 tokens), ten tokens of a question and a response; lengths
of responses are skewed, most of them short: evenly spread logarithms. Needs torch and transformers
alone, so that other trainers' environments can import it.
"""

from __future__ import annotations

import ctypes
import functools
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

VOCAB = 151_936
IMAGE, START, END = 151655, 151652, 151653
SIDE_PX, PATCH_PX, MERGE = 448, 14, 2
PATCHES = SIDE_PX // PATCH_PX  # of a picture's side
PICTURE_TOKENS = (PATCHES // MERGE) ** 2
QUESTION_TOKENS = 10

SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # language model, tower
    "deep": (
        {
            "hidden_size": 256, "intermediate_size": 1376, "num_hidden_layers": 36,
            "num_attention_heads": 16, "num_key_value_heads": 2, "mrope_section": [2, 3, 3],
        },
        {
            "depth": 32, "hidden_size": 160, "intermediate_size": 428, "num_heads": 8,
            "fullatt_block_indexes": [7, 15, 23, 31],
        },
    ),
    "wide": (
        {
            "hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 8,
            "num_attention_heads": 8, "num_key_value_heads": 2, "mrope_section": [8, 12, 12],
        },
        {
            "depth": 6, "hidden_size": 256, "intermediate_size": 688, "num_heads": 4,
            "fullatt_block_indexes": [1, 3, 5],
        },
    ),
    "3b": (
        {
            "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36,
            "num_attention_heads": 16, "num_key_value_heads": 2, "mrope_section": [16, 24, 24],
        },
        {
            "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16,
            "fullatt_block_indexes": [7, 15, 23, 31],
        },
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rollout:
    """A finished one.

    Attributes:
        prompt: Ids, the picture's placeholders expanded.
        response: Ids.
        picture: Its number; rollouts of a prompt share it.
        advantage: Of every token of the response.
    """

    prompt: tuple[int, ...]
    response: tuple[int, ...]
    picture: int
    advantage: float

    @property
    def num_tokens(self) -> int:
        return len(self.prompt) + len(self.response)


def made_model(shape: str) -> Qwen2_5_VLForConditionalGeneration:
    """One of `SHAPES` in float32, with SDPA; the same weights in every process."""
    torch.manual_seed(0)
    text, tower = (dict(one) for one in SHAPES[shape])
    rope = {
        "rope_type": "default", "rope_theta": 1e6, "mrope_section": text.pop("mrope_section"),
    }  # fmt: skip
    config = Qwen2_5_VLConfig(
        text_config=text | {
            "vocab_size": VOCAB, "max_position_embeddings": 4096, "tie_word_embeddings": True,
            "rope_parameters": rope,
        },
        vision_config=tower | {"out_hidden_size": text["hidden_size"]},
        image_token_id=IMAGE, vision_start_token_id=START, vision_end_token_id=END,
        tie_word_embeddings=True,
    )  # fmt: skip
    return Qwen2_5_VLForConditionalGeneration(config)


def made_rollouts(
    *, prompts: int, group: int, shortest: int, longest: int, seed: int = 0
) -> list[Rollout]:
    """Whole groups; every group has short and long responses."""
    numbers = random.Random(seed)
    count = prompts * group
    lengths = [
        round(shortest * (longest / shortest) ** (i / max(count - 1, 1))) for i in range(count)
    ]
    lengths = [lengths[i] for start in range(prompts) for i in range(start, count, prompts)]
    found = []
    for number, length in enumerate(lengths):
        picture = number // group
        question = random.Random(f"{seed}/{picture}").choices(
            range(1000, 100_000), k=QUESTION_TOKENS
        )
        found.append(
            Rollout(
                prompt=(START, *[IMAGE] * PICTURE_TOKENS, END, *question),
                response=tuple(numbers.choices(range(1000, 100_000), k=length)),
                picture=picture,
                advantage=1.0 if number % 2 else -1.0,
            )
        )
    return found


@functools.cache  # what is measured is not how it is made
def pixels_of(picture: int) -> Tensor:
    """[patches, 3 * 2 * patch ** 2] noise, the same for a number in every process."""
    noise = torch.Generator().manual_seed(picture)
    return torch.randn(PATCHES**2, 6 * PATCH_PX**2, generator=noise)


def held_bytes() -> int:
    """What this process holds now, on the device where there is one; `peak_bytes` begins here."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    ctypes.CDLL(None).malloc_trim(0)  # what was freed goes back to the system first
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # Linux: forget the peak
    return _status("VmRSS")


def peak_bytes() -> int:
    """The most that it has held since `held_bytes`."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else _status("VmHWM")


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"/proc/self/status names no {name}")
