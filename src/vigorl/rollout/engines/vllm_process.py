"""vLLM as a guest of this process: the variables it reads, the ranks it joins, and the generators
and threads that it would leave changed.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from vigorl.core.errors import ConfigError

ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine core lives in this process
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # the trainer's threads are these threads
    "VLLM_NO_USAGE_STATS": "1",
}


def launcher(tensor_parallel_size: int) -> dict[str, Any]:
    """vLLM in the group that Lightning has made, where there is one."""
    if not (dist.is_initialized() and dist.get_world_size() > 1):
        if tensor_parallel_size > 1:
            raise ConfigError(
                f"engine.tensor_parallel_size={tensor_parallel_size} needs as many ranks: set "
                "trainer.devices"
            )
        return {}
    if dist.get_world_size() % tensor_parallel_size:
        raise ConfigError(
            f"engine.tensor_parallel_size={tensor_parallel_size} does not divide the "
            f"{dist.get_world_size()} ranks"
        )
    os.environ["RANK"] = str(dist.get_rank())
    os.environ.setdefault("LOCAL_RANK", "0")
    return {"distributed_executor_backend": "external_launcher"}


@contextmanager
def undisturbed() -> Iterator[None]:
    """vLLM seeds every generator of the process and replaces `torch.set_num_threads`; take both
    back.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    set_num_threads, num_threads = torch.set_num_threads, torch.get_num_threads()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        torch.set_num_threads = set_num_threads
        torch.set_num_threads(num_threads)
