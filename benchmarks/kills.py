"""Does a run that is killed anywhere come to the same numbers? kill -9 at random moments of GRPO,
SFT, search, evaluation, a run in stages, and of a first start, each then gone on with as a person
would.

    python benchmarks/kills.py [kills=12] [seed=0] [folder=/tmp/kills] [jobs=grpo,sft]
    python benchmarks/kills.py jobs=stages at=all    # or at=2,3: moments of stage_moments.py

Every job is run whole once; then `kills` times it is begun in a folder of its own, killed at a
random moment of its length, and gone on with (up to three kills) until it ends. What is compared:
weights, rollouts, trees, chains, answers, to the last byte, and of metrics all but times. Processes
are forked from one that has all imports behind it, so moments are moments of work.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from stage_moments import MOMENTS, Moment

TIMES = ("perf/", "time/")  # in names of metrics
SMALL = ["num_threads=1", "trainer.accelerator=cpu"]
WORLD = ["data.num_train=16", "data.num_val=4", "data.num_test=16"]
PHASES = [
    "num_phases=3", "plan.prompts_per_phase=4", "plan.group_size=4", "plan.sequences_per_update=16",
    "plan.micro_batch_size=8", "callbacks.checkpoint.every=1", "rollout.eval_every=1",
]  # fmt: skip


STAGES = [
    "num_phases=2", "+stages.collect.num_phases=4", "stages.sft.data.num_traces=64",
    "traces.sequences_per_update=16",
    "stages.dpo.pairs.pairs_per_update=1", "stages.dpo.pairs.micro_batch_size=1",
    "stages.own.traces.sequences_per_update=2", "+stages.own.traces.micro_batch_size=1",
]  # fmt: skip


@dataclass(frozen=True)
class Job:
    """A command, how it is gone on with, and the files that are its result.

    Attributes:
        door: Module of `vigorl`.
        words: Its overrides.
        results: Patterns in the run's folder.
    """

    door: str
    words: Sequence[str]
    results: Sequence[str]


GRPO = Job("train", ["experiment=grpo_vstar", *WORLD, *PHASES],
           ["model/model.safetensors", "rollouts/train_phase_*.jsonl"])  # fmt: skip
JOBS = {
    "grpo": GRPO,
    "sft": Job("train", ["experiment=sft_vstar", *WORLD, "stages=null", "data.num_traces=32",
                         "max_epochs=3", "traces.sequences_per_update=16",
                         "callbacks.checkpoint.every=1"],
               ["model/model.safetensors"]),
    "search": Job("synthesize", ["experiment=mcts_vstar", *WORLD, "limit=12"],
                  ["trees.jsonl", "chains.jsonl"]),
    "evaluate": Job("evaluate", ["experiment=eval_vstar", *WORLD],
                    ["report.json", "rollouts.jsonl"]),
    "stages": Job("train", ["experiment=stages_tour", *WORLD, *PHASES[1:], *STAGES],
                  ["*/model/model.safetensors", "*/rollouts/train_phase_*.jsonl",
                   "*/rollouts/val_phase_*.jsonl", "*/metrics.jsonl", "stages.json"]),
    "first_start": GRPO,
}  # fmt: skip


@cache
def doors() -> dict[str, Callable[[], None]]:
    """The entries of `python -m vigorl.DOOR`, all imports behind them."""
    os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    from vigorl import evaluate, export, synthesize, train

    return {"train": train.main, "synthesize": synthesize.main, "evaluate": evaluate.main,
            "export": export.main}  # fmt: skip


def main_of(door: str, words: Sequence[str], root: Path, moment: Moment | None = None) -> None:
    """In a forked process: the door, with what it prints in a file; killed at a moment."""
    os.setsid()
    for stream in (sys.stdout, sys.stderr):
        os.dup2(os.open(root / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream.fileno())
    sys.argv = [door, *words]
    os.chdir(root)
    if moment is not None:
        moment.kill_there()
    doors()[door]()


def run_door(
    door: str,
    words: Sequence[str],
    root: Path,
    *,
    seconds: float | None,
    moment: Moment | None = None,
) -> int | None:
    """Run a door for so long at most; its exit code, None when it was killed.

    Args:
        door: Of `python -m vigorl.DOOR`.
        words: Its command line.
        root: Where it is started; `log` in it gets what it prints.
        seconds: Until kill -9; None waits.
        moment: Or where in its work it kills itself so.
    """
    process = multiprocessing.get_context("fork").Process(
        target=main_of, args=(door, words, root, moment)
    )
    process.start()
    process.join(seconds)
    if process.exitcode is None:
        assert process.pid is not None
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
        return None
    return process.exitcode


def go(job: Job, root: Path, *, seconds: float | None, moment: Moment | None = None) -> int | None:
    """Begin a job, or go on with it."""
    root.mkdir(parents=True, exist_ok=True)
    run = root / "run"
    resume = any(run.glob("run.json")) or any(run.glob("*/run.json"))
    words = [f"resume={run}"] if resume else [f"paths.root={root}", f"paths.base={run}", *job.words]
    return run_door(job.door, [*words, *SMALL], root, seconds=seconds, moment=moment)


def digest(job: Job, root: Path) -> dict[str, str]:
    """Of every result file, by its name; where the run's folder lies is left out."""
    found: dict[str, str] = {}
    for pattern in job.results:
        files = sorted((root / "run").glob(pattern))
        if not files:
            raise FileNotFoundError(f"{root / 'run' / pattern}")
        for file in files:
            found[str(file.relative_to(root))] = hashlib.sha256(_content(file, root)).hexdigest()
    return found


def _content(file: Path, root: Path) -> bytes:
    """Without where the run's folder lies, its id in MLflow, and times."""
    if file.name == "metrics.jsonl":
        from vigorl.core.metrics_file import read_metrics

        return repr(
            [(one.kind, one.phases, one.step, _untimed(one.metrics)) for one in read_metrics(file)]
        ).encode()
    found = file.read_bytes().replace(bytes(root), b"")
    return re.sub(rb'"mlflow_run_id": "\w+"', b"", found)


def _untimed(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not any(one in name for one in TIMES)}


def try_kills(name: str, folder: Path, count: int, seed: int) -> tuple[int, list[str]]:
    """How many killed runs came to the result of the whole one, and what the others said."""
    job, rng = JOBS[name], random.Random(f"{seed}/{name}")
    whole = folder / name / "whole"
    started = time.perf_counter()
    if go(job, whole, seconds=None) != 0:
        raise SystemExit((whole / "log").read_text()[-3000:])
    length, expected = time.perf_counter() - started, digest(job, whole)
    faults: list[str] = []
    for number in range(count):
        root = whole.with_name(str(number))
        moments = [round(rng.uniform(0, min(length, 4.0) if name == "first_start" else length), 2)
                   for _ in range(rng.choice((1, 1, 2, 3)))]  # fmt: skip
        codes = [go(job, root, seconds=moment) for moment in moments]
        if codes[-1] is None:
            codes.append(go(job, root, seconds=20 * length + 60))
        same = codes[-1] == 0 and digest(job, root) == expected
        if not same:
            tail = (root / "log").read_text()[-400:].strip()
            faults.append(f"{name} {number}: killed after {moments} s, exit {codes}: {tail}")
        print(f"{name:12} {number:3} killed after {moments} s: {'same' if same else 'OTHER'}",
              flush=True)  # fmt: skip
        if same:
            shutil.rmtree(root)
    return count - len(faults), faults


def try_moments(name: str, folder: Path, numbers: Sequence[int]) -> tuple[int, list[str]]:
    """As `try_kills`, once at each of these moments."""
    job, whole, faults = JOBS[name], folder / name / "whole", list[str]()
    started = time.perf_counter()
    if go(job, whole, seconds=None) != 0:
        raise SystemExit((whole / "log").read_text()[-3000:])
    print(f"{name}: whole in {time.perf_counter() - started:.0f} s", flush=True)
    expected = digest(job, whole)
    for number in numbers:
        moment, root = MOMENTS[number], whole.with_name(f"moment_{number}")
        shutil.rmtree(root, ignore_errors=True)
        codes = [go(job, root, seconds=None, moment=moment), go(job, root, seconds=None)]
        found = digest(job, root) if codes[1] == 0 else {}
        same = codes == [-signal.SIGKILL, 0] and found == expected
        if not same:
            differ = [one for one in expected if found.get(one) != expected[one]]
            faults.append(f"{moment.name}: exit {codes}, {len(differ)} differ: {differ[:3]}")
        said = "same" if same else "OTHER"
        print(f"{name:12} {number:3} {moment.name}: {said}, {len(expected)} files", flush=True)
        if same:
            shutil.rmtree(root)
    return len(numbers) - len(faults), faults


def main(count: int, seed: int, folder: str, jobs: Sequence[str], at: str) -> None:
    if at:
        numbers = range(len(MOMENTS)) if at == "all" else [int(one) for one in at.split(",")]
        results = {one: try_moments(one, Path(folder), numbers) for one in jobs}
        count = len(numbers)
    else:
        results = {name: try_kills(name, Path(folder), count, seed) for name in jobs}
    for name, (good, faults) in results.items():
        print(f"{name}: {good} of {count} to the same bytes")
        print("\n".join(faults))


if __name__ == "__main__":
    doors()
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    main(
        int(given.get("kills", 12)),
        int(given.get("seed", 0)),
        given.get("folder", "/tmp/kills"),
        given["jobs"].split(",") if "jobs" in given else list(JOBS),
        given.get("at", ""),
    )
