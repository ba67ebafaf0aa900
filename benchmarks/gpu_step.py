"""An update of SFT and one of GRPO at the size of a released model, random, on one GPU: seconds,
tokens, memory, and the share of what the GPU could do (model FLOP utilisation).

    python benchmarks/gpu_step.py [--shape 3b] [--prompts 8] [--group 8] [--size 16] [--rounds 3]
    python benchmarks/gpu_step.py --shape deep --prompts 1 --group 2 --size 2   # on a CPU: it works

Model and rollouts are those of `middle.py`: a picture of 448 x 448 and 60 to 400 tokens of
response. Weights and AdamW's moments are float32, products bfloat16 by autocast (on a CPU
float32). The tower is frozen and runs once a picture. Layers are checkpointed unless
--keep-activations says otherwise. Both read packed rows of as many tokens as `size` of the longest
sequences have; GRPO reads what a group begins with once, and SFT each of the same texts alone.
FLOPs are those that a model needs (`core.flops`; what checkpoints compute twice does not count). A
GPU's peak is its maker's for bfloat16, a CPU's is measured.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

import torch
from middle import PATCHES, SHAPES, Rollout, held_bytes, made_rollouts, peak_bytes
from step import Design, Trainer, batch_of, pixels_of_views

from vigorl.data.collate import TrainingBatch
from vigorl.models.flops import count_products, load_of
from vigorl.models.losses import sft_loss
from vigorl.models.peak import peak_flops

DESIGNS = {"sft": Design(prefix=False), "grpo": Design()}


def update(trainer: Trainer, batches: Sequence[TrainingBatch], *, kind: str) -> None:
    """One step of the optimizer."""
    policy, device = trainer.policy, trainer.policy.device
    trainer.cache.clear()
    trainer.optimizer.zero_grad(set_to_none=False)
    for batch in batches:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            logprobs, entropy = policy.response_logprobs(
                batch,
                features=trainer.cache.get(batch.views, pixels_of_views),
                chunk_tokens=4096,
                with_entropy=kind == "grpo",
            )
        if entropy is None:
            loss = sft_loss(logprobs, batch.loss_mask, batch.token_weight).loss
        else:
            loss = trainer.loss(batch, logprobs, entropy, {})
        loss.backward()
    trainer.optimizer.step()
    if device.type == "cuda":
        torch.cuda.synchronize()


def needed_flops(trainer: Trainer, batches: Sequence[TrainingBatch]) -> float:
    """Of `update`, the tower once a picture."""
    policy, seen, flops = trainer.policy, set[str](), 0.0
    products = count_products(policy)
    for batch in batches:
        new = {view.key for view in batch.views} - seen
        seen |= new
        reach = policy.sharing(batch).reach if policy.shared_prefix else None
        load = load_of(
            batch, window=products.window, grids=[(1, PATCHES, PATCHES)] * len(new), reach=reach
        )
        flops += products.text_update(load) + products.tower_update(load)
    return flops


def measure(kind: str, rollouts: list[Rollout], args: argparse.Namespace) -> str:
    """A row of the table."""
    trainer = Trainer(
        DESIGNS[kind], shape=args.shape, kl_coef=0.0, checkpoints=not args.keep_activations
    )
    weight = 1 / sum(len(one.response) for one in rollouts)
    batches = [
        batch_of(part, weight=weight, with_pixels=False).to(trainer.policy.device)
        for part in trainer.micro_batches(rollouts, args.size)
    ]
    update(trainer, batches[:1], kind=kind)  # meets its code for the first time
    held, seconds = held_bytes(), list[float]()
    for _ in range(args.rounds):
        started = time.perf_counter()
        update(trainer, batches, kind=kind)
        seconds.append(time.perf_counter() - started)
    peak, flops = peak_flops(trainer.policy.device), needed_flops(trainer, batches)
    tokens, middle = sum(one.num_tokens for one in rollouts), statistics.median(seconds)
    cells = [
        kind, f"{len(rollouts)}", f"{tokens}", f"{len(batches)}",
        f"{middle:.2f} ({min(seconds):.2f} to {max(seconds):.2f})", f"{tokens / middle:,.0f}",
        f"{flops / 1e12:.1f}", f"{flops / middle / peak:.1%}" if peak else "peak not known",
        f"{held / 2**30:.1f}", f"{(peak_bytes() - held) / 2**30:.1f}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="3b")
    for name, default in (
        ("prompts", 8), ("group", 8), ("shortest", 60), ("longest", 400), ("size", 16),
        ("rounds", 3),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--keep-activations", action="store_true")
    parser.add_argument("--only", nargs="+", choices=DESIGNS, default=list(DESIGNS))
    args = parser.parse_args()
    rollouts = made_rollouts(
        prompts=args.prompts, group=args.group, shortest=args.shortest, longest=args.longest
    )
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    heads = [
        "update", "sequences", "tokens", "passes", "s", "tokens/s", "TFLOPs", "MFU", "GiB held",
        "GiB above",
    ]  # fmt: skip
    print(f"{args.shape} on {where}, {torch.get_num_threads()} threads")
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|", flush=True)
    for kind in args.only:
        print(measure(kind, rollouts, args), flush=True)


if __name__ == "__main__":
    main()
