"""How long ranks wait for each other in an update, by how its micro-batches are cut. Arithmetic on
made lengths, no model: seconds.

    python benchmarks/token_budget.py [--updates 200]

A sequence has a prompt of 1,300 tokens and a response whose length is spread like e^x, half of the
spread the prompt's and half its own, up to 2,000; groups of 8 stay on a rank. Costs are those of
Qwen2.5-VL-7B (`Policy.attention_cost`: 28 layers x 3,584 / 6.5e9). Printed: the time of the
slowest by the mean of all, where ranks meet at each micro-batch (ZeRO-3, FSDP) and where they meet
at the end (DDP, ZeRO-1); and micro-batches per update and rank.

    sequences   4 neighbours in length, as `micro_batch_size` cuts
    tokens      `micro_batch_tokens` = 16,384, samples staying on their rank
    dealt       the same, samples going to any rank, as traces of SFT do
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Sequence

from vigorl.training.phase import cut_evenly
from vigorl.training.token_budget import FEWEST, TokenBudget, deal

BUDGET = TokenBudget(most_tokens=16_384, most_sequences=999, attention=28 * 3584 / 6.5e9)
Costs = list[list[float]]  # of each micro-batch of each rank


def made_lengths(numbers: random.Random, *, groups: int) -> list[int]:
    """Of one rank."""
    found = []
    for _ in range(groups):
        mean = numbers.gauss(0, 0.5)
        responses = [250 * math.exp(mean + numbers.gauss(0, 0.5)) for _ in range(8)]
        found += [1300 + int(min(response, 2000)) for response in responses]
    return found


def by_sequences(of_ranks: Sequence[Sequence[int]]) -> Costs:
    return [costs(cut_evenly(sorted(lengths), len(lengths) // 4)) for lengths in of_ranks]


def by_tokens(of_ranks: Sequence[Sequence[int]]) -> Costs:
    parts, agreed = [BUDGET.cut(lengths, at_least=FEWEST) for lengths in of_ranks], 0
    while (most := max(map(len, parts))) > agreed:
        agreed = most
        parts = [BUDGET.cut(lengths, at_least=agreed) for lengths in of_ranks]
    return [
        costs([[lengths[i] for i in part] for part in own])
        for lengths, own in zip(of_ranks, parts, strict=True)
    ]


def by_dealing(of_ranks: Sequence[Sequence[int]]) -> Costs:
    every = [length for lengths in of_ranks for length in lengths]
    return [
        costs(
            [
                [every[i] for i in part]
                for part in deal(every, budget=BUDGET, num_ranks=len(of_ranks), rank=rank)
            ]
        )
        for rank in range(len(of_ranks))
    ]


def costs(parts: Sequence[Sequence[int]]) -> list[float]:
    return [sum(map(BUDGET.cost, part)) for part in parts]


WAYS = {"sequences": by_sequences, "tokens": by_tokens, "dealt": by_dealing}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=200)
    args = parser.parse_args()
    print("| ranks | sequences of each | way | at each | at the end | micro-batches |")
    print("|---|---|---|---|---|---|")
    for num_ranks, groups in ((2, 4), (8, 2), (8, 8)):
        numbers = random.Random(0)
        updates = [
            [made_lengths(numbers, groups=groups) for _ in range(num_ranks)]
            for _ in range(args.updates)
        ]
        for name, way in WAYS.items():
            at_each, at_end, num = 0.0, 0.0, 0.0
            for update in updates:
                found = way(update)
                mean = sum(map(sum, found)) / num_ranks
                at_each += sum(map(max, zip(*found, strict=True))) / mean
                at_end += max(map(sum, found)) / mean
                num += len(found[0])
            each = [value / args.updates for value in (at_each, at_end, num)]
            print(
                f"| {num_ranks} | {8 * groups} | {name} | {each[0]:.3f} | {each[1]:.3f} "
                f"| {each[2]:.1f} |"
            )


if __name__ == "__main__":
    main()
