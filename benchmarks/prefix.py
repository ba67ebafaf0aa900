"""An update on a group whose prompt is read for each rollout, padded or packed, beside one that
reads it once (model.shared_prefix).

    python benchmarks/prefix.py [--group 8] [--prompt 1000] [--shortest 60] [--longest 400]
        [--rounds 3] [--prompts 1]

A random Qwen2.5-VL of 100 million weights with the released vocabulary (benchmarks/packing.py). A
prompt begins with a picture of 448 x 448 (256 tokens); the responses of a group have lengths evenly
spread between the two, and only they are scored. In each round every way makes a forward and a
backward pass, which is timed (on a CPU by its own seconds) and whose floating-point operations are
counted by PyTorch's counter, which is told of the CPU's attention. Log-probabilities are compared.
Then the formula of `core.flops`, for this model and in the shapes of released ones; `--rounds 0`
gives that alone, in seconds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch
from at_size import SHAPES
from packing import END, IMAGE, SIDE, START, learn, made
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForImageTextToText

from vigorl.build import ASSETS
from vigorl.core.flops import Load, ModelFlops, text_load
from vigorl.core.geometry import Size
from vigorl.core.media import FileImage, ImageView
from vigorl.data.collate import TrainingBatch
from vigorl.models.flops import count_products
from vigorl.models.policy import Policy

VOCAB = 151936

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


def attention(query: tuple[int, ...], key: tuple[int, ...], *_: Any, **__: Any) -> int:
    """Operations of the two products of a forward pass, by shapes: those that a mask or a causal
    kernel leaves out count, as with the counter's own kernels.
    """
    batch, heads, tokens, width = query
    return 4 * batch * heads * tokens * key[2] * width


def attention_backward(
    _: Any, query: tuple[int, ...], key: tuple[int, ...], *__: Any, **___: Any
) -> int:
    """Of five products, the first of which is the forward pass's once more."""
    return attention(query, key) * 5 // 2


@dataclass(frozen=True, slots=True)
class Passes:
    """A forward and a backward pass.

    Attributes:
        logprobs: Of the responses.
        seconds: The processor's own where it does them.
        operations: On floating-point numbers, in 1e12.
    """

    logprobs: Tensor
    seconds: float
    operations: float


def passes(policy: Policy, batch: TrainingBatch, features: Tensor) -> Passes:
    """Of one of the ways."""
    aten = torch.ops.aten
    of_cpu = {
        aten._scaled_dot_product_flash_attention_for_cpu: attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward,
    }
    start = time.process_time()
    with FlopCounterMode(display=False, custom_mapping=of_cpu) as counter:
        logprobs, seconds = learn(policy, batch, features)
    if not torch.cuda.is_available():
        seconds = time.process_time() - start
    operations = counter.get_flop_counts()["Global"]
    if not any("attention" in str(operation) for operation in operations):
        raise RuntimeError("the attention was not counted: of which kernel is it?")
    return Passes(logprobs, seconds, counter.get_total_flops() / 1e12)


def loads(responses: list[int], *, prompt: int, prompts: int) -> dict[str, Load]:
    """What each way reads."""
    lengths = [prompt + response for response in responses]
    one, scored = len(responses), sum(responses)
    first, *others = responses
    read = {
        "padded": Load(tokens=one * max(lengths), pairs=one * max(lengths) ** 2, scored=scored),
        "packed": text_load(lengths, scored=scored),
        "shared": Load(
            tokens=prompt + scored,
            pairs=(prompt + first) ** 2 + sum(num * (prompt + num) for num in others),
            scored=scored,
        ),
    }
    return {name: load * prompts for name, load in read.items()}


def in_shape(scale: str) -> ModelFlops:
    """Of a released model, with its vocabulary; no weights are made."""
    start, text, tower = SHAPES[scale]
    settings = AutoConfig.from_pretrained(ASSETS / start).to_dict()
    settings["text_config"].pop("layer_types", None)
    settings["text_config"] |= text | {"vocab_size": VOCAB}
    settings["vision_config"] |= tower
    config = AutoConfig.for_model(**settings)
    with torch.device("meta"):
        return count_products(Policy(AutoModelForImageTextToText.from_config(config)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (
        ("group", 8), ("prompt", 1000), ("shortest", 60), ("longest", 400), ("rounds", 3),
        ("prompts", 1),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    spread = torch.linspace(args.shortest, args.longest, args.group).int().tolist()
    batch = groups_of(spread, prompt=args.prompt, prompts=args.prompts).to(device)
    pictures = torch.randn(args.prompts, SIDE**2, 512)
    features = pictures.repeat_interleave(args.group, dim=0).flatten(0, 1).to(device)
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(args.rounds):
        found: dict[str, Passes] = {}
        for name, settings in WAYS.items():  # one model at a time: each has its activations
            found[name] = one = passes(made(**settings).to(device), batch, features)
            seconds[name].append(one.seconds)
            print(f"{name}: {one.operations:.2f}e12 operations, {one.seconds:.2f} s", flush=True)
        apart = max(
            float((found["padded"].logprobs - one.logprobs).abs().max()) for one in found.values()
        )
        print("1e12 operations:", told({name: one.operations for name, one in found.items()}))
        print("seconds:", told({name: one.seconds for name, one in found.items()}))
        print(f"log-probabilities differ by {apart:.1e} at most", flush=True)
    if args.rounds:
        medians = {name: statistics.median(each) for name, each in seconds.items()}
        print("medians:", told(medians))
    with torch.device("meta"):
        shapes = {"this model": count_products(made())}
    shapes |= {scale: in_shape(scale) for scale in SHAPES}
    read = loads(spread, prompt=args.prompt, prompts=args.prompts)
    for scale, model in shapes.items():
        needed = {name: model.text_update(load) for name, load in read.items()}
        made_again = {
            name: 2 * (model.head.num * load.scored + model.query_width * load.pairs)
            for name, load in read.items()
        }
        print(f"1e12 operations by formula, {scale}:", told(needed, 1e12))
        every = {name: needed[name] + made_again[name] for name in needed}
        print("  with logits and scores that the backward pass makes again:", told(every, 1e12))


def told(values: dict[str, float], unit: float = 1.0) -> str:
    each = ", ".join(f"{name} {value / unit:.2f}" for name, value in values.items())
    ratios = (f"{name} / shared {value / values['shared']:.2f}" for name, value in values.items())
    return f"{each}; {', '.join(list(ratios)[:-1])}"


if __name__ == "__main__":
    main()
