from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch.distributed as dist

from tests import builders
from tests.unit.training.samplers.test_rates import write_trees
from vigorl import ranks
from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box
from vigorl.core.rollout import ScoredRollout, TrainingSample
from vigorl.data.splits import DataSplits
from vigorl.models.context_parallel import ContextGroup
from vigorl.training.buffer import SPARE
from vigorl.training.datamodule import GroundedTraceDataModule, TraceBatches, TraceBatching
from vigorl.training.pairs import Pair, PairBatching
from vigorl.training.plan import PhasePlan
from vigorl.training.samplers.rates import tally_rollouts
from vigorl.training.samplers.solve_rate import SolveRateSampling


class Uncollated:
    """Stands for the data module: a batch stays a list of samples, a picture is 16 tokens."""

    def num_tokens(self, sample: TrainingSample) -> int:
        return len(sample.token_ids) + 15 * len(sample.views)

    def collate(self, samples: list[TrainingSample]) -> list[TrainingSample]:
        return list(samples)


def sample(number: int, *, num_scored: int) -> TrainingSample:
    mask = (0, *[1] * num_scored)
    return TrainingSample((number,) * len(mask), mask, (builders.view(),))


def batches(
    samples: list[TrainingSample],
    *,
    world_size: int = 1,
    rank: int = 0,
    order: str = "0/0",
    **settings: Any,
) -> TraceBatches:
    sizes: dict[str, Any] = {"sequences_per_update": 4, "micro_batch_size": 2}
    return TraceBatches(
        samples,
        TraceBatching(**(sizes | settings)),
        datamodule=cast(GroundedTraceDataModule, Uncollated()),
        order=order,
        world_size=world_size,
        rank=rank,
    )


def served(found: TraceBatches) -> list[TrainingSample]:
    return [one for batch in found for one in cast(list[TrainingSample], batch)]


def numbers(found: TraceBatches) -> list[int]:
    return [one.token_ids[0] for one in served(found)]


SAMPLES = [sample(i, num_scored=i + 1) for i in range(8)]


def test_every_trace_comes_once() -> None:
    found = batches(SAMPLES)
    assert len(found) == 4
    assert sorted(numbers(found)) == list(range(8))


def test_traces_that_fill_no_whole_update_wait_for_the_next_epoch() -> None:
    assert len(batches(SAMPLES[:7])) == 2
    assert len(set(numbers(batches(SAMPLES[:7])))) == 4


def test_epochs_have_their_own_order() -> None:
    assert numbers(batches(SAMPLES)) == numbers(batches(SAMPLES))
    assert numbers(batches(SAMPLES)) != numbers(batches(SAMPLES, order="0/1"))


def test_weights_are_those_of_the_whole_optimizer_batch() -> None:
    found = served(batches(SAMPLES))
    for update in (found[:4], found[4:]):
        num_scored = sum(sum(one.loss_mask) for one in update)
        assert [one.token_weight for one in update] == [1 / num_scored] * 4


def test_sequence_mean_weighs_each_trace_alike() -> None:
    for one in served(batches(SAMPLES, normalization="sequence_mean")):
        assert one.token_weight * sum(one.loss_mask) == pytest.approx(1 / 4)


def test_ranks_share_an_update_between_them() -> None:
    alone = batches(SAMPLES)
    pairs = [batches(SAMPLES, world_size=2, rank=rank) for rank in (0, 1)]
    assert [len(one) for one in pairs] == [2, 2]
    for update in (0, 1):
        shared = [x for one in pairs for x in cast(list[TrainingSample], one[update])]
        whole = [x for i in (0, 1) for x in cast(list[TrainingSample], alone[2 * update + i])]
        assert {x.token_ids[0]: x.token_weight for x in shared} == {
            x.token_ids[0]: x.token_weight for x in whole
        }


def test_micro_batches_hold_neighbours_in_length() -> None:
    lengths = [len(one.token_ids) for one in served(batches(SAMPLES))]
    assert lengths[:4] == sorted(lengths[:4])


def test_traces_by_tokens_are_all_served_once_with_what_is_spare() -> None:
    settings: dict[str, Any] = {
        "micro_batch_size": 4,
        "micro_batch_tokens": 48,
    }  # 17 to 24 tokens each
    pairs = [batches(SAMPLES, world_size=2, rank=rank, **settings) for rank in (0, 1)]
    assert [len(one) for one in pairs] == [4, 4]  # 2 updates of 4 sequences over 2 ranks
    parts: list[list[Any]] = [[one[i] for i in range(len(one))] for one in pairs]
    found = [x for rank in parts for part in rank if part is not SPARE for x in part]
    assert sorted(one.token_ids[0] for one in found) == list(range(8))
    for rank in parts:
        for part in rank:
            assert part is SPARE or sum(Uncollated().num_tokens(one) for one in part) <= 48
    single = {one.token_ids[0]: one.token_weight for one in served(batches(SAMPLES))}
    assert {one.token_ids[0]: one.token_weight for one in found} == single


def test_what_samples_begin_with_ends_at_the_first_other_token_or_picture() -> None:
    module = GroundedTraceDataModule(
        source=cast(Any, None),
        environment=cast(
            Any,
            SimpleNamespace(
                codec=SimpleNamespace(image_id=1), images=SimpleNamespace(num_tokens=lambda _: 16)
            ),
        ),
        plan=PLAN,
    )
    room, crop = builders.view(), builders.view(box=Box(0, 0, 56, 56))

    def sample(ids: list[int], *views: Any) -> TrainingSample:
        return TrainingSample(tuple(ids), (0,) * len(ids), views)

    whole, asked = sample([5, 1, 6, 1, 7], room, room), sample([5, 1, 6, 1, 8], room, room)
    assert module.num_shared([whole]) == 5 + 2 * 15
    assert module.num_shared([whole, asked]) == 4 + 2 * 15
    assert module.num_shared([whole, sample([5, 1, 6, 1, 7], room, crop)]) == 3 + 15
    assert module.num_shared([whole, sample([5, 1], room)]) == 2 + 15
    assert module.num_shared([whole, sample([6, 1], room)]) == 0


def test_a_trace_without_room_is_refused_before_the_first_step() -> None:
    with pytest.raises(ConfigError, match=r"micro_batch_tokens=23 has no room .* of 24 tokens"):
        batches(SAMPLES, micro_batch_tokens=23)


def test_too_few_traces_are_an_error_that_says_how_many() -> None:
    with pytest.raises(ConfigError, match=r"3 traces .* traces\.sequences_per_update=4"):
        batches(SAMPLES[:3])


def test_ranks_that_do_not_divide_the_update_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"3 ranks x traces\.micro_batch_size=2"):
        TraceBatching(sequences_per_update=4, micro_batch_size=2).accumulate(3)


def test_either_a_plan_or_traces() -> None:
    with pytest.raises(ConfigError, match=r"one of data\.plan"):
        GroundedTraceDataModule(source=cast(Any, None), environment=cast(Any, None))


def read_by(rank: int, *, together: int, pairs: bool) -> list[list[int]]:
    """First ids of the sequences of each micro-batch that one of four ranks reads."""
    group = None
    if together > 1:
        group = ContextGroup(together)
        group.first = rank // together * together
    batching: dict[str, Any] = {"traces": TraceBatching(sequences_per_update=8, micro_batch_size=1)}
    if pairs:
        batching = {"pairs": PairBatching(rollouts="x", pairs_per_update=4, micro_batch_size=1)}
    module = GroundedTraceDataModule(
        source=cast(Any, None), environment=cast(Any, None), **batching
    )
    module._encoded["train"] = SAMPLES
    module._pairs = [Pair(one, one) for one in SAMPLES]
    module.trainer = cast(Any, SimpleNamespace(
        world_size=4, global_rank=rank, current_epoch=0,
        accumulate_grad_batches=together * (1 if pairs else 2),
        lightning_module=SimpleNamespace(
            policy=SimpleNamespace(context=group, attention_cost=0.0)
        ),
    ))  # fmt: skip
    module.num_tokens = lambda sample: len(sample.token_ids)
    module.collate = lambda samples: cast(Any, [one.token_ids[0] for one in samples])
    return [one.batch if pairs else one for one in module.train_dataloader()]


@pytest.mark.parametrize("pairs", [False, True])
def test_ranks_that_read_together_read_what_each_would(pairs: bool) -> None:
    alone = [read_by(rank, together=1, pairs=pairs) for rank in range(4)]
    assert sorted(rows[0] for read in alone for rows in read) == list(range(8))
    for rank in range(4):
        neighbours = alone[rank // 2 * 2 : rank // 2 * 2 + 2]
        wanted = [rows for both in zip(*neighbours, strict=True) for rows in both]
        assert read_by(rank, together=2, pairs=pairs) == wanted


TASKS = [builders.task(id=str(i), images=(f"{i}.png",)) for i in range(6)]
PLAN = PhasePlan(prompts_per_phase=2, group_size=2, sequences_per_update=4, micro_batch_size=2)


def grpo(
    *, num_tasks: int = 6, num_ranks: int = 1, sampler: SolveRateSampling | None = None
) -> GroundedTraceDataModule:
    source = SimpleNamespace(load=lambda: DataSplits(train_tasks=TASKS[:num_tasks]))
    module = GroundedTraceDataModule(
        source=cast(Any, source), environment=cast(Any, None), plan=PLAN, sampler=sampler
    )
    module.trainer = cast(Any, SimpleNamespace(world_size=num_ranks, is_global_zero=True))
    module.setup()
    return module


def asked(module: GroundedTraceDataModule, phase: int) -> list[str]:
    return [task.id for task in module.prompts_of_phase(phase, seed=0).tasks]


def group(task_id: str, *answers: str) -> list[ScoredRollout]:
    task = TASKS[int(task_id)]
    return [builders.scored(builders.rollout(builders.answer_turn(a), task=task)) for a in answers]


SOLVED = [one for i in "0123" for one in group(i, "red", "red")]  # 4 of 6 tasks


def test_without_a_sampler_prompts_follow_the_plan_and_nothing_is_kept() -> None:
    module = grpo()
    module.measure(SOLVED)
    for phase in range(5):
        chosen = PLAN.prompts_of_phase(phase, num_prompts=6, seed=0)
        assert asked(module, phase) == [str(i) for i in chosen]
    assert not module.prompts_of_phase(0, seed=0).metrics
    assert module.state_dict() == {}


def test_measured_groups_steer_the_next_phases() -> None:
    module = grpo(sampler=SolveRateSampling(floor_frac=0))
    module.measure(SOLVED)
    assert [set(asked(module, phase)) for phase in range(3)] == [{"4", "5"}] * 3
    metrics = module.prompts_of_phase(0, seed=0).metrics
    assert metrics["data/skipped_frac"] == (4, 6)
    assert metrics["data/rated_frac"] == (4, 6)
    assert metrics["data/filled_frac"] == (0, 2)
    assert metrics["data/difficulty_mean"] == (1.0, 2)  # two unknown ones, 1/2 each


def test_search_trees_steer_the_first_phase(tmp_path: Path) -> None:
    trees = write_trees(tmp_path, **{name: [1.0, 1.0] for name in "0123"}, **{"4": [1.0, 0.0]})
    module = grpo(sampler=SolveRateSampling(floor_frac=0, trees=trees))
    assert set(asked(module, 0)) == {"4", "5"}
    assert module.prompts_of_phase(0, seed=0).metrics["data/rated_frac"] == (5, 6)
    assert module.state_dict()["solve_rates"] == {}  # read again when the run goes on


def test_a_phase_of_solved_prompts_says_so(caplog: pytest.LogCaptureFixture) -> None:
    module = grpo(sampler=SolveRateSampling(floor_frac=0))
    module.measure(SOLVED)
    asked(module, 7)
    assert not caplog.records
    module.measure(group("4", "red", "red"))
    assert "5" in asked(module, 7)
    assert "phase 7: the sampler would skip 5 of 6 training tasks, yet 1 of 2" in caplog.text


def test_a_state_brings_the_choice_back() -> None:
    module = grpo(sampler=SolveRateSampling(floor_frac=0))
    module.measure(SOLVED)
    other = grpo(sampler=SolveRateSampling(floor_frac=0))
    assert set(asked(other, 3)) != {"4", "5"}
    other.load_state_dict(module.state_dict())
    assert asked(other, 3) == asked(module, 3)
    grpo().load_state_dict(module.state_dict())  # a run may go on without a sampler


def test_rounds_ask_every_prompt_once_per_pass_however_many_they_ask() -> None:
    module, plain = grpo(), grpo()
    rounds = [(0, 0, 3), (0, 1, 2), (1, 0, 4), (2, 0, 3)]  # two passes of 6 prompts
    ids = [
        task.id
        for phase, round, count in rounds
        for task in module.prompts_of_phase(phase, seed=0, count=count, round=round).tasks
    ]
    assert ids == [id for phase in range(6) for id in asked(plain, phase)]
    assert module.state_dict() == {"num_asked": 12}

    # a run that goes on, even without a method of groups, asks what comes next
    plain.load_state_dict({"num_asked": 12})
    assert asked(plain, 3) == asked(grpo(), 6)


def test_rounds_of_a_sampler_ask_no_prompt_twice_and_come_to_an_end() -> None:
    module = grpo(sampler=SolveRateSampling(floor_frac=0))
    found = [module.prompts_of_phase(0, seed=0, count=4, round=round) for round in range(3)]
    assert [len(one.tasks) for one in found] == [4, 2, 0]
    assert len({task.id for one in found for task in one.tasks}) == 6
    assert len(module.prompts_of_phase(1, seed=0, count=4).tasks) == 4


def test_a_run_that_goes_on_between_the_rounds_of_a_phase_asks_what_it_would_have_asked() -> None:
    """As where the first round is made ahead, in the phase before."""
    module, resumed = (grpo(sampler=SolveRateSampling(floor_frac=0)) for _ in range(2))
    first = asked(module, 1)
    resumed.load_state_dict(module.state_dict())
    second = [
        [task.id for task in one.prompts_of_phase(1, seed=0, count=4, round=1).tasks]
        for one in (module, resumed)
    ]
    assert second[0] == second[1]
    assert not set(first) & set(second[0])


def test_a_sampler_leaves_out_what_another_phase_has_in_the_making() -> None:
    module = grpo(sampler=SolveRateSampling(floor_frac=0))
    prompts = module.prompts_of_phase(0, seed=0, count=4, in_the_making=["1", "3"])
    assert {task.id for task in prompts.tasks} == {"0", "2", "4", "5"}


def test_ranks_agree_on_what_they_measured_together(monkeypatch: pytest.MonkeyPatch) -> None:
    shards = [group("0", "red", "red"), group("1", "red", "blue")]

    def gather(found: list[Any], own: Any) -> None:
        found[:] = [tally_rollouts(shard) for shard in shards]

    monkeypatch.setattr(ranks, "num_ranks", lambda: 2)
    monkeypatch.setattr(dist, "all_gather_object", gather)
    states = []
    for shard in shards:
        module = grpo(num_ranks=2, sampler=SolveRateSampling())
        module.measure(shard)
        states.append(module.state_dict())
    assert states == [{"solve_rates": {"0": 1.0, "1": 0.5}}] * 2


def test_a_sampler_needs_prompts_to_choose_from() -> None:
    with pytest.raises(ConfigError, match=r"plan\.prompts_per_phase=2 asks all 2 training tasks"):
        grpo(num_tasks=2, sampler=SolveRateSampling())
