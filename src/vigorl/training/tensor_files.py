"""Checkpoints are read as tensors and plain values: what would run code is refused."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from vigorl.core.errors import ConfigError, DataError

_OF_TORCHS_READER = ("PytorchStreamReader", "file in archive is not in a subdirectory")
_FORCE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


@contextmanager
def tensors_only(path: Path) -> Iterator[None]:
    """Inside, `torch.load` takes tensors and plain values alone, whatever its caller asks for.

    Args:
        path: What is read, for the error.
    Raises:
        ConfigError: There is something else in it.
        DataError: It is damaged.
    """
    before = os.environ.get(_FORCE)
    os.environ[_FORCE] = "1"
    try:
        with torch.serialization.safe_globals(_of_deepspeed(path)):
            yield
    except pickle.UnpicklingError as error:
        raise ConfigError(not_tensors(path, error)) from error
    except RuntimeError as error:
        if not any(word in str(error) for word in _OF_TORCHS_READER):
            raise
        raise DataError(f"is damaged ({str(error).splitlines()[0][:160]})", path=path) from error
    finally:
        if before is None:
            del os.environ[_FORCE]
        else:
            os.environ[_FORCE] = before


def not_tensors(path: Path, error: pickle.UnpicklingError) -> str:
    """What is wrong with a file that is not of tensors and plain values alone."""
    found = next((line for line in str(error).splitlines() if "WeightsUnpickler" in line), "")
    return (
        f"{path} is no checkpoint of vigorl: it is more than tensors and plain values, and reading "
        f"it could run code ({' '.join(found.split())[:160] or str(error)[:160]})"
    )


def _of_deepspeed(path: Path) -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """The few plain types that its folders hold."""
    if not path.is_dir():
        return []
    from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    return [DynamicLossScaler, LossScaler, ZeroStageEnum, fragment_address]
