"""Scoring tokens at a released vocabulary: whole rows of logits, made again in the backward pass
(as most trainers do), beside tiles of tokens and vocabulary (models/logprobs.py).

    python benchmarks/head.py [--tokens 1024] [--width 1024] [--vocab 151936] [--pairs 3]

Prints seconds of a forward and backward pass and the peak memory beside weight and its gradient,
each in a process of its own, in turns. The two gradients are compared first.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint

from vigorl.models.logprobs import ScoringHead


def in_rows(head: ScoringHead, states: Tensor, targets: Tensor, chunk: int) -> Tensor:
    """Log-probabilities from logits [chunk, vocabulary]."""

    def score(states: Tensor, targets: Tensor) -> Tensor:
        logits = linear(states, head.weight).float()
        return logits.gather(-1, targets[:, None]).squeeze(-1) - logits.logsumexp(-1)

    pairs = zip(states.split(chunk), targets.split(chunk), strict=True)
    return torch.cat([checkpoint(score, *pair, use_reentrant=False) for pair in pairs])  # pyright: ignore[reportArgumentType]


def in_tiles(head: ScoringHead, states: Tensor, targets: Tensor, chunk: int) -> Tensor:
    """Log-probabilities as the trainer takes them."""
    return head(states, targets, chunk_tokens=chunk)[0]


WAYS = {"rows": in_rows, "tiles": in_tiles}


def made(tokens: int, width: int, vocab: int) -> tuple[ScoringHead, Tensor, Tensor]:
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    head = ScoringHead(width, vocab, bias=False, device=device)
    states = torch.randn(tokens, width, device=device, requires_grad=True)
    return head, states, torch.randint(vocab, (tokens,), device=device)


def peak_bytes() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(way: str, tokens: int, width: int, vocab: int) -> dict[str, float]:
    head, states, targets = made(tokens, width, vocab)
    head.weight.grad = torch.zeros_like(head.weight)
    before = peak_bytes()
    seconds = []
    for _ in range(2):  # the first one also meets the memory for the first time
        start = time.perf_counter()
        WAYS[way](head, states, targets, tokens).sum().backward()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds[-1], "mib": (peak_bytes() - before) / 2**20}


def compare(width: int) -> float:
    """The largest difference of the two gradients by the largest of them."""
    head, states, targets = made(256, width, 40_000)
    found = [
        torch.autograd.grad(way(head, states, targets, 256).sum(), (states, head.weight))
        for way in WAYS.values()
    ]
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(*found, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("tokens", 1024), ("width", 1024), ("vocab", 151_936), ("pairs", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    size = (args.tokens, args.width, args.vocab)
    if args.way:
        print(json.dumps(measure(args.way, *size)))
        return
    print(f"gradients differ by {compare(args.width):.1e} of the largest")
    again = [sys.executable, *sys.argv]
    for _ in range(args.pairs):
        for way in WAYS:
            done = subprocess.run([*again, "--way", way], capture_output=True, check=True)
            found = json.loads(done.stdout)
            print(f"{way:6} {found['seconds']:7.2f} s {found['mib']:8.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
