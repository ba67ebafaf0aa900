"""How new weights reach vLLM in this process: a backend of vLLM's own weight-transfer interface.

vLLM's backends move weights between processes (nccl, ipc). Here trainer and engine share one, so a
weight is handed over as it is and copied once, into vLLM's layout. Imports vLLM: only `vllm.py`
imports this file, once vLLM is wanted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from vllm.distributed.weight_transfer.base import (  # pyright: ignore[reportMissingImports]
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory  # pyright: ignore[reportMissingImports]
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead  # pyright: ignore[reportMissingImports]
from vllm.model_executor.model_loader.reload import (  # pyright: ignore[reportMissingImports]
    finalize_layerwise_reload,
    initialize_layerwise_reload,
)

BACKEND = "vigorl_same_process"


def register() -> None:
    """Make the backend known to vLLM; again is no error."""
    if BACKEND not in WeightTransferEngineFactory._registry:
        WeightTransferEngineFactory.register_engine(BACKEND, SameProcessTransfer)


@dataclass
class NothingToSay(WeightTransferInitInfo):
    """There is no rendezvous within a process."""


@dataclass
class Weights(WeightTransferUpdateInfo):
    """(name in the model's folder, tensor); may be a generator, which is run through once."""

    weights: Iterable[tuple[str, Tensor]]


class SameProcessTransfer(WeightTransferEngine[NothingToSay, Weights]):
    """Loads what it is handed, layer by layer as vLLM reloads a checkpoint, and misses nothing."""

    init_info_cls, update_info_cls = NothingToSay, Weights
    _missing: set[str]

    def init_transfer_engine(self, init_info: NothingToSay) -> None:
        pass

    def start_weight_update(self) -> None:
        # a tied weight counts once, as long as it is one tensor
        self._missing = {name for name, _ in self.model.named_parameters()}
        initialize_layerwise_reload(self.model)

    def receive_weights(self, update_info: Weights) -> None:
        load: Any = self.model.load_weights
        with torch.device(self.device):
            self._missing -= load(update_info.weights)

    def finish_weight_update(self) -> None:
        """Raises ValueError where a weight never came."""
        with torch.device(self.device):
            finalize_layerwise_reload(self.model, self.model_config)
            for head in self._tied_heads():
                head.quant_method.process_weights_after_loading(head)
        if self._missing:
            some = min(self._missing)
            raise ValueError(f"{len(self._missing)} weights did not come, such as {some}")

    def _tied_heads(self) -> list[Any]:
        """Output heads whose weight came as the embedding's, so that vLLM has not prepared it anew:
        its CPU kernels multiply with a copy of their own.
        """
        heads = [module for module in self.model.modules() if isinstance(module, ParallelLMHead)]
        shared = {p.data_ptr() for n, p in self.model.named_parameters() if "embed_tokens" in n}
        return [head for head in heads if head.weight.data_ptr() in shared]

    def shutdown(self) -> None:
        pass
