"""An update of vigorl beside TRL's on the same rollouts, with time and peak memory.

    python -m venv /tmp/trl
    /tmp/trl/bin/pip install trl==1.16.0 torch==2.13.0 transformers==5.19.0 accelerate==1.15.0
    python benchmarks/against_trl.py --trl /tmp/trl/bin/python [--prompts 2] [--group 4]

The model and the rollouts are those of `middle.py`, the tower is frozen on both sides, all is
float32. One update without KL: TRL's `GRPOTrainer._compute_loss` with its fused head and its
padding (all completions to the longest of the batch), loss_type=dapo; no logprobs of the start on
either side. A pass of vigorl holds as many tokens as one of TRL has positions (`--size` sequences,
at least 2). Loss and norm of the gradient are printed: all ways must have the same.

    vigorl   packing, tiles, tower once a picture, micro-batches by tokens (`step.py`: no_prefix)
    shared   and what a group begins with once (all)
    half     and half as many tokens a pass
    trl      as it runs on this machine; without Triton its head scores all positions
    compact  the same, its head scoring responses alone, as it does where there is Triton
"""

from __future__ import annotations

import argparse
import inspect
import json
from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from types import MethodType, SimpleNamespace
from typing import Any

import torch
from middle import IMAGE, PATCHES, Rollout, made_model, pixels_of
from running import add_sizes, ask, rollouts_of, table, timed

WAYS = ("vigorl", "shared", "half", "trl", "compact")


def measure_trl(
    rollouts: Sequence[Rollout], *, shape: str, size: int, is_compact: bool
) -> dict[str, float]:
    from trl.trainer import grpo_trainer, utils  # pyright: ignore[reportMissingImports]

    model = made_model(shape).train()
    if torch.cuda.is_available():
        model.cuda()
    model.model.visual.requires_grad_(False)
    utils.add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    if is_compact:
        utils._use_triton = lambda _: True  # of the choice alone; the tiles stay torch's
    trained = [w for w in model.parameters() if w.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.0, weight_decay=0.0)
    for weight in trained:
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    trainer = _trainer(model)
    kind = grpo_trainer.GRPOTrainer
    trainer._get_per_token_logps_and_entropies = MethodType(
        inspect.unwrap(kind._get_per_token_logps_and_entropies), trainer
    )

    def update(some: Sequence[Rollout]) -> float:
        parts = [some[i : i + size] for i in range(0, len(some), size)]
        trainer.current_gradient_accumulation_steps = len(parts)
        trainer.args.steps_per_generation = len(parts)
        optimizer.zero_grad(set_to_none=False)
        total = 0.0
        for part in parts:
            loss = kind._compute_loss(trainer, model, _inputs(part, of=some, device=model.device))
            loss.backward()
            total += float(loss.detach())
        optimizer.step()
        return total

    return timed(update, rollouts, model)


def _inputs(
    part: Sequence[Rollout], *, of: Sequence[Rollout], device: torch.device
) -> dict[str, Any]:
    """A micro-batch as `_prepare_inputs` hands it out: a slice of the padded whole."""
    longest = max(len(one.response) for one in of)
    prompts = torch.tensor([one.prompt for one in part], device=device)
    ids, mask = (torch.zeros(len(part), longest, dtype=torch.long, device=device) for _ in range(2))
    for row, one in enumerate(part):
        ids[row, : len(one.response)] = torch.tensor(one.response)
        mask[row, : len(one.response)] = 1
    kinds = torch.cat([prompts == IMAGE, torch.zeros_like(ids, dtype=torch.bool)], dim=1)
    return {
        "prompt_ids": prompts,
        "prompt_mask": torch.ones_like(prompts),
        "completion_ids": ids,
        "completion_mask": mask,
        "advantages": torch.tensor([one.advantage for one in part], device=device),
        "num_items_in_batch": torch.tensor(sum(len(one.response) for one in of), device=device),
        "pixel_values": torch.cat([pixels_of(one.picture) for one in part]).to(device),
        "image_grid_thw": torch.tensor([[1, PATCHES, PATCHES]] * len(part), device=device),
        "num_images": [1] * len(part),
        "mm_token_type_ids": kinds.long(),
    }


def _trainer(model: Any) -> Any:
    """What the loss reads of a GRPOTrainer: TRL's defaults beside clips and loss type."""
    return SimpleNamespace(
        model=model,
        args=SimpleNamespace(delta=None, use_bias_correction_kl=True, steps_per_generation=1),
        accelerator=SimpleNamespace(
            num_processes=1,
            autocast=nullcontext,
            gather=lambda one: one,
            reduce=lambda one, reduction: one,
        ),
        current_gradient_accumulation_steps=1,
        loss_type="dapo",
        importance_sampling_level="token",
        epsilon_low=0.2,
        epsilon_high=0.28,
        beta=0.0,
        use_vllm=False,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        aux_loss_enabled=False,
        _entropy_bonus_enabled=False,
        _metrics={"train": defaultdict(list)},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_sizes(parser)
    parser.add_argument("--trl", required=True, help="the Python that has trl 1.16.0")
    parser.add_argument("--only", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    rollouts = rollouts_of(args)
    if args.way in ("vigorl", "shared", "half"):
        from step import DESIGNS, measure

        design = DESIGNS["no_prefix" if args.way == "vigorl" else "all"]
        size = args.size // 2 if args.way == "half" else args.size
        print(json.dumps(measure(design, rollouts, shape=args.shape, size=size, passes=())))
        return
    if args.way:
        is_compact = args.way == "compact"
        found = measure_trl(rollouts, shape=args.shape, size=args.size, is_compact=is_compact)
        print(json.dumps(found))
        return
    pythons = {"trl": args.trl, "compact": args.trl}
    print(table(args, lambda way: ask(way, args.launcher, python=pythons.get(way))))


if __name__ == "__main__":
    main()
