"""Machines and settings that are not here."""

from __future__ import annotations

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from vigorl.build import CONFIGS, prepare_process
from vigorl.core.memory import GIB
from vigorl.diagnosis.machine import Machine, Space
from vigorl.diagnosis.report import Row, Status

prepare_process()


def machine(
    *, gpus: int = 0, gpu_gib: float = 79, ram_gib: float = 24, shared_gib: float = 12
) -> Machine:
    def space(gib: float) -> Space:
        return Space(int(gib * GIB), int(gib * GIB))

    return Machine((space(gpu_gib),) * gpus, 8, space(ram_gib), space(shared_gib))


def settings(*overrides: str, door: str = "train") -> DictConfig:
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        return compose(door, list(overrides))


def failures(rows: list[Row]) -> list[str]:
    """Names of the rows that fail."""
    return [row.name for row in rows if row.status is Status.FAIL]
