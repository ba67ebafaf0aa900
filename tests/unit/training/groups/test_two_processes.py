"""Every method of groups on two real processes, which gather from each other through torch."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch.distributed as dist

from tests.unit.training.groups.test_collection import Asked, names
from vigorl.core.rollout import TrainingSample
from vigorl.ranks import num_ranks, own_rank
from vigorl.training.algorithms.grpo import GRPO
from vigorl.training.groups.collection import collect_groups, with_idle
from vigorl.training.groups.drop_flat import DropFlat
from vigorl.training.groups.dynamic_sampling import DynamicSampling
from vigorl.training.groups.method import GroupMethod, Moment
from vigorl.training.groups.ratio_ema import RatioEMA
from vigorl.training.groups.replay import Replay
from vigorl.training.groups.spread_ranking import SpreadRanking
from vigorl.training.groups.variance_selection import VarianceSelection
from vigorl.training.phase import credit_rollouts, loss_tokens, weigh_update

PLACES, PHASES = 4, 3
METHODS = {  # whose rounds are even here: an odd one asks a prompt more of two ranks
    "capped refill": DynamicSampling(max_batches=2),
    "refill of what is missing": DynamicSampling(refill="missing", oversample=1.5),
    "dropped": DropFlat(),
    "planned": RatioEMA(smoothing=0.5, max_expansion=3.0),
    "ranked": SpreadRanking(),
    "selected": VarianceSelection(top_share=0.5),
    "replay": Replay(max_share=1.0, only_right=False),
}


class Phase(NamedTuple):
    """What one rank has of a phase."""

    groups: list[str]
    num_places: int
    replayed: list[float]  # their advantages, sorted
    learned: list[tuple[float, float]]  # the advantage and the weight of each token, sorted
    sums: dict[str, tuple[float, float]]
    state: dict[str, Any]


def run_phases(method: GroupMethod) -> list[Phase]:
    """Each of `PHASES` phases asks the same prompts; this rank's part of it."""
    rank, ranks, found = own_rank(), num_ranks(), list[Phase]()
    for phase in range(PHASES):
        groups = collect_groups(
            Asked(rank, ranks), method, wanted=PLACES, group_size=2, rank=rank, num_ranks=ranks
        )
        credited = credit_rollouts(
            [groups.scored[i] for i in groups.learned], GRPO(scale_by_std=False)
        )
        scored, samples, _ = with_idle(credited, groups)
        placed = [scored[i] for i in (*groups.learned, *groups.idle)]
        samples = method.fill(samples, placed, moment=Moment(version=phase, order=f"0/{phase}"))
        found.append(
            Phase(
                names(groups, groups.learned),
                len(samples),
                sorted(max(one.advantages, key=abs) for one in samples if one.is_replayed),
                weighed(samples),
                {**groups.sums, **method.metrics()},
                method.state_dict(),
            )
        )
    return found


def weighed(own: Sequence[TrainingSample]) -> list[tuple[float, float]]:
    """The pull of each sample in an update of the whole phase."""
    counts: list[Any] = [loss_tokens(own)] * num_ranks()
    if num_ranks() > 1:
        dist.all_gather_object(counts, loss_tokens(own))
    samples = weigh_update(own, GRPO().token_weights, of_ranks=counts, rank=own_rank())
    return sorted((max(one.advantages, key=abs), one.token_weight) for one in samples)


def on_rank(rank: int, folder: Path, told: Any) -> None:
    """In a process of its own."""
    where = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", init_method=where, rank=rank, world_size=2)
    told.put((rank, {name: run_phases(method) for name, method in METHODS.items()}))
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, list[Phase]]]:
    """What either of two processes has of every method's phases."""
    context, folder = multiprocessing.get_context("fork"), tmp_path_factory.mktemp("ranks")
    told = context.Queue()
    both = [context.Process(target=on_rank, args=(rank, folder, told)) for rank in (0, 1)]
    for process in both:
        process.start()
    found = dict(told.get(timeout=60) for _ in both)
    for process in both:
        process.join(timeout=60)
        assert process.exitcode == 0
    return [found[0], found[1]]


@pytest.mark.parametrize("name", METHODS)
def test_two_processes_choose_and_learn_what_one_does(
    name: str, ranks: list[dict[str, list[Phase]]]
) -> None:
    alone = run_phases(deepcopy(METHODS[name]))
    for one, *both in zip(alone, *(rank[name] for rank in ranks), strict=True):
        assert [rank.num_places for rank in both] == [PLACES, PLACES]  # of 2 groups of 2
        assert both[0].sums == both[1].sums == one.sums
        assert both[0].state == both[1].state  # a checkpoint of either is that of the run
        assert sorted(both[0].groups + both[1].groups) == sorted(one.groups)
        assert sorted(both[0].learned + both[1].learned) == one.learned
        assert sorted(both[0].replayed + both[1].replayed) == one.replayed


def test_there_is_something_to_agree_on(ranks: list[dict[str, list[Phase]]]) -> None:
    """Refills that came to the cap, an average that moved, places on both ranks that were filled
    again.
    """
    last = {name: phases[-1] for name, phases in ranks[1].items()}
    assert last["capped refill"].sums["groups/refills"] == (1, 1)
    assert last["capped refill"].sums["groups/idle_frac"] == (1, 4)
    assert last["planned"].sums["groups/expansion"][0] > 1.5
    assert all(rank["replay"][-1].replayed for rank in ranks)
