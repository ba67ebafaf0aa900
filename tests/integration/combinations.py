"""One rank of test_combinations.py: small runs, one after the other in the same processes.

    python -m torch.distributed.run --nproc-per-node=2 -m tests.integration.combinations FOLDER

FOLDER/runs.json: {name: overrides}. Each leaves FOLDER/NAME/run/model, and in FOLDER/NAME.json its
last metrics and, as "split", how often the first process took its part of a row.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import torch.distributed as dist

from tests.integration.door import VARIED_REWARD, settings
from vigorl.models.context_parallel import SplitRow
from vigorl.ranks import own_rank
from vigorl.train import train

QUIET = ["logger=none", "rollout.eval_every=0"]
# a KL, because on-policy advantages alone make a loss of 0, so that the first step would be of
# rounding errors; and a large eps for those that are left
WORK = [
    VARIED_REWARD, "kl_coef=0.5", "gradient_clip=0.05", "optimizer.warmup_frac=0",
    "+optimizer.eps=1e-5",
]  # fmt: skip


def run(folder: Path, name: str, overrides: Sequence[str]) -> None:
    root = folder / name
    # what the processes agree on is kept by the run's name
    own = [f"name={name}", f"paths.run={root}/run"]
    with patch.object(SplitRow, "own", autospec=True, side_effect=SplitRow.own) as split:
        found = train(settings(root, *QUIET, *overrides, *own)) | {"split": split.call_count}
    if own_rank() == 0:
        (folder / f"{name}.json").write_text(json.dumps(found))


def main(folder: Path) -> None:
    for name, overrides in json.loads((folder / "runs.json").read_text()).items():
        run(folder, name, overrides)
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
