"""Weights in parts over ranks, through Lightning: PyTorch's FSDP2, and DeepSpeed ZeRO with the
gradient scale right. Both on GPUs and, for tests and debugging, on CPUs.

Two things Lightning's own DeepSpeed strategy gets in the way of (lightning 2.6, deepspeed 0.19):

- Lightning divides the loss by `accumulate_grad_batches`, and DeepSpeed's `backward` divides it
again. AdamW hides it, but
  clipping, the gradient norm and Adam's eps do not. Here DeepSpeed is told not to.
- It refuses anything but CUDA, though DeepSpeed itself runs on CPUs over gloo.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.accelerators import CUDAAccelerator
from lightning.pytorch.plugins import DeepSpeedPrecision
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy, ModelParallelStrategy
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from vigorl.core.errors import ConfigError
from vigorl.models.parts import part_of, whole
from vigorl.models.policy import Policy
from vigorl.models.pretrained import parse_dtype
from vigorl.models.sharding import shard_policy, weight_mesh
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


class FSDP2Strategy(ModelParallelStrategy):
    """FSDP2: weights, gradients and AdamW's moments in parts over ranks, whole a layer at a time.

    A checkpoint is one file, that of one process to the name, gathered on the first rank's host.

    Args:
        copies: Of the whole model; each is in parts over `ranks / copies` neighbouring ranks, such
            as those of one machine. With 1, over all.
        gather_dtype: That weights travel in, such as "bfloat16"; None leaves them as they are.
    """

    def __init__(self, *, copies: int = 1, gather_dtype: str | None = None) -> None:
        super().__init__(save_distributed_checkpoint=False)
        self.copies = copies
        self.gather_dtype = None if gather_dtype is None else parse_dtype(gather_dtype)

    def setup_environment(self) -> None:
        num_ranks = self.num_nodes * self.num_processes
        if num_ranks % self.copies:
            raise ConfigError(
                f"strategy.copies={self.copies} must divide the {num_ranks} processes of "
                "trainer.devices x trainer.num_nodes"
            )
        self._data_parallel_size, self._tensor_parallel_size = num_ranks, 1
        super().setup_environment()

    def shard(self, policy: Policy) -> None:
        """Split a policy's weights; Lightning wants it done in `configure_model`."""
        shard_policy(policy, self.weight_mesh, gather_dtype=self.gather_dtype)

    @cached_property
    def weight_mesh(self) -> DeviceMesh:
        device = self.root_device.type
        return weight_mesh(device, num_ranks=self.world_size, copies=self.copies)

    # ---- checkpoints: Lightning's own number AdamW's states by another order than AdamW ----------

    @property
    def lightning_restore_optimizer(self) -> bool:
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        assert self.lightning_module is not None
        return self._gathered(self.lightning_module.state_dict())

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        return self._gathered(getattr(optimizer, "optimizer", optimizer).state_dict())

    def _gathered(self, state: Any) -> Any:
        """On the first rank's host; the others take part, and keep nothing."""
        if isinstance(state, dict):
            return {name: self._gathered(value) for name, value in state.items()}
        if not isinstance(state, Tensor):
            return state
        full = whole(state)
        return full.detach().to("cpu", copy=True) if self.is_global_zero else None

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> Any:
        with tensors_only(Path(checkpoint_path)):  # its file is mapped: each rank reads its part
            return torch.load(checkpoint_path, map_location="cpu", mmap=True, weights_only=True)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        module = self.lightning_module
        assert module is not None
        state, own = checkpoint["state_dict"], module.state_dict()
        parts = {n: part_of(w, like=own[n]) if n in own else w for n, w in state.items()}
        module.load_state_dict(parts, strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            weights = [weight for group in optimizer.param_groups for weight in group["params"]]
            ids = [i for group in state["param_groups"] for i in group["params"]]
            parts = {
                i: {name: part_of(value, like=weight) for name, value in state["state"][i].items()}
                for i, weight in zip(ids, weights, strict=True)
                if i in state["state"]
            }
            optimizer.load_state_dict({**state, "state": parts})


def gathers_by_call(strategy: object) -> bool:
    """Whether weights are gathered by calls of modules, which ranks must make equally often."""
    return isinstance(strategy, FSDP2Strategy) or getattr(strategy, "zero_stage_3", False)


def compile_nothing() -> None:
    """Keep DeepSpeed from building its collectives for CPUs at the first start: that takes minutes
    and a C++ compiler, and a start that is killed meanwhile blocks all later ones by its lock file.
    """
    import deepspeed.ops  # optional, and slow to import

    deepspeed.ops.__dict__.setdefault("__compatible_ops__", {})
