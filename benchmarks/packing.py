"""A pass over sequences of different lengths, padded to the longest beside packed into one row.

    python benchmarks/packing.py [--sequences 16] [--shortest 60] [--longest 400] [--pairs 3]

A random Qwen2.5-VL of 100 million weights with the released vocabulary (151,936); each sequence has
a picture of 448 x 448 (256 tokens) and a response of a length between the two, evenly spread, the
only tokens that are scored. Forward and backward pass of their log-probabilities, features of the
pictures given, in turns. The log-probabilities of both ways are compared first.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from vigorl.data.collate import TrainingBatch
from vigorl.models.policy import Policy

IMAGE, START, END = 151655, 151652, 151653
SIDE = 16  # tokens of a picture's side


def made(**settings: Any) -> Policy:
    """A policy of the settings."""
    torch.manual_seed(0)
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": 151936, "hidden_size": 512, "intermediate_size": 1536,
            "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 2,
            "max_position_embeddings": 4096, "tie_word_embeddings": True,
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 1e6, "mrope_section": [8, 12, 12],
            },
        },
        vision_config={
            "depth": 2, "hidden_size": 128, "intermediate_size": 256, "num_heads": 4,
            "out_hidden_size": 512, "fullatt_block_indexes": [0, 1],
        },
        image_token_id=IMAGE, vision_start_token_id=START, vision_end_token_id=END,
        tie_word_embeddings=True,
    )  # fmt: skip
    return Policy(Qwen2_5_VLForConditionalGeneration(config), **settings)


def batch_of(responses: list[int]) -> TrainingBatch:
    """A picture, ten tokens of a question, and a response; padding on the right."""
    numbers = torch.Generator().manual_seed(1)
    length = 2 + SIDE**2 + 10 + max(responses)
    ids, mask, loss = (torch.zeros(len(responses), length, dtype=torch.long) for _ in range(3))
    for row, response in enumerate(responses):
        num = length - max(responses) + response
        ids[row, :num] = torch.randint(1000, 100_000, (num,), generator=numbers)
        ids[row, : SIDE**2 + 2] = torch.tensor([START, *[IMAGE] * SIDE**2, END])
        mask[row, :num] = 1
        loss[row, num - response : num] = 1
    return TrainingBatch(
        input_ids=ids,
        attention_mask=mask,
        loss_mask=loss.bool(),
        token_weight=torch.ones(len(responses)),
        advantages=None,
        sampling_logprobs=None,
        image_grid_thw=torch.tensor([[1, 2 * SIDE, 2 * SIDE]] * len(responses)),
        views=(),
    )


def learn(policy: Policy, batch: TrainingBatch, features: Tensor) -> tuple[Tensor, float]:
    """Log-probabilities, and seconds of both passes."""
    start = time.perf_counter()
    logprobs, _ = policy.response_logprobs(batch, features=features, chunk_tokens=4096)
    logprobs.sum().backward()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    policy.zero_grad()
    return logprobs.detach(), time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("sequences", 16), ("shortest", 60), ("longest", 400), ("pairs", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    spread = torch.linspace(args.shortest, args.longest, args.sequences).int().tolist()
    batch = batch_of(spread).to(device)
    features = torch.randn(args.sequences * SIDE**2, 512, device=device)
    ways = {name: made(packing=name == "packed").to(device) for name in ("padded", "packed")}
    padded, packed = (learn(policy, batch, features)[0] for policy in ways.values())
    print(
        f"{int(batch.attention_mask.sum())} tokens in a batch of {batch.input_ids.numel()}; "
        f"log-probabilities differ by {float((padded - packed).abs().max()):.1e} at most"
    )
    for _ in range(args.pairs):
        seconds = {name: learn(policy, batch, features)[1] for name, policy in ways.items()}
        said = ", ".join(f"{name} {s:.2f} s" for name, s in seconds.items())
        print(f"{said}, ratio {seconds['padded'] / seconds['packed']:.2f}", flush=True)


if __name__ == "__main__":
    main()
