"""An update on a group whose prompt is read for each rollout, padded or packed, beside one that
reads it once (model.shared_prefix).

    python benchmarks/prefix.py [--group 8] [--prompt 1000] [--shortest 60] [--longest 400]
        [--pairs 3] [--prompts 1]

A random Qwen2.5-VL of 100 million weights with the released vocabulary (benchmarks/packing.py). A
prompt begins with a picture of 448 x 448 (256 tokens); the responses of a group have lengths evenly
spread between the two, and only they are scored. Log-probabilities of the three ways are compared,
then floating-point operations of a forward and backward pass are counted (PyTorch's counter, which
is told of the CPU's attention: half a square where it is causal, and all that a mask covers where
there is one), then passes are timed in turns.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

import torch
from packing import END, IMAGE, SIDE, START, learn, made
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vigorl.core.geometry import Size
from vigorl.core.media import FileImage, ImageView
from vigorl.data.collate import TrainingBatch
from vigorl.models.policy import Policy

WAYS: dict[str, dict[str, bool]] = {
    "padded": {},
    "packed": {"packing": True},
    "shared": {"packing": True, "shared_prefix": True},
}


def groups_of(responses: list[int], *, prompt: int, prompts: int) -> TrainingBatch:
    """The rollouts of each prompt one after another; padding on the right."""
    numbers = torch.Generator().manual_seed(1)
    num, length = prompts * len(responses), prompt + max(responses)
    ids = torch.randint(1000, 100_000, (num, length), generator=numbers)
    picture = torch.tensor([START, *[IMAGE] * SIDE**2, END])
    for first in range(0, num, len(responses)):
        ids[first : first + len(responses), :prompt] = ids[first, :prompt]
    ids[:, : len(picture)] = picture
    places, lengths = torch.arange(length), prompt + torch.tensor(responses * prompts)[:, None]
    mask = places < lengths
    return TrainingBatch(
        input_ids=ids.where(mask, 0),
        attention_mask=mask.long(),
        loss_mask=mask & (places >= prompt),
        token_weight=torch.ones(num),
        advantages=None,
        sampling_logprobs=None,
        image_grid_thw=torch.tensor([[1, 2 * SIDE, 2 * SIDE]] * num),
        views=tuple(view_of(row // len(responses)) for row in range(num)),
    )


def view_of(number: int) -> ImageView:
    size = Size(448, 448)
    return ImageView(FileImage(f"{number}.png"), original=size, size=size)


def attention_flops(
    query: tuple[int, ...],
    key: tuple[int, ...],
    value: tuple[int, ...],
    dropout: float = 0.0,
    is_causal: bool = False,
    **_: Any,
) -> int:
    """Two products of a forward pass."""
    batch, heads, tokens, width = query
    seen = (tokens + 1) / 2 if is_causal else key[2]
    return int(4 * batch * heads * tokens * seen * width)


def attention_backward_flops(
    gradient: tuple[int, ...],
    query: tuple[int, ...],
    key: tuple[int, ...],
    value: tuple[int, ...],
    out: tuple[int, ...],
    logsumexp: tuple[int, ...],
    dropout: float,
    is_causal: bool,
    **_: Any,
) -> int:
    """Five products, the first of which is the forward pass's once more."""
    return attention_flops(query, key, value, dropout, is_causal) * 5 // 2


def count(policy: Policy, batch: TrainingBatch, features: Tensor) -> float:
    """Floating-point operations of both passes, in units of 1e12."""
    aten = torch.ops.aten
    of_cpu = {
        aten._scaled_dot_product_flash_attention_for_cpu: attention_flops,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward_flops,
    }
    with FlopCounterMode(display=False, custom_mapping=of_cpu) as counter:
        learn(policy, batch, features)
    counted = counter.get_flop_counts()["Global"]
    if not any("attention" in str(operation) for operation in counted):
        raise RuntimeError("the attention was not counted: of which kernel is it?")
    return counter.get_total_flops() / 1e12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (
        ("group", 8), ("prompt", 1000), ("shortest", 60), ("longest", 400), ("pairs", 3),
        ("prompts", 1),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    spread = torch.linspace(args.shortest, args.longest, args.group).int().tolist()
    batch = groups_of(spread, prompt=args.prompt, prompts=args.prompts).to(device)
    one = torch.randn(args.prompts, SIDE**2, 512)
    features = one.repeat_interleave(args.group, dim=0).flatten(0, 1).to(device)
    ways = {name: made(**settings).to(device) for name, settings in WAYS.items()}
    found = {name: learn(policy, batch, features)[0] for name, policy in ways.items()}
    apart = max(float((found["padded"] - one).abs().max()) for one in found.values())
    print(
        f"{args.prompts} x {args.group} rollouts, {int(batch.attention_mask.sum())} tokens in a "
        f"batch of {batch.input_ids.numel()}; log-probabilities differ by {apart:.1e} at most"
    )
    flops = {name: count(policy, batch, features) for name, policy in ways.items()}
    print("1e12 operations:", told(flops, "{:.2f}"), flush=True)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.pairs):
        for name, policy in ways.items():
            seconds[name].append(learn(policy, batch, features)[1])
        print("seconds:", told({name: each[-1] for name, each in seconds.items()}, "{:.2f}"))
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    print("medians:", told(medians, "{:.2f}"))


def told(values: dict[str, float], form: str) -> str:
    each = ", ".join(f"{name} {form.format(value)}" for name, value in values.items())
    ratios = ", ".join(
        f"{name} / shared {value / values['shared']:.2f}" for name, value in values.items()
    )
    return f"{each}; {ratios}"


if __name__ == "__main__":
    main()
