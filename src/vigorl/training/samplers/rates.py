"""How often each task is solved: from search trees before the run, then from the run's own groups.

Right means a wholly right answer, as in `rollout/accuracy`, whatever reward trains. Right and
wrong rollouts are counted per task, so that trees, groups and ranks add up; an id that several
tasks share has one rate.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from vigorl.core.errors import ConfigError
from vigorl.core.metrics import is_right
from vigorl.core.rollout import ScoredRollout
from vigorl.core.search_tree import SearchTreeRecord

_LOG = logging.getLogger(__name__)


Tally = Counter[tuple[str, bool]]  # rollouts by (task id, whether they are right)


class SolveRates:
    """What is known of each task so far.

    Args:
        smoothing: See `SolveRateSampling`.
        before: {task id: rate} from before the run; not part of the state, a run that goes on
            reads it again.
    """

    def __init__(self, *, smoothing: float, before: Mapping[str, float] | None = None) -> None:
        self._smoothing, self._before = smoothing, dict(before or {})
        self._measured: dict[str, float] = {}

    def of(self, task_id: str) -> float | None:
        return self._measured.get(task_id, self._before.get(task_id))

    def update(self, tally: Tally) -> None:
        """Take in what a phase's groups of all ranks have shown."""
        for task_id, measured in rates_of(tally).items():
            old = self.of(task_id)
            if old is not None:
                measured = self._smoothing * old + (1 - self._smoothing) * measured
            self._measured[task_id] = measured

    def state_dict(self) -> dict[str, Any]:
        return {"solve_rates": dict(self._measured)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._measured = dict(state["solve_rates"])


def rates_of(tally: Tally) -> dict[str, float]:
    """The share of right rollouts by task id."""
    ids = dict.fromkeys(task_id for task_id, _ in tally)
    return {id: tally[id, True] / (tally[id, True] + tally[id, False]) for id in ids}


def tally_rollouts(scored: Iterable[ScoredRollout]) -> Tally:
    return Counter((one.rollout.task.id, is_right(one.rollout)) for one in scored)


def tally_tree(tree: SearchTreeRecord) -> Tally:
    """All rollouts of a tree, wherever they start.

    A search goes where it found right answers, so this is a little above the solve rate of the
    teacher, who may also be better than the policy: a first guess until a group has measured.
    """
    return Counter(
        (tree.id, rollout.is_right) for node in tree.root.walk() for rollout in node.rollouts
    )


def read_solve_rates(
    path: str, task_ids: Iterable[str], *, image_root: str | None = None
) -> dict[str, float]:
    """{task id: rate} of the tasks that a JSONL of search trees knows; trees of one id are added.

    Raises:
        DataError: See `read_mcts_jsonl`.
        ConfigError: It knows none of them.
    """
    from vigorl.data.sources.mcts_jsonl import read_mcts_jsonl

    wanted = set(task_ids)
    trees = read_mcts_jsonl(path, image_root=image_root)
    rates = rates_of(sum((tally_tree(tree) for tree in trees if tree.id in wanted), Counter()))
    if not rates:
        raise ConfigError(
            f"sampler.trees={path!r} has no effect: none of its {len(trees)} trees has "
            f"rollouts and the id of one of the {len(wanted)} training tasks"
        )
    _LOG.info("%s: solve rates of %d of %d training tasks", path, len(rates), len(wanted))
    return rates
