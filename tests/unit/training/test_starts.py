"""A start is made once, by a run of its own, and a failed run says which."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from vigorl.core.errors import ConfigError
from vigorl.data import locks
from vigorl.training import starts


def _run(command: list[str], *, code: int) -> subprocess.CompletedProcess[str]:
    base = next(word for word in command if word.startswith("paths.base=")).partition("=")[2]
    (Path(base) / "model").mkdir(parents=True)
    return subprocess.CompletedProcess(command, code, "", "line\nerror: no such thing\n")


def test_a_start_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = list[list[str]]()

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return _run(command, code=0)

    monkeypatch.setattr(starts.subprocess, "run", run)
    folder = str(tmp_path / "cold")
    for _ in range(2):
        made = starts.make_start(experiment="sft_start", folder=folder, settings=["seed=1"])
        assert made == folder
        assert Path(folder).is_dir()
    (command,) = commands
    assert command[1:] == [
        "-m", "vigorl.train", "experiment=sft_start", f"paths.base={folder}.run", "seed=1"
    ]  # fmt: skip


def test_a_start_that_cannot_be_made_names_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starts.subprocess, "run", lambda command, **_: _run(command, code=1))
    with pytest.raises(ConfigError, match=r"experiment=sft_start.*error: no such thing"):
        starts.make_start(experiment="sft_start", folder=str(tmp_path / "cold"))
    assert not (tmp_path / "cold").exists()


def test_who_waits_for_another_run_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locks, "TELL_S", 0.01)
    folder = tmp_path / "cold"
    makes = FileLock(f"{folder}.lock")
    makes.acquire()
    wait = {"experiment": "sft_start", "folder": str(folder)}
    waits = threading.Thread(target=starts.make_start, kwargs=wait)
    waits.start()
    deadline = time.monotonic() + 20
    while not caplog.messages and time.monotonic() < deadline:
        time.sleep(0.01)
    assert waits.is_alive()
    folder.mkdir()
    makes.release()
    waits.join(20)
    assert not waits.is_alive()
    assert caplog.messages == [
        f"another run makes the start {folder}, in {folder}.run; waiting until it lets go of "
        f"{folder}.lock"
    ]
