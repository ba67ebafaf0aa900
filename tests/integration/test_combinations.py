"""What combines with what: cells of the table in docs/gpus.md, each a run of two processes that
ends where one process ends. `test_zero.py` has the door and resume, `test_critic.py` ddp's critic.
"""

from __future__ import annotations

import json
import os
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.plugins.environments.lightning import find_free_network_port

from tests.integration import combinations
from tests.integration.combinations import QUIET, WORK
from tests.integration.door import (
    SMALL,
    VARIED_REWARD,
    launch,
    same_weights,
    start_weights,
    weights,
)
from vigorl.core.metrics_file import read_metrics
from vigorl.model_sources import export

pytest.importorskip("deepspeed")
pytestmark = [pytest.mark.slow, pytest.mark.deepspeed]

WHAT: dict[str, list[str]] = {
    "plain": WORK,
    "lora": [*WORK, "model.lora={_target_:vigorl.models.lora.LoraSettings,rank:4}"],
    "packing": [*WORK, "model.packing=true"],
    # two to four of the four places of a rank are taken; the others are spare
    "budget": [*WORK, "model.packing=true", "plan.micro_batch_tokens=250"],
    "tower": [*WORK, "model.freeze_vision_tower=false", "model.gradient_checkpointing=true"],
    "critic": [*WORK, "algorithm=ppo"],
    "sft": [
        "experiment=sft_vstar", "stages=null", "data.num_traces=16", "max_epochs=1",
        "traces.sequences_per_update=8", "gradient_clip=0.05", "+optimizer.eps=1e-5",
    ],
}  # fmt: skip
TOGETHER = ["model.packing=true", "model.context_parallel=2"]  # both read each micro-batch
WHAT |= {
    f"together_{what}" if what != "plain" else "together": [*WHAT[what], *TOGETHER]
    for what in ("plain", "budget", "tower", "critic", "sft")
}
HOW: dict[str, list[str]] = {
    "ddp": ["strategy=ddp"],
    "zero1": ["strategy=zero1"],
    "zero2": ["strategy=zero2"],
    "zero3": ["strategy=zero3"],
    "fsdp2": ["strategy=fsdp2"],
    "zero2_offload": ["strategy=zero2", "+strategy.offload_optimizer=true"],
    "zero3_offload": [
        "strategy=zero3", "+strategy.offload_optimizer=true", "+strategy.offload_parameters=true",
    ],
}  # fmt: skip
CELLS = [
    ("lora", "zero2"), ("lora", "zero3"), ("lora", "fsdp2"),
    ("packing", "zero3"), ("packing", "fsdp2"),
    ("budget", "ddp"), ("budget", "zero3"),
    ("tower", "zero3"), ("tower", "fsdp2"),
    ("critic", "fsdp2"),
    ("sft", "fsdp2"),
    ("together", "ddp"), ("together", "zero3"), ("together", "fsdp2"),
    ("together_budget", "ddp"), ("together_sft", "ddp"),
    ("together_tower", "fsdp2"), ("together_critic", "fsdp2"),
    ("plain", "zero1"), ("plain", "zero2"), ("plain", "zero2_offload"), ("plain", "zero3_offload"),
]  # fmt: skip
# runs that are compared with none of one process
FLAT = [
    "reward._target_=tests.integration.door.FallingReward", "optimizer.weight_decay=0.5",
    "optimizer.lr=0.1", "optimizer.warmup_frac=0",
]  # fmt: skip
MIXED = [
    VARIED_REWARD, "precision=bf16-mixed", "model.engine_dtype=bfloat16", "optimizer.lr=1e-6",
    "alignment.max_mean_gap=0.1", "alignment.max_gap=null", "optimizer.warmup_frac=0",
    "kl_coef=0.5",
]  # fmt: skip
MORE = {"flat_zero2": FLAT, "mixed_zero1": MIXED, "mixed_zero2": MIXED, "mixed_zero3": MIXED}
SAME = ("train/loss", "train/grad_norm", "train/entropy", "kl/ref", "critic/loss")


def of(what: str, *, micro_batch: int) -> list[str]:
    """8 sequences of an update: alone 2 micro-batches of 4; 2 ranks x 2 micro-batches of 2, or
    of a budget.
    """
    micro_batch = 4 if what.endswith("budget") else micro_batch
    group = "traces" if what.endswith("sft") else "plan"
    return [*WHAT[what], f"{group}.micro_batch_size={micro_batch}"]


def alike(what: str) -> str:
    """What one process does: with a budget of tokens the same as in padded rows, and so is what
    several read together.
    """
    what = what.removeprefix("together_")
    return "plain" if what in ("budget", "together") else what


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    for what in dict.fromkeys(alike(what) for what, _ in CELLS):
        combinations.run(folder, what, of(what, micro_batch=4))
    return folder


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them in one start of two processes, which takes longer than a run."""
    folder = tmp_path_factory.mktemp("together")
    two = {
        f"{what}_{how}": [*of(what, micro_batch=2), *HOW[how], "trainer.devices=2"]
        for what, how in CELLS
    }
    for name, overrides in MORE.items():
        strategy = f"strategy={name.partition('_')[2]}"
        two[name] = [*overrides, strategy, "plan.micro_batch_size=2", "trainer.devices=2"]
    (folder / "runs.json").write_text(json.dumps(two))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    worker = ["-m", "tests.integration.combinations", str(folder)]
    result = launch([*command, *worker], timeout=600)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-6000:]
    return folder


@pytest.mark.parametrize(("what", "how"), CELLS)
def test_two_processes_end_where_one_does(what: str, how: str, alone: Path, together: Path) -> None:
    wanted, found = metrics(alone, alike(what)), metrics(together, f"{what}_{how}")
    rel, atol = (1e-3, 2e-5) if what.endswith("budget") else (1e-4, 1e-5)
    assert found["train/grad_norm"] > 0.05  # clipping acts
    assert (found["split"] > 0) == what.startswith("together")
    for name in SAME:
        assert (name in found) == (name in wanted)
        if name in found:
            assert found[name] == pytest.approx(wanted[name], rel=rel, abs=1e-6), name
    wanted_weights = weights(alone / alike(what) / "run/model")
    found_weights = weights(together / f"{what}_{how}" / "run/model")
    assert found_weights.keys() == wanted_weights.keys()
    start = start_weights()
    assert max(float((wanted_weights[n] - start[n]).abs().max()) for n in start) > 1e-4
    for name, weight in found_weights.items():
        torch.testing.assert_close(weight, wanted_weights[name], atol=atol, rtol=0, msg=name)
    if what == "plain":
        assert same_weights(exported(together / f"{what}_{how}", phase=2), found_weights)


def test_phases_without_a_signal_leave_the_weights_alone(together: Path) -> None:
    assert same_weights(weights(together / "flat_zero2/run/model"), start_weights())


@pytest.mark.parametrize("strategy", ["zero1", "zero2", "zero3"])
def test_zero_computes_in_bfloat16_and_steps_float32(strategy: str, together: Path) -> None:
    root = together / f"mixed_{strategy}"
    logged = [one.metrics for one in read_metrics(root / "run/metrics.jsonl")]
    (kl, _), norms = ([one[k] for one in logged if k in one] for k in ("kl/ref", "train/grad_norm"))
    assert kl == pytest.approx(0.0, abs=1e-9)
    assert len(norms) == 2
    assert min(norms) > 0.0

    first, last = exported(root, phase=1), exported(root, phase=2)
    layers = [name for name in last if "layers." in name and "visual" not in name]
    moved = sum(int((first[name] != last[name]).sum()) for name in layers)
    assert moved > 0.9 * sum(last[name].numel() for name in layers)  # in bfloat16: nearly none


SRUN = """#!/bin/bash
# as SLURM's, of two machines with one process each
for node in 0 1; do
    SLURM_NODEID=$node SLURM_PROCID=$node SLURM_LOCALID=0 "$@" &
done
wait -n && wait -n
"""


@pytest.mark.parametrize("launcher", ["torchrun", pytest.param("slurm", marks=pytest.mark.long)])
def test_two_machines_end_where_one_process_does(
    launcher: str, alone: Path, tmp_path: Path
) -> None:
    name = f"two_{launcher}"
    words = [
        *SMALL, *QUIET, *of("plain", micro_batch=2), "strategy=fsdp2", "trainer.num_nodes=2",
        f"paths.root={tmp_path}", f"name={name}",
    ]  # fmt: skip
    if launcher == "torchrun":
        place = ["--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d"]
        place += [f"--rdzv-endpoint=localhost:{find_free_network_port()}"]
        command = [sys.executable, "-m", "torch.distributed.run", *place, "-m", "vigorl.train"]
        commands = [[*command, *words, "trainer.devices=1", f"paths.base={tmp_path}/run"]] * 2
        env = {}
    else:
        (tmp_path / "srun").write_text(SRUN)
        (tmp_path / "srun").chmod(0o755)
        number = str(random.randrange(10**6))
        env = {
            "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHON": sys.executable,
            "OUTPUTS": str(tmp_path), "SLURM_JOB_ID": number, "SLURM_JOB_NAME": "vigorl",
            "SLURM_JOB_NUM_NODES": "2", "SLURM_NNODES": "2", "SLURM_NTASKS": "2",
            "SLURM_NTASKS_PER_NODE": "1", "SLURM_NODELIST": "localhost",
        }  # fmt: skip
        commands = [["bash", "examples/slurm/train.sbatch", *words]]
    with ThreadPoolExecutor() as threads:
        results = list(threads.map(lambda one: launch(one, timeout=300, **env), commands))
    for result in results:
        assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-6000:]
    (model,) = tmp_path.glob("**/model/model.safetensors")
    wanted = weights(alone / "plain/run/model")
    for key, weight in weights(model.parent).items():
        torch.testing.assert_close(weight, wanted[key], atol=1e-5, rtol=0, msg=key)


def exported(root: Path, *, phase: int) -> dict[str, torch.Tensor]:
    path = root / f"run/checkpoints/phase-{phase:05d}.ckpt"
    return weights(export(str(path), f"{path}.model"))


def metrics(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / f"{name}.json").read_text())
