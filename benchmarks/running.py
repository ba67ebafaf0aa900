"""How `step.py` and `against_trl.py` run their ways: each in a process of its own, in turns. Needs
torch alone.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import torch
from middle import SHAPES, Rollout, held_bytes, made_rollouts, peak_bytes
from torch import nn


def timed(
    update: Callable[[Sequence[Rollout]], float], rollouts: Sequence[Rollout], model: nn.Module
) -> dict[str, float]:
    """Seconds, CPU seconds, MiB beside the model, loss and norm of the gradient."""
    update([min(rollouts, key=lambda one: one.num_tokens)])  # meets its code for the first time
    before = held_bytes()
    start, cpu = time.perf_counter(), time.process_time()
    loss = update(rollouts)
    seconds = {"s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}
    norm = torch.nn.utils.get_total_norm([w.grad for w in model.parameters() if w.grad is not None])
    return seconds | {
        "mib": (peak_bytes() - before) / 2**20, "loss": loss, "norm": float(norm),
    }  # fmt: skip


def add_sizes(parser: argparse.ArgumentParser) -> None:
    for name, default in (
        ("prompts", 2), ("group", 4), ("shortest", 60), ("longest", 400), ("size", 2),
        ("rounds", 2),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--shape", choices=SHAPES, default="deep", help="of the model")
    parser.add_argument("--launcher", default="", help="words before each run's command")


def rollouts_of(args: argparse.Namespace) -> list[Rollout]:
    return made_rollouts(
        prompts=args.prompts, group=args.group, shortest=args.shortest, longest=args.longest
    )


def ask(way: str, launcher: str, *, python: str | None = None) -> dict[str, float]:
    """Run the script again for one way; what it measures."""
    command = [*shlex.split(launcher), python or sys.executable, *sys.argv, "--way", way]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{way}: {done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def table(args: argparse.Namespace, measure: Callable[[str], dict[str, float]]) -> str:
    """Measure all ways in turns; a row for each, with its ratios to the first, paired by round."""
    rollouts = rollouts_of(args)
    num_tokens = sum(one.num_tokens for one in rollouts)
    print(
        f"{args.shape}, {len(rollouts)} rollouts, {num_tokens} tokens, "
        f"{torch.get_num_threads()} threads"
    )
    found: dict[str, list[dict[str, float]]] = {name: [] for name in args.only}
    for number in range(args.rounds):
        for name in args.only:
            found[name].append(measure(name))
            print(number, name, json.dumps(found[name][-1]), flush=True)
    base = found[args.only[0]]
    lines = [
        f"| way | s | CPU s | CPU s / {args.only[0]} | MiB | ratio | loss | gradient |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, rows in found.items():
        least = {key: min(row[key] for row in rows) for key in rows[0]}
        ratios = [a["cpu_s"] / b["cpu_s"] for a, b in zip(rows, base, strict=True)]
        memory = least["mib"] / min(row["mib"] for row in base)
        lines.append(
            f"| {name} | {least['s']:.1f} | {least['cpu_s']:.1f} "
            f"| {min(ratios):.2f} to {max(ratios):.2f} | {least['mib']:.0f} | {memory:.2f} "
            f"| {rows[0]['loss']:.6f} | {rows[0]['norm']:.6f} |"
        )
    return "\n".join(lines)
