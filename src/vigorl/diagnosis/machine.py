"""What is there: devices, memory, shared memory; and whether it is what the settings ask for."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig

from vigorl.core.memory import GIB
from vigorl.diagnosis.engine import engine_kind
from vigorl.diagnosis.report import Row, Status

PUBLISH_BYTES = GIB  # a bucket of `models.weight_export.export_weights`
PROCESS_GROUP_BYTES = 64 * 2**20  # NCCL and gloo, per process


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes, in all and free."""

    total: int
    free: int


@dataclass(frozen=True, slots=True)
class Machine:
    """One node.

    Attributes:
        gpus: Memory of each.
        num_cpus: Cores that this process may use.
        ram: Within the limit of the container, if there is one.
        shared: /dev/shm; None where there is none.
    """

    gpus: tuple[Space, ...]
    num_cpus: int
    ram: Space
    shared: Space | None


def look() -> Machine:
    """At the machine that this runs on; makes a CUDA context on each GPU."""
    found = (torch.cuda.mem_get_info(i) for i in range(torch.cuda.device_count()))
    shared = Path("/dev/shm")
    return Machine(
        gpus=tuple(Space(total, free) for free, total in found),
        num_cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
        ram=_ram(),
        shared=_disk(shared) if shared.is_dir() else None,
    )


def _disk(folder: Path) -> Space:
    usage = shutil.disk_usage(folder)
    return Space(usage.total, usage.free)


def _ram() -> Space:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    free, info = total, Path("/proc/meminfo")
    if info.is_file():
        lines = dict(line.split(":", 1) for line in info.read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    limit, used = (Path("/sys/fs/cgroup", f"memory.{name}") for name in ("max", "current"))
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text))
        free = min(free, total - int(used.read_text()))
    return Space(total, max(free, 0))


def is_on_gpu(cfg: DictConfig, machine: Machine) -> bool:
    """Whether Lightning will train on CUDA."""
    return cfg.trainer.accelerator in ("gpu", "cuda") or (
        cfg.trainer.accelerator == "auto" and bool(machine.gpus)
    )


def check_devices(cfg: DictConfig, machine: Machine) -> list[Row]:
    """As many devices as `trainer.devices` asks for."""
    wanted = cfg.trainer.devices
    where = f"trainer.accelerator={cfg.trainer.accelerator} trainer.devices={wanted}"
    if is_on_gpu(cfg, machine):
        found = len(machine.gpus)
        status = Status.OK if found >= wanted else Status.FAIL
        sizes = sorted({f"{gpu.total / GIB:.0f}" for gpu in machine.gpus})
        here = f"{found} here of {' and '.join(sizes)} GiB" if found else "none here"
        return [Row(status, "GPUs", f"{here}; {where}")]
    status = Status.OK if wanted <= machine.num_cpus else Status.WARN
    return [Row(status, "CPU", f"{machine.num_cpus} cores, no GPU is used; {where}")]


def check_shared_memory(cfg: DictConfig, machine: Machine) -> list[Row]:
    """Room in /dev/shm for weights on their way to an engine of another process, for loader
    workers, and for what connects several ranks.
    """
    needed = 0 if engine_kind(cfg) in ("hf", "scripted", "") else PUBLISH_BYTES
    if cfg.trainer.devices > 1:
        needed += cfg.trainer.devices * PROCESS_GROUP_BYTES
    if machine.shared is None:
        return [Row(Status.WARN if needed else Status.NOTE, "shared memory", "no /dev/shm here")]
    is_enough = machine.shared.free >= needed
    text = f"{machine.shared.free / GIB:.2f} GiB free in /dev/shm, {needed / GIB:.2f} needed"
    if not is_enough:
        text += "; in a container: --shm-size or --ipc=host"
    return [Row(Status.OK if is_enough else Status.FAIL, "shared memory", text)]


def check_disk(cfg: DictConfig, *, needed: int) -> list[Row]:
    """Room under `paths.outputs` for what a run leaves there."""
    free = _disk(existing_parent(Path(cfg.paths.outputs))).free
    text = f"{free / GIB:.1f} GiB free at {cfg.paths.outputs}, a run leaves {needed / GIB:.2f}"
    if free >= needed:
        return [Row(Status.OK, "disk", text)]
    return [Row(Status.FAIL, "disk", f"{text}: set paths.outputs to another disk")]


def existing_parent(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    path = path.expanduser().absolute()
    return next(one for one in (path, *path.parents) if one.exists())
