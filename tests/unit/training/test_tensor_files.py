"""What a foreign checkpoint may hold."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch

from vigorl.core.errors import ConfigError
from vigorl.training.tensor_files import of_this_run, tensors_only


class Payload:
    """Makes a folder where it is unpickled; harmless."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.folder),)


def test_tensors_and_plain_values_are_read(tmp_path: Path) -> None:
    path = tmp_path / "phase-00001.ckpt"
    torch.save({"state_dict": {"weight": torch.ones(2)}, "epoch": 1, "seen": ("val", None)}, path)
    with tensors_only(path):
        assert torch.load(path, weights_only=False)["state_dict"]["weight"].tolist() == [1, 1]


def test_a_checkpoint_of_another_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "phase-00001.ckpt"
    with pytest.raises(ConfigError, match=r"ckpt is of another model: .*size mismatch for weight"):  # noqa: SIM117
        with of_this_run(path):
            torch.nn.Linear(2, 2).load_state_dict(
                {"weight": torch.ones(3, 3), "bias": torch.ones(2)}
            )
    with pytest.raises(RuntimeError, match="odd"), of_this_run(path):
        raise RuntimeError("odd")


@pytest.mark.parametrize("in_zip", [True, False])
def test_a_foreign_checkpoint_runs_no_code(in_zip: bool, tmp_path: Path) -> None:
    path, made = tmp_path / "phase-00001.ckpt", tmp_path / "made"
    hostile = {"state_dict": {}, "epoch": Payload(made)}
    if in_zip:
        torch.save(hostile, path)
    else:
        path.write_bytes(pickle.dumps(hostile, protocol=2))
    with (
        pytest.raises(ConfigError, match=r"phase-00001\.ckpt is no checkpoint of vigorl"),
        tensors_only(path),
    ):
        torch.load(path, weights_only=False)  # as DeepSpeed reads its own
    assert not made.exists()
