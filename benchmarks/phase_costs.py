"""What a phase costs by its parts, in seconds of one thread's CPU, which other programs on the
machine change least: what `scaling.py` and `plan_check.py` share.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from vigorl.build import CONFIGS
from vigorl.core.metrics_file import read_metrics
from vigorl.core.rollout import Rollout
from vigorl.core.spans import Kind, Span, nested, own_seconds
from vigorl.rollout.recorder import read_rollouts
from vigorl.train import train

BARE = [
    "num_threads=1", "trainer.accelerator=cpu", "logger=none", "num_phases=2", "profile=on",
    "profile.every=1", "profile.peak_flops=1e12", "rollout.eval_every=0", "data.num_val=4",
    "data.num_test=4", "callbacks.rollout_logger.tokens=false", "callbacks.rollout_logger.every=99",
    "callbacks.checkpoint.every=99", "rollout.alignment=null",
]  # fmt: skip


@dataclass(frozen=True)
class Costs:
    """Of a run's second phase, without the evaluation behind it.

    Attributes:
        seconds: By kind of span, each without what lies inside of it.
        metrics: Of its rollouts, as they are logged.
        cfg: Its settings.
        rollouts: Its own.
    """

    seconds: dict[str, float]
    metrics: dict[str, float]
    cfg: DictConfig
    rollouts: list[Rollout]

    def of(self, *kinds: Kind) -> float:
        return sum(self.seconds.get(str(kind), 0.0) for kind in kinds)

    @property
    def generating(self) -> float:
        return self.of(Kind.GENERATE, Kind.ENGINE, Kind.TOOL)

    @property
    def learning(self) -> float:
        return self.of(Kind.LOGPROB, Kind.FORWARD, Kind.BACKWARD, Kind.OPTIMIZER)

    @property
    def all(self) -> float:
        apart = (Kind.CHECKPOINT, Kind.RECORD)
        return sum(self.seconds.values()) - self.of(*apart)


def measure(*overrides: str) -> Costs:
    """Train two phases in a folder that is removed."""
    time.perf_counter = time.thread_time  # every span is then of this thread's CPU
    with tempfile.TemporaryDirectory() as home:
        run = Path(home) / "run"
        said = [*BARE, f"paths.root={home}", f"paths.run={run}", *overrides]
        with initialize_config_dir(CONFIGS, version_base="1.3"):
            cfg = compose("train", ["experiment=grpo_vstar", *said])
        train(cfg)
        events = json.loads((run / "profile/phase_0001.json").read_text())["traceEvents"]
        lines = read_metrics(run / "metrics.jsonl")
        records = list(read_rollouts(run / "rollouts/train_phase_0001.jsonl"))
    spans = [
        Span(Kind(one["cat"]), one["ts"] / 1e6, (one["ts"] + one["dur"]) / 1e6, one["tid"])
        for one in events
        if one["ph"] == "X" and one["tid"] == 0
    ]
    in_phase = [
        one
        for one, around in nested(spans)
        if Kind.EVALUATE not in {one.kind, *(other.kind for other in around)}
    ]
    seconds = {str(kind): spent for kind, spent in own_seconds(in_phase).items()}
    of_phase = next(one for one in lines if one.kind == "train" and one.phases == 1)
    rollouts = [one.scored.rollout for one in records]
    return Costs(seconds, dict(of_phase.metrics), cfg, rollouts)
