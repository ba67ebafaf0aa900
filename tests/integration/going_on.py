"""A run that is gone on with, in this process."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.integration.door import history, settings
from vigorl.train import train


def go_on_from(phase: int, whole: Path, root: Path, *overrides: str) -> None:
    """A run once more from one of its checkpoints, as if it had been killed before the next. What a
    kill leaves half done is `test_resume.py`'s.

    Args:
        phase: How many of its phases are kept; their checkpoint must be there.
        whole: Root of the finished run, which stays as it is.
        root: Of its copy.
        overrides: Its own.
    """
    shutil.copytree(whole, root)
    run = root / "run"
    for one in (run / "checkpoints").iterdir():
        if not one.name.startswith(f"phase-{phase:05d}"):
            shutil.rmtree(one) if one.is_dir() else one.unlink()
    shutil.rmtree(run / "model")
    train(settings(root, *overrides, f"resume={run}"))
    logged = [len(history(one, "train/loss")) for one in (whole, root)]
    assert logged[0] < logged[1] < 2 * logged[0]  # the rest a second time, and it alone
