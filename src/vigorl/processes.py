"""What the processes of a run agree on before Lightning connects them: the first one decides, the
others wait for what it says.

They meet at the address of Lightning's own connection. torchrun and SLURM give it; for processes
that Lightning will start it is chosen here, and they inherit it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from functools import cache

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import (
    LightningEnvironment,
    find_free_network_port,
)
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from omegaconf import DictConfig
from torch.distributed import PrefixStore, Store, TCPStore  # pyright: ignore[reportPrivateImportUsage]

from vigorl.core.errors import ConfigError

WAIT = timedelta(hours=1)  # the first process may have a world to draw


def is_first_process() -> bool:
    """Known before there is a Trainer; of all nodes."""
    return _cluster().node_rank() == 0 and _cluster().local_rank() == 0


def from_first_process(cfg: DictConfig, key: str, make: Callable[[], str]) -> str:
    """What `make` returns in the first process, in all of them; called in no other.

    Args:
        cfg: Says how many processes there are.
        key: Names the value; once per run.
        make: May take up to an hour.
    Raises:
        ConfigError: torchrun has started another number of processes than the config says.
    """
    num_processes = cfg.trainer.devices * cfg.trainer.num_nodes
    cluster = _cluster()
    if isinstance(cluster, TorchElasticEnvironment) and cluster.world_size() != num_processes:
        raise ConfigError(
            f"torchrun started {cluster.world_size()} processes, but trainer.devices="
            f"{cfg.trainer.devices} x trainer.num_nodes={cfg.trainer.num_nodes}"
        )
    if num_processes == 1:
        return make()
    if is_first_process():
        _store().set(key, make())
    return _store().get(key).decode()


def _cluster() -> ClusterEnvironment:
    """The one that Lightning will choose."""
    for kind in (TorchElasticEnvironment, SLURMEnvironment):
        if kind.detect():
            return kind()
    return LightningEnvironment()


@cache
def _store() -> Store:
    """One per process; the first process's serves the others, unless torchrun does."""
    cluster = _cluster()
    if not cluster.creates_processes_externally:
        os.environ.setdefault("MASTER_PORT", str(find_free_network_port()))
    is_served = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store = TCPStore(
        cluster.main_address,
        cluster.main_port,
        is_master=is_first_process() and not is_served,
        timeout=WAIT,
        wait_for_workers=False,
        multi_tenant=True,  # Lightning's connection will use the same port
    )
    return PrefixStore(f"vigorl/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
