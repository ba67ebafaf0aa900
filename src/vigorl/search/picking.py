"""A balanced choice among the traces of many trees.

An easy question leaves dozens of right chains, a hard one leaves one or two; without a limit the
easy ones drown the rest. Corrected chains can be given a fixed share, since how often the policy
turns around is what one wants to set. (The released code takes everything, up to 10,000 per tree.)
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from vigorl.core.errors import ConfigError
from vigorl.search.filters import SolvedTrace


@dataclass(frozen=True, slots=True)
class PickSettings:
    """How many, and of which kind.

    Attributes:
        max_per_tree: Traces of one question at most; 20 is about the paper's rate (1,500 questions,
            30,000 traces).
        corrected_frac: Share of corrected chains in what is picked, met to within one trace: what
            there is too much of is left out. None takes them as they come.
        seed: Seed of the draw.
    """

    max_per_tree: int = 20
    corrected_frac: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_per_tree < 1:
            raise ConfigError(f"max_per_tree must be at least 1, got {self.max_per_tree}")
        if self.corrected_frac is not None and not 0 <= self.corrected_frac <= 1:
            raise ConfigError(
                f"corrected_frac is a share between 0 and 1 or null, got {self.corrected_frac}"
            )


def pick_traces(
    traces: Iterable[SolvedTrace], *, settings: PickSettings | None = None
) -> list[SolvedTrace]:
    """The choice, sorted by question; the same whatever order the traces come in.

    Every pick goes to the question that has been given least so far.

    Args:
        traces: Those of any number of trees; traces with the same task id count as one tree.
        settings: How many and of which kind.
    """
    settings = settings or PickSettings()
    ordered = sorted(traces, key=_content)
    place = {id(trace): number for number, trace in enumerate(ordered)}
    trees: dict[str, list[SolvedTrace]] = defaultdict(list)
    for trace in ordered:
        trees[trace.record.task.id].append(trace)
    ids = list(trees)
    random.Random(f"{settings.seed}").shuffle(ids)
    for task_id in ids:
        random.Random(f"{settings.seed}:{task_id}").shuffle(trees[task_id])
    drawn, frac = [trees[task_id] for task_id in ids], settings.corrected_frac
    if frac is None:
        picked = [trace for tree in drawn for trace in tree[: settings.max_per_tree]]
    else:
        picked = _pick_share(drawn, frac=frac, limit=settings.max_per_tree)
    return sorted(picked, key=lambda trace: place[id(trace)])


def _pick_share(
    trees: Sequence[Sequence[SolvedTrace]], *, frac: float, limit: int
) -> list[SolvedTrace]:
    """One trace at a time, of the kind that keeps the share, until that kind has run out."""
    left = {
        kind: [[trace for trace in tree if trace.is_corrected is kind] for tree in trees]
        for kind in (False, True)
    }
    # Per kind, the trees by how much they have been given, in all and of the kind. A pick of the
    # other kind makes an entry stale; it is put right when it comes up.
    queues = {kind: [(0, 0, tree) for tree in range(len(trees))] for kind in left}
    given = [0] * len(trees)
    picked: list[SolvedTrace] = []
    num_corrected = 0
    while True:
        kind = num_corrected + 1 <= frac * (len(picked) + 1)
        queue = queues[kind]
        while queue:
            total, of_kind, tree = heappop(queue)
            if left[kind][tree] and given[tree] < limit:
                if total == given[tree]:
                    break
                heappush(queue, (given[tree], of_kind, tree))
        else:
            return picked
        picked.append(left[kind][tree].pop())
        given[tree] += 1
        num_corrected += kind
        heappush(queue, (given[tree], of_kind + 1, tree))


def _content(trace: SolvedTrace) -> tuple[str, list[str], bool]:
    return trace.record.task.id, trace.record.trace.turns(), trace.is_corrected
