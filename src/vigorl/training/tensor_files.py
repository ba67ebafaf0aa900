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
        with torch.serialization.safe_globals(_of_deepspeed(path)), of_this_run(path):
            yield
    except RuntimeError as error:
        if not any(word in str(error) for word in _OF_TORCHS_READER):
            raise
        raise DataError(f"is damaged ({str(error).splitlines()[0][:160]})", path=path) from error
    finally:
        if before is None:
            del os.environ[_FORCE]
        else:
            os.environ[_FORCE] = before


@contextmanager
def of_this_run(path: Path | None) -> Iterator[None]:
    """Inside, a checkpoint that is not of tensors alone, or of another model, is refused by name.

    Args:
        path: What is read; None where nothing is.
    Raises:
        ConfigError: It is such a one.
    """
    try:
        yield
    except pickle.UnpicklingError as error:
        raise ConfigError(_not_tensors(path, error)) from error
    except RuntimeError as error:
        if path is None or "Error(s) in loading state_dict" not in str(error):
            raise
        first = " ".join(str(error).splitlines()[1].split())
        raise ConfigError(f"{path} is of another model: {first}") from error


def _not_tensors(path: Path | None, error: pickle.UnpicklingError) -> str:
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
