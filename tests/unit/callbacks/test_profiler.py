from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import MagicMock

import pytest

from vigorl.callbacks.profiler import PhaseProfiler
from vigorl.core.flops import Load, ModelFlops, Weights
from vigorl.training.policy_module import PolicyModule

FLOPS = ModelFlops(
    layers=Weights(num=10, num_trained=10), head=Weights(num=0), tower=Weights(num=0),
    merger=Weights(num=0), query_width=0, tower_width=0,
)  # fmt: skip


@pytest.mark.parametrize("readers", [1, 2])
def test_what_ranks_read_together_counts_once(readers: int, tmp_path: Path) -> None:
    logger = MagicMock()
    profiler = PhaseProfiler(folder=str(tmp_path), peak_flops=60.0)
    profiler._products, profiler._load, profiler._update_s = FLOPS, Load(tokens=100), 200.0
    profiler.on_train_epoch_end(
        cast(Any, SimpleNamespace(loggers=[logger], global_step=1)),
        MagicMock(spec=PolicyModule, num_readers=readers),
    )
    ((found,), _) = logger.log_metrics.call_args
    assert found["perf/update_tokens_per_s"] == 100 / readers / 200
    assert found["perf/mfu"] == pytest.approx(6 * 10 * 100 / readers / (200 * 60))
