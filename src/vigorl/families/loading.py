"""Model folders are read whole, or refused in one line that names the folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForImageTextToText, PreTrainedModel

from vigorl.core.errors import ConfigError, VigorlError


@contextmanager
def reading(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Inside, what libraries raise on a file that is missing, cut, or of another model is an error
    of ours.

    Args:
        folder: Of the model, for the error.
    Raises:
        ConfigError: Something in it cannot be read.
    """
    try:
        yield
    except VigorlError:
        raise
    except (OSError, ValueError, LookupError, RuntimeError, SafetensorError) as error:
        text = str(error) or type(error).__name__
        is_of_machine = isinstance(error, OSError) and error.errno is not None
        is_of_shapes = "ignore_mismatched_sizes" in text
        if is_of_machine or (isinstance(error, RuntimeError) and not is_of_shapes):
            raise
        first = "its weights are of other shapes" if is_of_shapes else text.splitlines()[0][:200]
        raise ConfigError(
            f"{folder} cannot be read as a model ({first}): copy it anew, or write it again with "
            "python -m vigorl.export"
        ) from error


def load_model(
    folder: str | os.PathLike[str], *, dtype: torch.dtype, attn_implementation: str
) -> PreTrainedModel:
    """The model of a folder, every weight of it read.

    Raises:
        ConfigError: A weight is missing or of the wrong shape (transformers would make one up at
            random), or a file cannot be read.
    """
    loaded: Any
    with reading(folder):
        loaded = AutoModelForImageTextToText.from_pretrained(
            folder,
            dtype=dtype,
            attn_implementation=attn_implementation,
            output_loading_info=True,
            trust_remote_code=False,
        )
    model, loading = loaded
    for problem in ("missing_keys", "mismatched_keys"):
        if loading[problem]:
            first = sorted(map(str, loading[problem]))[:3]
            raise ConfigError(f"{folder}: {len(loading[problem])} {problem}, such as {first}")
    return model
