"""A model of a middle size, random, and rollouts for it: what benchmarks of an update share.

100 million weights: Qwen2.5-VL of 8 layers and 512 wide with the released vocabulary (151,936), a
tower in the 3B's proportion to its layers (5 of 24 million). A rollout is a picture of 448 x 448
(256 tokens), ten tokens of a question and a response; lengths of responses are skewed, most of them
short: evenly spread logarithms. Needs torch and transformers alone, so that other trainers'
environments can import it.
"""

from __future__ import annotations

import ctypes
import random
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

VOCAB, HIDDEN = 151_936, 512
IMAGE, START, END = 151655, 151652, 151653
SIDE_PX, PATCH_PX, MERGE = 448, 14, 2
PATCHES = SIDE_PX // PATCH_PX  # of a picture's side
PICTURE_TOKENS = (PATCHES // MERGE) ** 2
QUESTION_TOKENS = 10


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


def made_model() -> Qwen2_5_VLForConditionalGeneration:
    """In float32, with SDPA; the same weights in every process."""
    torch.manual_seed(0)
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": VOCAB, "hidden_size": HIDDEN, "intermediate_size": 1536,
            "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 2,
            "max_position_embeddings": 4096, "tie_word_embeddings": True,
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 1e6, "mrope_section": [8, 12, 12],
            },
        },
        vision_config={
            "depth": 6, "hidden_size": 256, "intermediate_size": 688, "num_heads": 4,
            "out_hidden_size": HIDDEN, "fullatt_block_indexes": [1, 3, 5],
        },
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
