"""Look before a run: `python -m vigorl.doctor experiment=grpo_vstar scale=qwen2_5_vl_7b ...`.

Takes what `vigorl.train` takes, or with a `benchmark=` or an experiment of `vigorl.evaluate` what
that takes (`--config-name evaluate` says so of anything else), and prints a table: versions against
the tested ones, devices, the model, data, engine, MLflow, disk, and the memory that these settings
need against what is there. Loads no weights, makes nothing.
With `--plan` it predicts the seconds of a phase instead (docs/cost.md): `--device=h100` for another
machine than this, `--turns=3 --tokens=120 --prompt=400` for rollouts shorter than their limits.
Exit code 0 without a FAIL, else 1. Left out: what stages change (sft_vstar at the tiny scale),
other nodes than this one.
"""

from __future__ import annotations

import sys

from vigorl.diagnosis.plan_flags import Asked, split_flags
from vigorl.door import at_its_door, door, refuse_early

_asked: Asked | None = None
if __name__ == "__main__":
    _asked, words = split_flags(sys.argv[1:])
    sys.argv[1:] = at_its_door(words)
refuse_early(__name__, "train", may_miss=True)  # before the imports below, which take seconds

from collections.abc import Callable
from dataclasses import replace

from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from vigorl.build import prepare_process
from vigorl.core.errors import VigorlError
from vigorl.diagnosis.engine import check_engine
from vigorl.diagnosis.installed import check_installed
from vigorl.diagnosis.machine import (
    Machine,
    check_devices,
    check_disk,
    check_shared_memory,
    look,
)
from vigorl.diagnosis.memory import check_memory, check_model, needs
from vigorl.diagnosis.plan import plan_rows
from vigorl.diagnosis.report import Row, Status, render
from vigorl.diagnosis.sources import check_config, check_data, check_tracking
from vigorl.run_settings import said_of
from vigorl.suite import named_members

prepare_process()


def diagnose(cfg: DictConfig, machine: Machine) -> list[Row]:
    """Every row of the table; the memory's verdict last."""
    return [
        *asked("Python", lambda: check_installed(cfg)),
        *asked("settings", lambda: check_config(cfg)),
        *asked("devices", lambda: check_devices(cfg, machine)),
        *asked("shared memory", lambda: check_shared_memory(cfg, machine)),
        *asked("engine", lambda: check_engine(cfg)),
        *asked("MLflow", lambda: check_tracking(cfg)),
        *asked("data", lambda: check_all_data(cfg)),
        *asked("model", lambda: check_model_and_memory(cfg, machine)),
    ]


def asked(name: str, question: Callable[[], list[Row]]) -> list[Row]:
    """The rows of a question; one that the settings leave unanswerable fails alone."""
    try:
        return question()
    except (VigorlError, OmegaConfBaseException, HydraException, OSError, ImportError) as error:
        return [Row(Status.FAIL, name, f"{type(error).__name__}: {error}")]


def check_all_data(cfg: DictConfig) -> list[Row]:
    """Of every benchmark of a suite, each in rows of its own."""
    if not cfg.get("suite"):
        return check_data(cfg)
    return [
        replace(row, name=f"{row.name} {one.name}")
        for one in named_members(cfg, said_of(cfg))
        for row in asked("data", lambda one=one: check_data(one.cfg))
    ]


def check_model_and_memory(cfg: DictConfig, machine: Machine) -> list[Row]:
    rows, model = check_model(cfg)
    if model is None:
        return [*rows, Row(Status.NOTE, "memory", "not known without the model's config.json")]
    found = needs(cfg, model, machine)
    return [*rows, *check_disk(cfg, needed=found.disk), *check_memory(cfg, found, machine)]


@door("train")
def main(cfg: DictConfig) -> None:
    rows = plan_rows(cfg, _asked) if _asked is not None else diagnose(cfg, look())
    print(render(rows))
    sys.exit(any(row.status is Status.FAIL for row in rows))


if __name__ == "__main__":
    main()
