"""The same training twice, with vigorl's loss and with TRL's own, and their learning curves.

    pip install --no-deps --target /tmp/trl trl==1.16.0    # its needs are in the environment
    python benchmarks/trl_curve.py --trl /tmp/trl --seeds 0 1 2 --out docs/trl_curve [--jobs 6]

Same start, data, seeds, engine, number of rollouts and optimizer settings. Each training samples
its own rollouts with its own weights, from the second phase on others than the other's as soon as
a last digit has tipped a token; each has its own AdamW state. In the one, `TRLLoss` takes each
phase's rollouts, and advantages come as in TRL 1.16 (sample std + 1e-4) and the loss from
`GRPOTrainer._compute_loss` itself, loss_type=dapo, on log-probabilities and entropies of the shared
forward pass. In the other both are vigorl's GRPO. Clips 0.2 and 0.28, no dual clip, no KL in both.
Writes OUT.md, OUT.json and OUT.png.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from curves import listed, mean_curve, paired_interval, percents, train_all
from plots import plot_curves

from vigorl.core.advantages import Credit, group_advantages, turn_credit
from vigorl.core.rollout import ScoredRollout
from vigorl.models.losses import LossInputs, LossOutput, MetricSum
from vigorl.training.algorithms.grpo import GRPO

METRICS = ("val/accuracy", "train/loss", "reward/total", "rollout/accuracy")


@dataclass(frozen=True, slots=True, kw_only=True)
class TRLLoss(GRPO):
    """TRL 1.16's GRPO with loss_type=dapo, as an algorithm of vigorl; one update per phase."""

    @property
    def needs_zero_advantages(self) -> bool:
        return True  # TRL forwards all

    def credit(
        self, groups: Sequence[Sequence[ScoredRollout]], *, readings: Any = ()
    ) -> list[list[Credit]]:
        return [self._group_credit(group) for group in groups]

    def _group_credit(self, group: Sequence[ScoredRollout]) -> list[Credit]:
        advantages = group_advantages([one.reward.total for one in group], eps=1e-4)
        return [
            turn_credit(one.rollout, [advantage] * len(one.rollout.turns))
            for one, advantage in zip(group, advantages, strict=True)
        ]

    def loss(self, inputs: LossInputs) -> LossOutput:
        import torch
        from trl.trainer.grpo_trainer import GRPOTrainer

        weights = set(inputs.token_weight.tolist())
        if len(weights) != 1:
            raise ValueError("one weight for all tokens is what loss_type=dapo means")
        found = _trainer(self, inputs)
        loss = GRPOTrainer._compute_loss(
            found,
            found.model,
            {
                # only their lengths are read: the forward pass is made
                "prompt_ids": inputs.loss_mask[:, :0].long(),
                "prompt_mask": inputs.loss_mask[:, :0].long(),
                "completion_ids": inputs.loss_mask.long(),
                "completion_mask": inputs.loss_mask.long(),
                "advantages": inputs.advantages,
                "old_per_token_logps": inputs.old_logprobs.detach(),
                "num_items_in_batch": torch.tensor(1 / weights.pop()),
            },
        )
        one = torch.ones(())
        metrics = {"train/policy_loss": MetricSum(loss.detach(), one)}
        return LossOutput(loss=loss, metrics=metrics)


def _trainer(settings: TRLLoss, inputs: LossInputs) -> Any:
    """What `_compute_loss` reads of a GRPOTrainer: TRL's defaults beside the clips."""
    entropy = inputs.entropy
    assert entropy is not None
    return SimpleNamespace(
        model=SimpleNamespace(training=True),
        args=SimpleNamespace(delta=None, use_bias_correction_kl=True, steps_per_generation=1),
        accelerator=SimpleNamespace(
            num_processes=1,
            gather=lambda one: one,
            reduce=lambda one, reduction: one,
        ),
        current_gradient_accumulation_steps=1,
        loss_type="dapo",
        importance_sampling_level="token",
        epsilon_low=settings.clip_low,
        epsilon_high=settings.clip_high,
        beta=0.0,
        use_vllm=False,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        aux_loss_enabled=False,
        _entropy_bonus_enabled=False,
        _metrics={"train": defaultdict(list)},
        _get_per_token_logps_and_entropies=lambda *_, **__: (
            inputs.policy_logprobs,
            entropy,
            None,
        ),
    )


VARIANTS = {"vigorl": (), "trl": ("algorithm._target_=trl_curve.TRLLoss",)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trl", type=Path, required=True, help="where trl 1.16.0 is installed")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("outputs/trl_curve/table"))
    parser.add_argument("--runs", type=Path, default=Path("outputs/trl_curve/runs"))
    parser.add_argument("--phases", type=int, default=50)
    parser.add_argument("--every", type=int, default=5, help="phases between evaluations")
    parser.add_argument("--num-val", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, a thread each")
    parser.add_argument("overrides", nargs="*", help="of every run, key=value")
    asked = parser.parse_args()

    trainings = {
        (name, seed): [
            "experiment=grpo_vstar", *settings, "algorithm.dual_clip=null", f"seed={seed}",
            f"num_phases={asked.phases}", f"rollout.eval_every={asked.every}",
            f"data.num_val={asked.num_val}", f"name='{name}/{seed}'", *asked.overrides,
        ]
        for seed in asked.seeds
        for name, settings in VARIANTS.items()
    }  # fmt: skip
    path = [str(Path(__file__).parent.resolve()), str(asked.trl.resolve())]
    found = train_all(asked.runs, trainings, METRICS, jobs=asked.jobs, path=path)
    curves = {
        name: [found[name, seed]["val/accuracy"] for seed in asked.seeds] for name in VARIANTS
    }
    write(found, curves, asked)
    plot_curves(
        {name: mean_curve(curves[name]) for name in VARIANTS},
        asked.out.with_suffix(".png"),
        title="Greedy accuracy: vigorl's loss and TRL's, mean of the seeds",
        ylabel="val/accuracy", xlabel="phases", is_share=True,
    )  # fmt: skip


def write(found: Any, curves: dict[str, Any], asked: argparse.Namespace) -> None:
    """A row per evaluation: means over seeds, and their paired difference with its interval."""
    rows = []
    for i, (phase, _) in enumerate(curves["trl"][0]):
        ours, theirs = ([curve[i][1] for curve in curves[name]] for name in VARIANTS)
        differences = [a - b for a, b in zip(ours, theirs, strict=True)]
        rows.append(
            f"| {phase:.0f} | {percents(ours)} | {percents(theirs)} "
            f"| {paired_interval(differences)} |"
        )
    first = max(
        abs(found["vigorl", seed]["train/loss"][0][1] - found["trl", seed]["train/loss"][0][1])
        for seed in asked.seeds
    )
    head = (
        "| phases | vigorl, % | TRL 1.16, % | difference, points [95 %, t over seeds] |\n"
        "|---|---|---|---|"
    )
    text = "\n".join([head, *rows])
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.with_suffix(".md").write_text(
        f"Made by `python benchmarks/trl_curve.py --trl DIR --seeds {listed(asked.seeds, ' ')} "
        f"--phases {asked.phases} --every {asked.every} --num-val {asked.num_val}`: "
        f"greedy accuracy on {asked.num_val} held-out questions, a number per seed. The loss of "
        f"the first update differs by {first:.1e} at most (TRL adds 1e-4 to a group's spread, "
        f"vigorl 1e-6).\n\n{text}\n"
    )
    asked.out.with_suffix(".json").write_text(
        json.dumps({f"{name}/{seed}": one for (name, seed), one in found.items()}, indent=1)
    )
    print(text)


if __name__ == "__main__":
    main()
