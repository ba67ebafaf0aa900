"""One of two processes of test_processes.py: what they agree on, a line each, in FOLDER."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from omegaconf import OmegaConf

from vigorl.processes import from_first_process, is_first_process


def main(folder: Path) -> None:
    cfg = OmegaConf.create({"trainer": {"devices": 2, "num_nodes": 1}})
    for key in ("base", "model"):
        made = f"{key} of {os.getpid()}"
        print(is_first_process(), from_first_process(cfg, key, lambda made=made: made))
    if is_first_process():  # as in a run, it lives longer than the questions of the others
        while not (folder / "asked").exists():
            time.sleep(0.01)
    else:
        (folder / "asked").touch()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
