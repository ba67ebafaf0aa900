"""What the machine does meanwhile, for the tab "System metrics": MLflow's own monitors, without
their way of asking the store after each sample.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping

from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor


class SystemMetrics:
    """Samples processor, memory, disk, network and, where nvidia-ml-py is installed, the GPUs.

    Args:
        every_s: Seconds between samples.
        log: Gets "system/..." by name, and the sample's number.
    """

    def __init__(self, *, every_s: float, log: Callable[[Mapping[str, float], int], None]) -> None:
        self._every_s, self._log = every_s, log
        self._monitors = _monitors()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="system-metrics")
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        for monitor in self._monitors:  # the processor's first is 0, whatever it does
            monitor.collect_metrics()
            monitor.clear_metrics()
        while not self._stopped.wait(self._every_s):
            found: dict[str, float] = {}
            for monitor in self._monitors:
                monitor.collect_metrics()
                found |= monitor.aggregate_metrics() or {}
                monitor.clear_metrics()
            self._log({f"system/{name}": float(value) for name, value in found.items()}, number)
            number += 1


def _monitors() -> list[BaseMetricsMonitor]:
    monitors: list[BaseMetricsMonitor] = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    with contextlib.suppress(ImportError, RuntimeError):  # without the package, or without a GPU
        monitors.append(GPUMonitor())
    return monitors
