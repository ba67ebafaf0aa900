"""A start is made once, by a run of its own, and a failed run says which."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path

import pytest

from tests.unit.held_lock import said_while_held
from vigorl.core.errors import ConfigError
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
    folder = tmp_path / "cold"
    said = said_while_held(
        folder,
        partial(starts.make_start, experiment="sft_start", folder=str(folder)),
        caplog=caplog,
        monkeypatch=monkeypatch,
        meanwhile=folder.mkdir,
    )
    assert said == [
        f"another run makes the start {folder}, in {folder}.run; waiting until it lets go of "
        f"{folder}.lock"
    ]
