"""Groups of what runs, watches and keeps a training: trainer, strategy, loggers, callbacks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vigorl.core.ranges import AtLeastOne, Count, NotNegative, Positive
from vigorl.settings.kinds import AnyText, Dtype, Flag, Group, Plain, Text, says


class Callback(Group):
    folder: Text
    every: AtLeastOne
    keep: AtLeastOne
    base: Text
    title: AnyText
    num_groups: Count
    max_eval_rollouts: Count
    num_rollouts: Count
    tokens: Flag
    model_folder: Text | None
    model_dtype: Dtype | None
    log_model: Flag
    register_as: Text | None
    max_traces: Count
    max_val_traces: Count
    max_phase_traces: Count
    max_kib: Count
    max_side_px: AtLeastOne


class Stage(Plain):
    """Which of a run's stages this one is; `vigorl.settings.stages` says so."""

    name: Text
    number: AtLeastOne
    count: AtLeastOne
    round: AtLeastOne
    folders: dict[str, Text]


class Trainer(Group):
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu", "hpu"]
    devices: AtLeastOne
    num_nodes: AtLeastOne
    precision: Literal["64-true", "32-true", "16-true", "bf16-true", "16-mixed", "bf16-mixed"]
    max_epochs: Count
    accumulate_grad_batches: AtLeastOne
    gradient_clip_val: Positive | None
    use_distributed_sampler: Flag
    reload_dataloaders_every_n_epochs: Count
    num_sanity_val_steps: Count
    log_every_n_steps: AtLeastOne
    enable_progress_bar: Flag
    enable_model_summary: Flag
    enable_checkpointing: Flag


class Profile(Group):
    folder: Text
    every: AtLeastOne
    phases: list[Count]
    torch: Flag
    peak_flops: (
        Annotated[
            float,
            Field(strict=True, gt=0, le=1e18),
            says("FLOP per second, above 0 and up to 1e18"),
        ]
        | None
    )


class Logger(Group):
    experiment_name: Text
    run_name: Text
    tracking_uri: Text | None
    artifact_location: Text | None
    project: Text
    name: AnyText
    save_dir: Text
    offline: Flag
    version: Text | None
    default_hp_metric: Flag
    folder: Text
    wait_s: NotNegative
    pause_s: Positive
    system_every_s: Positive | None


class Strategy(Group):
    stage: Annotated[int, Field(strict=True, ge=1, le=3), says("1, 2 or 3")] = 1
    copies: AtLeastOne = 1
    gather_dtype: Dtype | None = None
