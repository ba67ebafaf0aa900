"""Whether vLLM and the trainer are the same model, in numbers: in an environment that has vLLM,

    python benchmarks/engine_agreement.py [--rollouts 200]

sampled    rollouts with at least two turns, sampled by vLLM on the made world's test pictures; the
           trainer (the policy in training mode's arithmetic, one batch after the other) reads the
           same ids and pictures, and says what it thinks of the same tokens
greedy     the same questions answered greedily by both engines, and how many rollouts are the same
           token for token

Placeholders and all other control tokens are banned from sampling on both sides.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor

from vigorl.build import CONFIGS, Parts, build_engine, build_parts, prepare_process
from vigorl.core.rollout import Rollout, TrainingSample
from vigorl.data.collate import collate as collate_samples
from vigorl.data.splits import load_tasks
from vigorl.models.policy import Policy
from vigorl.rollout.collector import build_dialogs, collect

BATCH = 16


def gaps_of(rollouts: Sequence[Rollout], policy: Policy, parts: Parts) -> Tensor:
    """[sampled tokens] vLLM's logprob minus the trainer's, in nats."""
    found = []
    for first in range(0, len(rollouts), BATCH):
        samples = [
            TrainingSample(one.token_ids, one.loss_mask, one.views, one.sampling_logprobs)
            for one in rollouts[first : first + BATCH]
        ]
        batch = collate_samples(
            samples,
            images=parts.images,
            pad_id=parts.codec.pad_id,
            image_id=parts.codec.image_id,
        )
        with torch.no_grad():
            own, _ = policy.response_logprobs(batch, banned_ids=parts.codec.banned_ids)
        assert batch.sampling_logprobs is not None
        found.append((batch.sampling_logprobs - own)[batch.loss_mask])
    return torch.cat(found)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rollouts", type=int, default=200)
    args = parser.parse_args()
    prepare_process()
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        configs = {
            name: compose("evaluate", ["experiment=eval_vstar", f"engine={name}"])
            for name in ("vllm", "hf")
        }
    cfg = configs["vllm"]
    tasks, _ = load_tasks(instantiate(cfg.data), "test", asks=None, limit=args.rollouts * 2, seed=0)
    parts = build_parts(cfg)
    engines = {name: build_engine(one, parts) for name, one in configs.items()}

    dialogs = build_dialogs(parts.environment, tasks, group_size=1, phase="sampled", run_seed=0)
    rollouts = collect(engines["vllm"], dialogs, phase="sampled").rollouts
    rollouts = [one for one in rollouts if len(one.turns) > 1][: args.rollouts]
    policy = Policy.from_pretrained(parts.model_folder, dtype="float32")
    gaps = gaps_of(rollouts, policy, parts).abs()
    turns = [len(one.turns) for one in rollouts]
    num_pictures = sum(len(one.views) for one in rollouts)
    print(
        f"{len(rollouts)} sampled rollouts of {min(turns)} to {max(turns)} turns, "
        f"{len(gaps)} sampled tokens, {num_pictures} pictures"
    )
    print("\n| |gap|, nats | mean | median | 99 % | 99.9 % | largest |\n|---|---|---|---|---|---|")
    spread = [float(gaps.quantile(q)) for q in (0.5, 0.99, 0.999, 1.0)]
    print(f"| | {float(gaps.mean()):.2e} | " + " | ".join(f"{one:.2e}" for one in spread) + " |")

    greedy: dict[str, list[Rollout]] = {}
    for name, engine in engines.items():
        dialogs = build_dialogs(
            parts.eval_environment, tasks, group_size=1, phase="greedy", run_seed=0
        )
        greedy[name] = collect(engine, dialogs, phase="greedy").rollouts
    pairs = list(zip(greedy["vllm"], greedy["hf"], strict=True))
    same = sum(left.token_ids == right.token_ids for left, right in pairs)
    print(f"\ngreedy: {same} of {len(pairs)} rollouts are the same token for token "
          f"({100 * same / len(pairs):.1f} %)")  # fmt: skip


if __name__ == "__main__":
    main()
