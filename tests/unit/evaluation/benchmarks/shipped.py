"""Benchmarks as their YAMLs say."""

from __future__ import annotations

from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from vigorl.build import CONFIGS
from vigorl.evaluation.benchmarks.benchmark import Benchmark


def shipped(name: str, root: Path, *settings: str) -> Benchmark:
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        cfg = compose("evaluate", [f"benchmark={name}", f"data.root={root}", *settings])
    made = instantiate(cfg.data)
    assert isinstance(made, Benchmark)
    return made
