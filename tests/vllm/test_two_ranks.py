"""vLLM in the processes of a distributed run: an engine per rank, or one engine over both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.door import VARIED_REWARD, history, only_run, run_door, settings
from vigorl.core.errors import ConfigError
from vigorl.train import train

pytest.importorskip("vllm", reason="needs vLLM: make test-vllm")
pytestmark = [pytest.mark.vllm, pytest.mark.slow]

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
TWO = [
    VARIED_REWARD, "engine=vllm", "engine_limits.kv_cache_gib=0.25", "trainer.devices=2",
    "strategy=ddp", "plan.micro_batch_size=4", "limits.max_new_tokens=48",
    "rollout.alignment.every=1", "rollout.eval_every=0", "optimizer.lr=0.003",
]  # fmt: skip


@pytest.mark.parametrize("tensor_parallel_size", [1, 2])
def test_two_ranks_sample_a_phase_once(tmp_path: Path, tensor_parallel_size: int) -> None:
    split = f"engine.tensor_parallel_size={tensor_parallel_size}"
    done = run_door(*TWO, split, f"paths.root={tmp_path}", launcher=TORCHRUN, timeout=400)
    assert done.returncode == 0, done.stderr[-6000:]
    assert len(history(tmp_path, "align/mean_gap")) == 2  # both phases, on both ranks
    assert max(value for _, value in history(tmp_path, "align/max_gap")) < 1e-3
    folder = Path(only_run(tmp_path).data.params["paths.run"], "rollouts")
    lines = [
        json.loads(line)["scored"]["rollout"]
        for file in folder.glob("train_*.jsonl")
        for line in file.read_text().splitlines()
    ]
    assert len({(line["group"], line["index"]) for line in lines}) == len(lines) == 16


def test_ranks_that_do_not_divide_are_an_error(tmp_path: Path) -> None:
    split = ["engine=vllm", "engine.tensor_parallel_size=2", "logger=none"]
    with pytest.raises(ConfigError, match=r"tensor_parallel_size=2 needs as many ranks"):
        train(settings(tmp_path, *split))
