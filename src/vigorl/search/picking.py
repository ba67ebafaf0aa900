"""A balanced choice among the traces of many trees.

An easy question leaves dozens of right chains, a hard one leaves one or two; without a limit the
easy ones drown the rest. Corrected chains can be given a fixed share, since how often the policy
turns around is what one wants to set. (The released code takes everything, up to 10,000 per tree.)
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
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
    trees: dict[str, list[SolvedTrace]] = defaultdict(list)
    for trace in sorted(traces, key=content):
        trees[trace.record.task.id].append(trace)
    kinds = {task_id: [trace.is_corrected for trace in some] for task_id, some in trees.items()}
    places = pick_places(kinds, settings=settings)
    return [trees[task_id][place] for task_id in trees for place in places[task_id]]


def pick_places(
    kinds: Mapping[str, Sequence[bool]], *, settings: PickSettings | None = None
) -> dict[str, list[int]]:
    """The same choice, of traces that need not be at hand.

    Args:
        kinds: Whether each trace is a corrected one, by question in the order of their ids, of each
            question in the order of `content`.
        settings: How many and of which kind.
    Returns:
        Which traces of each question, ascending.
    """
    settings = settings or PickSettings()
    ids = list(kinds)
    random.Random(f"{settings.seed}").shuffle(ids)
    drawn: list[list[int]] = []
    for task_id in ids:
        places = list(range(len(kinds[task_id])))
        random.Random(f"{settings.seed}:{task_id}").shuffle(places)
        drawn.append(places)
    limit, frac = settings.max_per_tree, settings.corrected_frac
    if frac is None:
        picked = [places[:limit] for places in drawn]
    else:
        picked = _pick_share(drawn, [kinds[task_id] for task_id in ids], frac=frac, limit=limit)
    return {task_id: sorted(places) for task_id, places in zip(ids, picked, strict=True)}


def _pick_share(
    trees: Sequence[Sequence[int]], kinds: Sequence[Sequence[bool]], *, frac: float, limit: int
) -> list[list[int]]:
    """One trace at a time, of the kind that keeps the share, until that kind has run out."""
    left = {
        kind: [
            [place for place in places if of_tree[place] is kind]
            for places, of_tree in zip(trees, kinds, strict=True)
        ]
        for kind in (False, True)
    }
    # Per kind, the trees by how much they have been given, in all and of the kind. A pick of the
    # other kind makes an entry stale; it is put right when it comes up.
    queues = {kind: [(0, 0, tree) for tree in range(len(trees))] for kind in left}
    picked: list[list[int]] = [[] for _ in trees]
    num_picked = num_corrected = 0
    while True:
        kind = num_corrected + 1 <= frac * (num_picked + 1)
        queue = queues[kind]
        while queue:
            total, of_kind, tree = heappop(queue)
            given = len(picked[tree])
            if left[kind][tree] and given < limit:
                if total == given:
                    break
                heappush(queue, (given, of_kind, tree))
        else:
            return picked
        picked[tree].append(left[kind][tree].pop())
        num_picked += 1
        num_corrected += kind
        heappush(queue, (len(picked[tree]), of_kind + 1, tree))


def content(trace: SolvedTrace) -> tuple[str, list[str], bool]:
    """The order in which traces are picked and written, whatever order they come in."""
    return trace.record.task.id, trace.record.trace.turns(), trace.is_corrected
