from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from vigorl.stopping import stopped_by_signals


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_says_how_to_go_on(
    number: int, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = OmegaConf.create({"resume": None, "stages": ["x"], "paths": {"base": str(tmp_path)}})
    before = signal.getsignal(number)
    (tmp_path / "x").mkdir()
    (tmp_path / "x/run.json").touch()
    with pytest.raises(SystemExit) as caught, stopped_by_signals("train", cfg):
        os.kill(os.getpid(), number)
    assert caught.value.code == code
    assert f"python -m vigorl.train 'resume=\"{tmp_path}\"' goes on" in capsys.readouterr().err
    assert signal.getsignal(number) == before


def test_before_a_run_has_begun_there_is_nothing_to_go_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = OmegaConf.create({"resume": None, "paths": {"run": str(tmp_path)}})
    with pytest.raises(SystemExit), stopped_by_signals("train", cfg):
        os.kill(os.getpid(), signal.SIGTERM)
    assert "nothing was begun yet" in capsys.readouterr().err
