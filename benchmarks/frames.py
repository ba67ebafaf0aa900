"""Choosing frames against as many at an even distance, on the made clips.

    python benchmarks/frames.py --seeds 0 1 2 --out docs/frames [--jobs 6]

Both start from the same model, taught by solutions of the same clips: those that choose frames by a
hasty teacher, those that answer from six even frames by one who reads all they show. Then GRPO
with the same reward, phases and rollouts. One who chooses sees the first and last frame and asks
for two at a time, six in all at most. A run whose folder has its metrics is not run again. Writes
OUT.md, OUT.json and OUT.png.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from curves import listed, mean_curve, percents, train_all
from plots import plot_curves

VARIANTS: dict[str, tuple[str, ...]] = {
    "chosen, 6 at most": ("env.limits.max_images=6",),
    "6 at an even distance": ("data=made_clips_even", "env=clips_reply"),
}
METRICS = ("val/accuracy", "val/turns_mean")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--phases", type=int, default=50)
    parser.add_argument("--every", type=int, default=5, help="phases between evaluations")
    parser.add_argument("--jobs", type=int, default=6)
    parser.add_argument("--root", type=Path, default=Path("outputs/frames"))
    parser.add_argument("--out", type=Path, required=True)
    said = parser.parse_args()
    runs = {
        (name, seed): (
            "experiment=grpo_frames", *words, f"seed={seed}", f"num_phases={said.phases}",
            f"rollout.eval_every={said.every}",
        )
        for name, words in VARIANTS.items()
        for seed in said.seeds
    }  # fmt: skip
    found = train_all(said.root, runs, METRICS, jobs=said.jobs)
    lines = [
        "| frames | accuracy at the end, % per seed | mean | frames per answer |",
        "|---|---|---|---|",
    ]
    curves = {}
    for name in VARIANTS:
        of_seeds = [found[name, seed] for seed in said.seeds]
        finals = [one["val/accuracy"][-1][1] for one in of_seeds]
        # the first and the last frame, and two for each turn before the answer
        shown = [
            f"{2 + 2 * (one['val/turns_mean'][-1][1] - 1):.1f}" if "chosen" in name else "6"
            for one in of_seeds
        ]
        mean = f"{100 * statistics.fmean(finals):.1f}"
        lines.append(f"| {name} | {percents(finals)} | {mean} | {', '.join(shown)} |")
        curves[name] = mean_curve([one["val/accuracy"] for one in of_seeds])
    seeds = f"Seeds {listed(said.seeds)}; {said.phases} phases; guessing is right in 25 %."
    said.out.with_suffix(".md").write_text("\n".join([*lines, "", seeds, ""]))
    plain = {f"{name}, seed {seed}": metrics for (name, seed), metrics in found.items()}
    said.out.with_suffix(".json").write_text(json.dumps(plain))
    plot_curves(
        curves,
        said.out.with_suffix(".png"),
        title="Greedy accuracy on held-out clips, mean of the seeds",
        ylabel="val/accuracy", xlabel="phases", chance=0.25, is_share=True,
    )  # fmt: skip


if __name__ == "__main__":
    main()
