"""What devices can do at most, as their makers say: to compare a run with (`perf/mfu`), and to
predict one (`core.cost`).
"""

from __future__ import annotations

from dataclasses import dataclass

GB = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device.

    Attributes:
        name: Short, as `--plan=...` takes it.
        flops: Per second, dense, of 16-bit floats summed in 32 bits; of a CPU 32-bit ones.
        memory_bytes: In all.
        memory_rate: Bytes per second to and from its memory.
        link_rate: Bytes per second from one to another within a machine, one way.
        marks: Words that all stand in the name that CUDA gives it.
        source: Where these numbers are from.
    """

    name: str
    flops: float
    memory_bytes: float
    memory_rate: float
    link_rate: float
    marks: tuple[str, ...] = ()
    source: str = ""


# the first whose marks are all in a name is taken: special ones before general ones
DEVICES = (
    Device(
        name="h200", flops=989.5e12, memory_bytes=141 * GB, memory_rate=4.8e12, link_rate=450 * GB,
        marks=("NVIDIA H200",),
        source="NVIDIA H200 data sheet: 1,979 TFLOPS BF16 with sparsity, half of it dense; "
        "4.8 TB/s; NVLink 900 GB/s both ways",
    ),
    Device(
        name="h100-pcie", flops=756.5e12, memory_bytes=80 * GB, memory_rate=2.0e12,
        link_rate=64 * GB, marks=("NVIDIA H100", "PCIe"),
        source="NVIDIA H100 PCIe product brief: 1,513 TFLOPS BF16 with sparsity, half of it dense; "
        "2.0 TB/s; PCIe 5 x16 128 GB/s both ways",
    ),
    Device(
        name="h100-nvl", flops=835.5e12, memory_bytes=94 * GB, memory_rate=3.9e12,
        link_rate=300 * GB, marks=("NVIDIA H100", "NVL"),
        source="NVIDIA H100 NVL data sheet: 1,671 TFLOPS BF16 with sparsity, half of it dense; "
        "3.9 TB/s; NVLink 600 GB/s both ways",
    ),
    Device(
        name="h100", flops=989.5e12, memory_bytes=80 * GB, memory_rate=3.35e12,
        link_rate=450 * GB, marks=("NVIDIA H100",),
        source="NVIDIA H100 SXM data sheet: 1,979 TFLOPS BF16 with sparsity, half of it dense; "
        "3.35 TB/s; NVLink 900 GB/s both ways",
    ),
    Device(
        name="a100-pcie", flops=312e12, memory_bytes=80 * GB, memory_rate=1.935e12,
        link_rate=32 * GB, marks=("A100", "80GB", "PCIe"),
        source="NVIDIA A100 80GB PCIe data sheet: 312 TFLOPS BF16; 1,935 GB/s; PCIe 4 x16 64 GB/s "
        "both ways",
    ),
    Device(
        name="a100-40gb", flops=312e12, memory_bytes=40 * GB, memory_rate=1.555e12,
        link_rate=300 * GB, marks=("A100", "40GB"),
        source="NVIDIA A100 40GB SXM data sheet: 312 TFLOPS BF16; 1,555 GB/s; NVLink 600 GB/s both "
        "ways",
    ),
    Device(
        name="a100", flops=312e12, memory_bytes=80 * GB, memory_rate=2.039e12,
        link_rate=300 * GB, marks=("A100",),
        source="NVIDIA A100 80GB SXM data sheet: 312 TFLOPS BF16; 2,039 GB/s; NVLink 600 GB/s both "
        "ways",
    ),
)  # fmt: skip


def device_named(cuda_name: str) -> Device | None:
    """The device that CUDA calls so; None where it is none of these, or a part of one.

    >>> device_named("NVIDIA H100 80GB HBM3").name
    'h100'
    """
    if "MIG" in cuda_name:
        return None
    found = (one for one in DEVICES if all(mark in cuda_name for mark in one.marks))
    return next(found, None)
