"""DeepSpeed ZeRO through Lightning, with the gradient scale right, on GPUs and, for tests and
debugging, on CPUs.

Two things Lightning's own strategy gets in the way of (lightning 2.6, deepspeed 0.19):

- Lightning divides the loss by `accumulate_grad_batches`, and DeepSpeed's `backward` divides it
again. AdamW hides it, but
  clipping, the gradient norm and Adam's eps do not. Here DeepSpeed is told not to.
- It refuses anything but CUDA, though DeepSpeed itself runs on CPUs over gloo.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.accelerators import CUDAAccelerator
from lightning.pytorch.plugins import DeepSpeedPrecision
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy
from torch import Tensor

from vigorl.training.tensor_files import tensors_only


class _KeptInputs(DeepSpeedPrecision):
    """Lightning's own casts a batch's floats in place; ours are frozen, and stay float32."""

    def convert_input(self, data: Any) -> Any:
        return data


class ZeROStrategy(DeepSpeedStrategy):
    """ZeRO stage 1, 2 or 3.

    Under bf16-mixed stages 2 and 3 sum gradients in float32, stage 1 in bfloat16: with float32
    there, DeepSpeed writes checkpoints that its own reader (and so `export`) cannot read.

    Args:
        stage: What is partitioned over ranks: 1 optimizer states, 2 and gradients, 3 and weights.
        kwargs: Of Lightning's `DeepSpeedStrategy` (offload, bucket sizes, a config file).
    """

    def __init__(self, *, stage: int, **kwargs: Any) -> None:
        if not torch.cuda.is_available():
            kwargs.setdefault("process_group_backend", "gloo")
        # only for DeepSpeed's log; it would look for the loader's batch size, which ours has not
        kwargs.setdefault("logging_batch_size_per_gpu", 1)
        super().__init__(stage=stage, **kwargs)
        if isinstance(self.config, dict):  # AdamW is ours, also where its states are offloaded
            self.config.setdefault("zero_force_ds_cpu_optimizer", False)
            if stage > 1:  # hundreds of micro-batches summed in bfloat16 would lose the last ones
                self.config.setdefault("data_types", {"grad_accum_dtype": "fp32"})

    @property
    def root_device(self) -> torch.device:
        if self._is_cuda:
            return super().root_device
        return torch.device("cpu", self.local_rank)

    def setup_environment(self) -> None:
        self.precision_plugin = _KeptInputs(self.precision_plugin.precision)  # pyright: ignore[reportArgumentType]
        if self._is_cuda:
            super().setup_environment()
        else:
            compile_nothing()
            super(DDPStrategy, self).setup_environment()  # DeepSpeedStrategy's own refuses CPUs
            self.setup_distributed()

    def setup_distributed(self) -> None:
        if self._is_cuda:
            super().setup_distributed()
        else:
            self.set_world_ranks()
            self._init_deepspeed_distributed()

    def backward(self, closure_loss: Tensor, optimizer: Any, *args: Any, **kwargs: Any) -> Tensor:
        return super().backward(closure_loss, optimizer, *args, scale_wrt_gas=False, **kwargs)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> Any:
        with tensors_only(Path(checkpoint_path)):  # DeepSpeed itself would run what is in it
            return super().load_checkpoint(checkpoint_path, weights_only)

    @property
    def _is_cuda(self) -> bool:
        return isinstance(self.accelerator, CUDAAccelerator)


def compile_nothing() -> None:
    """Keep DeepSpeed from building its collectives for CPUs at the first start: that takes minutes
    and a C++ compiler, and a start that is killed meanwhile blocks all later ones by its lock file.
    """
    import deepspeed.ops  # optional, and slow to import

    deepspeed.ops.__dict__.setdefault("__compatible_ops__", {})
