"""What a phase costs against the number of rollouts, the size of groups, turns, and pictures.

    python benchmarks/scaling.py rollouts | groups | "groups, shared" | turns | pictures [X]  # 3 x
    python benchmarks/scaling.py write                                       # a table, and a plot

The tiny scale, one thread, seconds of its CPU (`phase_costs.py`), the run's second phase; a KL
keeps every rollout in the update. An exponent is the slope of log cost over log number, by least
squares; its interval is over measurements drawn anew (percentiles of 2,000 draws). Measurements are
kept in outputs/scaling.json, so that a sweep can be run again or later.
"""

from __future__ import annotations

import json
import math
import random
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from phase_costs import measure
from plots import plot_curves

OUT, DOCS = Path("outputs/scaling.json"), Path("docs")
REPEATS = 3


def plan(prompts: int, group: int) -> list[str]:
    return [
        f"plan.prompts_per_phase={prompts}", f"plan.group_size={group}",
        f"plan.sequences_per_update={prompts * group}", "plan.micro_batch_size=32",
        "data.num_train=128", "kl_coef=0.01",
    ]  # fmt: skip


SHARED = ["model.packing=true", "model.shared_prefix=true"]
SWEEPS: dict[str, dict[int, list[str]]] = {
    "rollouts": {8 * n: plan(n, 8) for n in (16, 32, 64, 128)},
    "groups": {n: plan(16, n) for n in (2, 4, 8, 16)},
    "groups, shared": {n: [*plan(16, n), *SHARED] for n in (2, 4, 8, 16)},
    "turns": {n: [*plan(16, 8), "data=made_world_comparison", f"limits.max_turns={n}"]
              for n in (2, 3, 4, 5)},
    "pictures": {side: [*plan(16, 8), f"pixels.max_pixels={side**2}", f"zoom.whole_px={side}"]
                 for side in (112, 168, 224, 336)},
}  # fmt: skip


def run(sweep: str, only: int | None = None) -> None:
    for number in range(REPEATS):
        for x, overrides in SWEEPS[sweep].items():
            if only not in (None, x):
                continue
            costs = measure(*overrides, f"seed={number}")
            found = json.loads(OUT.read_text()) if OUT.exists() else []
            found.append({
                "sweep": sweep, "x": x, "seed": number, "all": costs.all,
                "generating": costs.generating, "learning": costs.learning,
                "turns": costs.metrics["rollout/turns_mean"],
                "tokens": costs.metrics["rollout/completion_tokens_mean"],
            })  # fmt: skip
            OUT.parent.mkdir(exist_ok=True)
            OUT.write_text(json.dumps(found))
            print(json.dumps(found[-1]), flush=True)


def exponent(points: Sequence[tuple[float, float]]) -> float:
    xs, ys = ([math.log(one[i]) for one in points] for i in (0, 1))
    mean_x, mean_y = statistics.mean(xs), statistics.mean(ys)
    over = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return over / sum((x - mean_x) ** 2 for x in xs)


def interval(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Of the exponent, 95 %: at every x as many are drawn as were measured there."""
    noise, by_x = random.Random(0), dict[float, list[float]]()
    for x, y in points:
        by_x.setdefault(x, []).append(y)
    drawn = sorted(
        exponent([(x, noise.choice(ys)) for x, ys in by_x.items() for _ in ys]) for _ in range(2000)
    )
    return drawn[50], drawn[1949]


def write() -> None:
    found = json.loads(OUT.read_text())
    print("| against | part | medians, CPU s | exponent [95 %] |\n|---|---|---|---|")
    shown: dict[str, list[tuple[float, float]]] = {}
    for sweep, values in SWEEPS.items():
        of_sweep = [one for one in found if one["sweep"] == sweep]
        for part in ("generating", "learning", "all") if of_sweep else ():
            points = [(one["x"], one[part]) for one in of_sweep]
            medians = {x: statistics.median(y for at, y in points if at == x) for x in values}
            low, high = interval(points)
            cells = ", ".join(f"{x}: {y:.2f}" for x, y in medians.items())
            print(
                f"| {sweep} | {part} | {cells} | {exponent(points):.3f} [{low:.3f}, {high:.3f}] |"
            )
            if sweep == "rollouts":
                shown[part] = list(medians.items())
        for x in values:
            told = [one for one in of_sweep if one["x"] == x]
            if told:
                turns, tokens = (
                    statistics.mean(one[key] for one in told) for key in ("turns", "tokens")
                )
                print(f"    {sweep} {x}: {turns:.2f} turns, {tokens:.1f} sampled tokens a rollout")
    plot_curves(
        shown, DOCS / "scaling.png", title="A phase's cost grows with its rollouts, no faster",
        ylabel="CPU seconds of a phase", xlabel="rollouts",
    )  # fmt: skip


if __name__ == "__main__":
    write() if sys.argv[1] == "write" else run(sys.argv[1], *map(int, sys.argv[2:]))
