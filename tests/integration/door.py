"""The real doors, small: two phases of two prompts x four rollouts, with zooms, on a dozen made
pictures.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from mlflow.entities import Run as MLflowRun
from mlflow.tracking import MlflowClient
from omegaconf import DictConfig
from safetensors.torch import load_file

from tests.forked import run_forked
from vigorl.build import ASSETS, CONFIGS
from vigorl.callbacks.mlflow_logger import plain_name, shown_name
from vigorl.core.protocols import GenerationRequest, Progress
from vigorl.core.rollout import RewardBreakdown, Rollout
from vigorl.core.trace import Step, ToolCall, Trace
from vigorl.data.encoding import ChatCodec
from vigorl.mlflow_store import make_store
from vigorl.models.tiny import untrained_copy
from vigorl.rollout.engines.scripted import ScriptedEngine, turn_number
from vigorl.training.from_nothing import make_for_world

# with whole turns the start checkpoint that ships zooms; no test may rest on more than that
NO_TRACES = ["callbacks.traces.max_traces=0", "callbacks.traces.max_val_traces=0"]
SMALL = ["debug=fast", "num_threads=1", "trainer.accelerator=cpu", *NO_TRACES]
# for what is seen in weights or in numbers of the updates
NO_LOOKS = ["rollout.eval_every=0", "callbacks.rollout_logger.every=100"]
UNTRAINED = [
    "limits.max_new_tokens=12",
    "model.path=${paths.run}/untrained",
    "model.maker={_target_:tests.integration.door.make_and_note,"
    "source:${paths.start},folder:${model.path},seed:3}",
]
VARIED_REWARD = "reward._target_=tests.integration.door.TokenReward"


class TokenReward:
    """A reward that even a model without any skill gets unequally: from the ids it sampled."""

    def breakdowns(
        self, rollouts: Sequence[Rollout], *, progress: Progress
    ) -> list[RewardBreakdown]:
        return [self.breakdown(rollout) for rollout in rollouts]

    def breakdown(self, rollout: Rollout) -> RewardBreakdown:
        ids = [i for turn in rollout.turns for i in turn.completion_ids]
        return RewardBreakdown(sum(i % 7 for i in ids) / (6 * len(ids)), {})


def settings(
    root: Path, *overrides: str, door: str = "train", small: list[str] = SMALL
) -> DictConfig:
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # mlflow sets it to the store of the last run
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        return compose(door, [*small, f"paths.root={root}", *overrides])


def store(root: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{root}/outputs/mlflow.db")


def only_run(root: Path) -> MLflowRun:
    (experiment,) = store(root).search_experiments(filter_string="name = 'vigorl'")
    (run,) = store(root).search_runs([experiment.experiment_id])
    return run


def history(root: Path, name: str) -> list[tuple[int, float]]:
    """(updates done, value) of a metric, in order of updates."""
    found = store(root).get_metric_history(only_run(root).info.run_id, shown_name(name))
    return sorted((metric.step, metric.value) for metric in found)


def all_metrics(root: Path) -> dict[str, dict[int, set[float]]]:
    """Every value that was ever logged, by name and updates done; how long things took left out."""
    client, run = store(root), only_run(root)
    found: dict[str, dict[int, set[float]]] = {}
    for shown in run.data.metrics:
        if not any(one in shown for one in ("time/", "perf/", "system/")):
            name = plain_name(shown)
            for metric in client.get_metric_history(run.info.run_id, shown):
                found.setdefault(name, {}).setdefault(metric.step, set()).add(metric.value)
    return found


def has_several_turns(root: Path) -> bool:
    """Whether every phase and every evaluation of the only run had crops and further turns."""
    kinds = ("rollout", "val")
    zooms = [value for kind in kinds for _, value in history(root, f"{kind}/zooms_mean")]
    turns = [value for kind in kinds for _, value in history(root, f"{kind}/turns_mean")]
    return min(zooms) > 0 and min(turns) > 1


def start_weights() -> dict[str, torch.Tensor]:
    """Of the start checkpoint, as a run loads them."""
    return {name: weight.float() for name, weight in weights(ASSETS / "tiny_start").items()}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same_weights(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


class KillingReward(TokenReward):
    """Kills this very process (kill -9) in the middle of the fourth phase."""

    phase = 3

    def breakdown(self, rollout: Rollout) -> RewardBreakdown:
        if rollout.group.startswith(f"train/{self.phase}/"):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().breakdown(rollout)


class EndingReward(TokenReward):
    """Asks this very process to end, in the middle of the second phase."""

    number = signal.SIGTERM

    def breakdown(self, rollout: Rollout) -> RewardBreakdown:
        if rollout.group.startswith("train/1/"):
            os.kill(os.getpid(), self.number)
        return super().breakdown(rollout)


class InterruptingReward(EndingReward):
    number = signal.SIGINT


class SoonKillingReward(KillingReward):
    """In the second phase."""

    phase = 1


class HumpReward(TokenReward):
    """A reward by the number of updates that the policy has had: it rises, then falls."""

    by_updates = (0.25, 0.5, 0.75, 0.625, 0.5, 0.875)
    kills_at = -1

    def breakdown(self, rollout: Rollout) -> RewardBreakdown:
        if rollout.policy_version == self.kills_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return RewardBreakdown(self.by_updates[rollout.policy_version], {})


class KillingHumpReward(HumpReward):
    """Kills this very process (kill -9) in the evaluation after four updates."""

    kills_at = 4


class FallingReward(HumpReward):
    by_updates = (0.75, 0.5, 0.625)


def make_and_note(*, source: str, folder: str, seed: int) -> str:
    """An untrained copy, and a line in `made` beside it."""
    with Path(folder).with_name("made").open("a") as made:
        print(os.getpid(), file=made)
    return untrained_copy(source, folder, seed=seed)


def make_for_world_and_note(*, folder: str, **settings: Any) -> str:
    """The same for a model that is made for its world."""
    with Path(folder).with_name("made").open("a") as made:
        print(os.getpid(), file=made)
    return make_for_world(folder=folder, **settings)


def zooming_engine(*, codec: ChatCodec, **_: Any) -> ScriptedEngine:
    """Looks at two places, other ones for each request, then answers "A": crops without skill."""

    def script(request: GenerationRequest) -> str:
        size, rng = request.views[0].size, random.Random(request.seed)
        place = [rng.randrange(size.width), rng.randrange(size.height)]
        call = ToolCall("search_coordinate", {"coordinate": place})
        look = Step("Look here.", call)
        return Trace((look, look, Step("Seen.")), "A").turns()[turn_number(request) - 1]

    return ScriptedEngine(script, codec)


def guessing_engine(*, codec: ChatCodec, **_: Any) -> ScriptedEngine:
    """Looks at a place, then guesses one of four letters: some groups have it right, some have not,
    whatever the weights.
    """

    def script(request: GenerationRequest) -> str:
        rng = random.Random(request.seed)
        place = [rng.randrange(100), rng.randrange(100)]
        look = Step("Look here.", ToolCall("search_coordinate", {"coordinate": place}))
        return Trace((look, Step("Seen.")), rng.choice("ABCD")).turns()[turn_number(request) - 1]

    return ScriptedEngine(script, codec)


def no_engine(**_: Any) -> ScriptedEngine:
    """Where nothing is left to generate."""
    raise AssertionError("an engine was made")


def wandering_engine(*, codec: ChatCodec, **_: Any) -> ScriptedEngine:
    """Looks about or answers with one of the stripes, by the request's noise."""

    def script(request: GenerationRequest) -> str:
        size, rng = request.views[0].size, random.Random(request.seed)
        place = [rng.randrange(size.width), rng.randrange(size.height)]
        look = Step(
            f"Look at ({place[0]}, {place[1]}).",
            ToolCall("search_coordinate", {"coordinate": place}),
        )
        kinds = ["vertical", "horizontal", "rising", "falling"]
        answer = rng.choice(kinds)
        if "Compare" in codec.decode(request.prompt_ids):
            answer += f" and {rng.choice(kinds)}"
        turns = Trace((look, Step("Seen.")), answer).turns()
        return turns[0] if rng.random() < 0.5 else turns[1]

    return ScriptedEngine(script, codec)


def thinking_engine(*, codec: ChatCodec, **_: Any) -> ScriptedEngine:
    """Bare thoughts one by one, or an answer with one of the stripes, by the request's noise."""

    def script(request: GenerationRequest) -> str:
        size, rng = request.views[0].size, random.Random(request.seed)
        if rng.random() < 0.5:
            point = (rng.randrange(size.width), rng.randrange(size.height))
            return f"<think> There is something at {point}. </think>"
        kinds = ["vertical", "horizontal", "rising", "falling"]
        answer = rng.choice(kinds)
        if "Compare" in codec.decode(request.prompt_ids):
            answer += f" and {rng.choice(kinds)}"
        return Trace((Step("So be it."),), answer).turns()[0]

    return ScriptedEngine(script, codec)


def run_door(
    *overrides: str,
    small: list[str] = SMALL,
    launcher: tuple[str, ...] = (),
    timeout: float = 300,
) -> subprocess.CompletedProcess[str]:
    """`python -m vigorl.train` in a process of its own, or in those that a launcher starts."""
    words = [*small, *overrides]
    if launcher:
        return launch([sys.executable, *launcher, "-m", "vigorl.train", *words], timeout=timeout)
    for root in (one.removeprefix("paths.root=") for one in overrides if "paths.root=" in one):
        make_store(Path(root, "outputs/mlflow.db"))  # a copy, here
    folder = Path(CONFIGS).parent
    return run_forked("vigorl.train", words, folder=folder, env=_env(), timeout=timeout)


def launch(
    command: Sequence[str], *, timeout: float, **env: str
) -> subprocess.CompletedProcess[str]:
    """A command in the folder of the project, with one thread and no GPU."""
    return subprocess.run(
        command,
        cwd=Path(CONFIGS).parent,
        env=_env() | env,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def _env() -> dict[str, str]:
    env = os.environ | {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1", "PYTHONPATH": ".:src"}
    env.pop("MLFLOW_TRACKING_URI", None)
    return env
