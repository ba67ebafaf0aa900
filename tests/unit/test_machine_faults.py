from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from safetensors import SafetensorError

from vigorl.core.errors import EngineError, VigorlError
from vigorl.machine_faults import machine_fault, told_in_one_line

CUDA = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB"
CPU = "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: 8"
ZIP = "[enforce fail at inline_container.cc:868] file write failed: 3 vs 0"


def caused(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device: make room"),
        (OSError(errno.ENOSPC, "No space left on device", "/a", None, "/b"), "/b: No space left"),
        (RuntimeError(ZIP), "No space left on device: make room"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "make room"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/x"),
            "/x: Permission denied: give",
        ),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/x"), "/x: Not a directory: a file"),
        (MemoryError(), "out of memory: lower plan.micro_batch_size (of SFT"),
        (RuntimeError(CUDA), "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total"),
        (RuntimeError(CPU), "can't allocate memory"),
        (caused(EngineError("3 requests failed"), RuntimeError(CUDA)), "model.gradient_checkpoint"),
    ],
)
def test_what_the_machine_refuses_is_told_apart(error: Exception, words: str) -> None:
    said = machine_fault(error, door="train")
    assert said is not None
    assert words in said
    assert "\n" not in said


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes do not match"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "x"),  # a fault of the code?
        EngineError("the server is out of memory"),  # has said it in its own words
    ],
)
def test_other_faults_are_not(error: Exception) -> None:
    assert machine_fault(error, door="train") is None


def test_only_what_a_door_has_is_named() -> None:
    said = machine_fault(MemoryError(), door="evaluate")
    assert said is not None
    assert "engine.max_batch_size" in said
    assert "micro_batch_size" not in said


def test_the_traceback_is_kept_in_the_runs_folder(tmp_path: Path) -> None:
    (tmp_path / "run.json").touch()
    cfg = OmegaConf.create({"resume": None, "paths": {"run": str(tmp_path)}})
    (tmp_path / "file").touch()
    with (
        pytest.raises(VigorlError, match="goes on; the traceback is in") as caught,
        told_in_one_line("train", cfg),
    ):
        (tmp_path / "file/x").write_text("")
    assert "\n" not in str(caught.value)
    kept = tmp_path / f"traceback-{os.getpid()}.txt"
    assert str(kept) in str(caught.value)
    assert "test_the_traceback_is_kept" in kept.read_text()


def test_without_a_folder_it_is_kept_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cfg = OmegaConf.create({"folder": "x"})
    with pytest.raises(VigorlError, match="begin it again"), told_in_one_line("export", cfg):
        raise MemoryError
    assert list(tmp_path.glob("traceback-*.txt"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    with pytest.raises(MemoryError), told_in_one_line("export", OmegaConf.create({})):
        raise MemoryError  # with its traceback, as nothing can be written


def test_a_fault_of_the_code_shows_itself(tmp_path: Path) -> None:
    cfg = OmegaConf.create({"resume": None, "paths": {"run": str(tmp_path)}})
    with pytest.raises(RuntimeError, match="shapes"), told_in_one_line("train", cfg):
        raise RuntimeError("shapes do not match")
    assert sys.exc_info() == (None, None, None)
    assert not list(tmp_path.iterdir())
