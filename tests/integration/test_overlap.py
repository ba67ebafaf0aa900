"""Rollouts made while the phase before is learned from: the same digits as one after the other, and
as a run that was killed.
"""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.integration.door import (
    VARIED_REWARD,
    all_metrics,
    has_several_turns,
    history,
    only_run,
    run_door,
    same_weights,
    settings,
    start_weights,
    weights,
)
from vigorl.core.rollout import Rollout
from vigorl.rollout.probes.checklist import Checklist
from vigorl.train import train

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
SPARE = ["overlap.spare_groups=1", "overlap.max_staleness=2"]
FOUR_PHASES = [
    "num_phases=4", "callbacks.checkpoint.every=2", "overlap=one_step", "rollout.alignment.every=3",
    "rollout.eval_every=2",
]  # fmt: skip


def versions(root: Path, phase: int) -> set[int]:
    """Of the weights that sampled a phase's rollouts."""
    lines = (root / f"run/rollouts/train_phase_{phase:04d}.jsonl").read_text().splitlines()
    return {json.loads(line)["scored"]["rollout"]["policy_version"] for line in lines}


def generated_while_preparing(trace: Path) -> list[str]:
    """What a timeline without threads shows of it."""
    events = [one for one in json.loads(trace.read_text())["traceEvents"] if one["ph"] == "X"]
    kinds = {
        kind: [one for one in events if one["cat"] == kind] for kind in ("prepare", "generate")
    }
    (prepare,), begun = kinds["prepare"], kinds["generate"]
    assert begun
    ended = prepare["ts"] + prepare["dur"]
    return [one["name"] for one in begun if prepare["ts"] <= one["ts"] <= ended]


@pytest.fixture(scope="module")
def with_spare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a run of four phases with spare groups."""
    root = tmp_path_factory.mktemp("spare")
    train(settings(root, *FOUR_PHASES, *SPARE, VARIED_REWARD, f"paths.run={root}/run"))
    return root


@pytest.mark.parametrize(
    "spare", [pytest.param([], id="whole"), pytest.param(SPARE, id="spare", marks=pytest.mark.slow)]
)
def test_a_thread_changes_no_digit_and_rollouts_are_of_older_weights(
    spare: list[str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    ahead, serial = tmp_path / "ahead", tmp_path / "serial"
    work = [*FOUR_PHASES, *spare, VARIED_REWARD]
    if spare:
        ahead = request.getfixturevalue("with_spare")
    else:
        train(settings(ahead, *work, f"paths.run={ahead}/run"))
    in_line = ["overlap.in_background=false", "profile=on", "profile.every=1"]
    train(settings(serial, *work, f"paths.run={serial}/run", *in_line))
    assert has_several_turns(ahead)
    assert all_metrics(ahead) == all_metrics(serial)
    assert same_weights(weights(ahead / "run/model"), weights(serial / "run/model"))
    ages = [age for _, age in history(ahead, "rollout/staleness")]
    if spare:  # some groups went on under later weights
        assert all(phase - 2 <= min(versions(ahead, phase)) for phase in range(4))
        assert ages[0] == 0 < 1 <= max(ages) <= 2
        assert max(value for _, value in history(ahead, "rollout/mixed_frac")) > 0
        assert {value for _, value in history(ahead, "groups/left")} == {1}
    else:
        assert ages == [0, 1, 1, 1]
        assert [versions(ahead, phase) for phase in range(4)] == [{0}, {0}, {1}, {2}]
    # the engine is compared with the weights that it has, whatever the rollouts are of
    assert [step for step, _ in history(ahead, "align/mean_gap")] == [0, 3]
    assert max(value for _, value in history(ahead, "align/max_gap")) < 1e-4
    gaps = dict(history(ahead, "kl/sampling_gap_max"))
    assert gaps[0] < 1e-4 < 1e-3 < gaps[3]
    assert {step for step, _ in history(ahead, "time/wait_s")} == {0, 1, 2, 3}
    assert {step for step, _ in history(ahead, "time/align_s")} == {0, 3}
    # what is generated for the next phase, or in phase 3 for the check, is no part of prepare_s
    for phase in (0, 3):
        assert not generated_while_preparing(serial / f"run/profile/phase_{phase:04d}.json")


class PaidByTokens(Checklist):
    """Answers of a model without any skill differ too, so that some are learned from."""

    def scores(self, rollout: Rollout, answers: Sequence[Rollout]) -> list[float]:
        return [sum(one.turns[0].completion_ids) % 7 / 6 for one in answers]


GUESSES = [
    "plan.prompts_per_phase=4", "plan.sequences_per_update=16", "data.num_train=24",
    "data.comparison_frac=0",  # four options each: a guess is right in a quarter
    "engine._target_=tests.integration.door.guessing_engine",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    ("beside", "metric"),
    [
        (["sampler=solve_rate", *GUESSES], "data/rated_frac"),
        (["groups=dynamic_sampling", "groups.oversample=1", *GUESSES], "groups/refills"),
        (["groups=replay", "groups.max_share=1", *GUESSES], "groups/replayed_frac"),
        (["guests=luffy"], "guests/advantage"),
        (
            ["probes=[checklist]", "probes.checklist.coef=0.1",
             "probes.checklist._target_=tests.integration.test_overlap.PaidByTokens",
             "probes.checklist.items={_target_:vigorl.data.checklists.SignChecklist}"],
            "probe/checklist",
        ),
    ],
)  # fmt: skip
def test_what_chooses_joins_or_teaches_is_the_same_beside_a_thread(
    beside: list[str], metric: str, tmp_path: Path
) -> None:
    roots = tmp_path / "ahead", tmp_path / "serial"
    for root, is_in_background in zip(roots, ("true", "false"), strict=True):
        train(
            settings(
                root, "num_phases=3", "overlap=one_step", "rollout.alignment=null", VARIED_REWARD,
                "optimizer.warmup_frac=0", f"overlap.in_background={is_in_background}", *beside,
                f"paths.run={root}/run",
            )
        )  # fmt: skip
    ahead, serial = roots
    assert all_metrics(ahead) == all_metrics(serial)
    assert any(value for _, value in history(ahead, metric))
    trained = weights(ahead / "run/model")
    assert same_weights(trained, weights(serial / "run/model"))
    assert not same_weights(trained, start_weights())
    first, *later = [age for _, age in history(ahead, "rollout/staleness")]
    assert first == 0 < min(later) <= max(later) <= 1  # further rounds are of the phase's weights


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(with_spare: Path, tmp_path: Path) -> None:
    whole, killed = with_spare, tmp_path / "killed"
    folders = [f"paths.root={killed}", f"paths.run={killed}/run"]
    killing = VARIED_REWARD.replace("TokenReward", "KillingReward")
    # while the third phase is learned from
    dead = run_door(*FOUR_PHASES, *SPARE, killing, *folders)
    assert dead.returncode == -signal.SIGKILL, dead.stderr[-3000:]
    assert [p.name for p in (killed / "run/checkpoints").glob("*.ckpt")] == ["phase-00002.ckpt"]

    train(settings(killed, *FOUR_PHASES, *SPARE, VARIED_REWARD, f"resume={killed}/run"))
    # the third phase was sampled by the weights before the checkpoint's, and still is
    assert versions(killed, 2) == versions(whole, 2) != {2}
    assert all_metrics(killed) == all_metrics(whole)
    assert same_weights(weights(killed / "run/model"), weights(whole / "run/model"))


@pytest.mark.slow
def test_a_signal_ends_a_run_that_makes_rollouts_in_the_background(tmp_path: Path) -> None:
    ending = VARIED_REWARD.replace("TokenReward", "EndingReward")
    dead = run_door(
        "overlap=one_step", ending, f"paths.root={tmp_path}", f"paths.run={tmp_path}/run"
    )
    assert dead.returncode == 143, dead.stderr[-3000:]
    assert dead.stderr.splitlines()[-1].startswith("stopped by SIGTERM")
    assert "Traceback" not in dead.stderr
    assert only_run(tmp_path).info.status == "KILLED"


@pytest.mark.slow
@pytest.mark.long
def test_two_ranks_make_their_shares_and_go_on_with_them(tmp_path: Path) -> None:
    run = tmp_path / "run"
    started = run_door(
        *FOUR_PHASES, "num_phases=3", "overlap.spare_groups=2", "overlap.max_staleness=2",
        "strategy=ddp", "trainer.devices=2", "plan.micro_batch_size=2", VARIED_REWARD,
        f"paths.root={tmp_path}", f"paths.run={run}", launcher=TORCHRUN, timeout=400,
    )  # fmt: skip
    assert started.returncode == 0, started.stderr[-6000:]
    assert [age for _, age in history(tmp_path, "groups/left")] == [2, 2, 2]
    names = [f"rollouts/train_phase_0002_rank{rank}.jsonl" for rank in (0, 1)]
    before = [(run / name).read_bytes() for name in names]
    trained = weights(run / "model")

    shutil.rmtree(run / "model")
    for one in (run / "checkpoints").glob("phase-00003*"):
        one.unlink()
    resumed = run_door(f"resume={run}", VARIED_REWARD, small=[], launcher=TORCHRUN, timeout=400)
    assert resumed.returncode == 0, resumed.stderr[-6000:]
    assert [(run / name).read_bytes() for name in names] == before
    assert same_weights(weights(run / "model"), trained)
