"""What the doors do at the tiny scale, in a form that outlives the layout of a run's files.

    PARTS           a part is one run of a real door, in a process of its own with one thread
    run_part        runs it, and reads what it left
    differences     what differs from another run of it, each kind's first difference in words
    fingerprint     of the machine: floats repeat to the last digit only where it is the same
    load_recording  the recording in tiny_scale.json.gz; `record_tiny_scale` makes it anew

Who changes settings or files of a run changes the readers at the end here, and does not record
anew. A finding is plain data:

    rollouts   {"train phase 0": [{"task", "index", "prompt", "turns", "stop_reason", "reward",
               "parts", "advantage"}, ...], ...}; of a turn its text, crop, tool error, and short
               hashes of its ids (prefix, completion, observation) and sampling logprobs
    metrics    {name: [[step, value], ...]}, without those of time and memory
    trees      ids, questions, texts, values, visits, rewards, points
    chains     rows of the released SFT format, pictures by their file names alone
    questions  per question of an evaluation: category, right answer, answers, right or wrong
    summary    its numbers
    weights    a hash of the trained model
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from mlflow.tracking import MlflowClient
from safetensors.torch import load_file

from tests.forked import run_forked
from vigorl.callbacks.mlflow_logger import plain_name

CHECKOUT = Path(__file__).resolve().parents[2]
RECORDING = Path(__file__).with_name("tiny_scale.json.gz")
Finding = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """One run of a door.

    Attributes:
        door: Module of vigorl.
        experiment: Which it runs.
        overrides: Beside one thread, the folders and the size of the world.
    """

    door: str
    experiment: str
    overrides: tuple[str, ...] = ()


THREE_PHASES = ("num_phases=3",)
PARTS = {
    # half of the scale's prompts: its phases are the longest
    "grpo_vstar": Part(
        "train",
        "grpo_vstar",
        (*THREE_PHASES, "plan.prompts_per_phase=16", "plan.sequences_per_update=128"),
    ),
    # with a reference, and with several updates per phase, so that ratios leave 1
    "grpo_vstar_single_turn": Part(
        "train",
        "grpo_vstar_single_turn",
        (*THREE_PHASES, "plan.sequences_per_update=64", "plan.micro_batch_size=32", "kl_coef=0.01"),
    ),
    # on the chains of the recorded search
    "sft": Part(
        "train",
        "sft_from_mcts",
        (
            "max_epochs=1",
            "traces.sequences_per_update=8",
            "traces.micro_batch_size=4",
            "data.path=ROOT/traces.jsonl",
            "data.image_root=ROOT/world/images",
            "data.holdout_frac=0.2",
        ),
    ),
    "search": Part("synthesize", "mcts_vstar", ("limit=20",)),
    "evaluation": Part("evaluate", "eval_vstar", ("limit=50",)),
    # ends that the start rarely comes to: tool errors, limits, forced answers
    "odd_ends": Part(
        "evaluate",
        "eval_vstar",
        (
            "limit=16",
            "samples_per_task=8",
            "env.eval_temperature=1.8",
            "limits.max_turns=2",
            "limits.max_new_tokens=20",
            "limits.max_response_tokens=150",
            "limits.forced_answer=true",
        ),
    ),
}
WORLD = {"root": "ROOT/world", "num_train": 128, "num_val": 24, "num_test": 50}


def run_part(name: str, root: Path) -> Finding:
    """Run a part and read what it left.

    Args:
        name: Key of PARTS.
        root: Of everything that is written; parts that share it share the made world.
    Raises:
        RuntimeError: The door failed; ends with what it said.
    """
    part = PARTS[name]
    if name == "sft":
        write_traces(load_recording()["parts"]["search"]["chains"], root / "traces.jsonl")
    world = "data.base" if name == "sft" else "data"
    said = [
        f"experiment={part.experiment}",
        f"name={name}",  # of the run in MLflow
        *part.overrides,
        *(f"{world}.{key}={value}" for key, value in WORLD.items()),
        "num_threads=1",
        "trainer.accelerator=cpu",
        "paths.root=ROOT",
        f"paths.run=ROOT/{name}",
    ]
    kept = {k: v for k, v in os.environ.items() if k not in ("MLFLOW_TRACKING_URI", "VIGORL_ROOT")}
    done = run_forked(
        f"vigorl.{part.door}",
        [one.replace("ROOT", str(root)) for one in said],
        folder=CHECKOUT,
        env=kept | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(CHECKOUT / "src")},
        timeout=600,
    )
    if done.returncode:
        raise RuntimeError(f"{name}: vigorl.{part.door} failed:\n{done.stderr[-3000:]}")
    return read_run(root / name, metrics=read_metrics(root, name))


def load_recording() -> dict[str, Any]:
    """{"machine": fingerprint, "parts": {name: finding}}."""
    recording = json.loads(gzip.decompress(RECORDING.read_bytes()))
    for part in recording["parts"].values():
        for name in ("reward/accuracy", "val/reward/accuracy", "eval/reward/accuracy"):
            part["metrics"].pop(name, None)  # was `rollout/accuracy` once more, so no longer logged
        if "metrics" in part:
            part["metrics"] = _known(part["metrics"])
    return recording


def save_recording(recording: dict[str, Any]) -> None:
    """The same bytes for the same recording."""
    text = json.dumps(recording, allow_nan=False, separators=(",", ":"))
    RECORDING.write_bytes(gzip.compress(text.encode("ascii"), mtime=0))


def fingerprint() -> dict[str, str]:
    """What the last digits of one thread's floats may depend on."""
    found = {name: version(name) for name in ("torch", "transformers", "numpy", "pillow")}
    found |= {"capability": torch.backends.cpu.get_cpu_capability(), "machine": platform.machine()}
    cpu = Path("/proc/cpuinfo")
    rows = cpu.read_text().partition("\n\n")[0].splitlines() if cpu.is_file() else []
    told = {key.strip(): value.strip() for key, _, value in (row.partition(":") for row in rows)}
    found |= {key: told.get(key, "") for key in ("model name", "cpu family", "model", "cache size")}
    flags = [
        flag for flag in told.get("flags", "").split() if flag.startswith(("avx", "fma", "amx"))
    ]
    return found | {"flags": " ".join(sorted(flags))}


def differences(part: str, recorded: Finding, now: Finding) -> list[str]:
    """The first difference of every kind of finding, and how many there are of the kind."""
    found: list[str] = []
    if recorded.keys() != now.keys():
        found.append(f"{part}: recorded {sorted(recorded)}, now {sorted(now)}")
    for kind in (kind for kind in recorded if kind in now):
        of_kind = list(_walk(recorded[kind], now[kind], f"{part} {kind}"))
        if kind == "metrics":
            of_kind = list(_metric_differences(part, recorded[kind], now[kind]))
        if kind == "rollouts":
            of_kind = list(_rollout_differences(part, recorded[kind], now[kind]))
        more = f" (the first of {len(of_kind)} in {kind})" if len(of_kind) > 1 else ""
        found += [one + more for one in of_kind[:1]]
    return found


def _metric_differences(part: str, recorded: Any, now: Any) -> Iterator[str]:
    """By step, then by name."""
    old, new = _by_step(recorded), _by_step(now)
    for key in sorted(old.keys() | new.keys()):
        if repr(old.get(key)) != repr(new.get(key)):
            step, name, _ = key
            yield f"{part}: {name} at step {step}: recorded {old.get(key)!r}, now {new.get(key)!r}"


def _by_step(metrics: Any) -> dict[tuple[int, str, int], float]:
    """{(step, name, which of its values at the step): value}."""
    return {
        (step, name, i): value
        for name, rows in metrics.items()
        for i, (step, value) in enumerate(rows)
    }


def _rollout_differences(part: str, recorded: Any, now: Any) -> Iterator[str]:
    if recorded.keys() != now.keys():
        yield f"{part}: recorded rollouts of {sorted(recorded)}, now of {sorted(now)}"
    for phase in (phase for phase in recorded if phase in now):
        if len(recorded[phase]) != len(now[phase]):
            yield f"{part} {phase}: recorded {len(recorded[phase])} rollouts, now {len(now[phase])}"
        for number, (old, new) in enumerate(zip(recorded[phase], now[phase], strict=False)):
            which = f"{old['task']}, {old['index']}"
            yield from _walk(old, new, f"{part} {phase} rollout {number} ({which})")


def _walk(old: Any, new: Any, where: str) -> Iterator[str]:
    """Every leaf that differs, in the recorded order."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if key not in old or key not in new:
                yield f"{where}: {key!r} is only in what is {'new' if key in new else 'recorded'}"
            elif key in HASHED and old[key] != new[key]:
                yield f"{where}: {HASHED[key]} differ{_texts(old, new)}"
            elif key not in HASHED:
                yield from _walk(old[key], new[key], _step(where, key))
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"{where}: recorded {len(old)} of them, now {len(new)}"
        first = 1 if where.endswith(" turn") else 0  # turns are counted from 1
        for number, (one, other) in enumerate(zip(old, new, strict=False), start=first):
            yield from _walk(one, other, f"{where} {number}")
    elif repr(old) != repr(new):  # a float to its last digit; 1 is not 1.0
        yield f"{where}: recorded {old!r}, now {new!r}"


HASHED = {
    "prompt": "prompt ids",
    "prefix": "prefix ids",
    "completion": "completion ids",
    "observation": "observation ids",
    "logprobs": "sampling logprobs",
}


def _step(where: str, key: str) -> str:
    return f"{where} {'turn' if key == 'turns' else key}"


def _texts(old: dict[str, Any], new: dict[str, Any]) -> str:
    is_told = "text" in old and "text" in new and old["text"] != new["text"]
    return f": recorded {old['text']!r}, now {new['text']!r}" if is_told else ""


def short_hash(values: Any) -> str:
    """12 hex digits; of floats to their last digit."""
    return hashlib.sha256(json.dumps(values).encode("ascii")).hexdigest()[:12]


# From here on: where things stand in the files of a run.


# Metrics that there were none of when this was recorded.
SINCE = re.compile(
    r"refused_frac$|^(credit|groups)/|^(eval/)?(answer|choice|error)/|^train/entropy_"
    r"|zoomed(_frac)?$|^kl/token$|^clip/"  # with one update a phase, clip fractions are always 0
)


def _known(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if not SINCE.search(name)}


def read_run(run: Path, *, metrics: dict[str, list[list[float]]]) -> Finding:
    """All that a run's folder holds, whichever door left it."""
    found: Finding = {}
    if phases := sorted((run / "rollouts").glob("*_phase_*.jsonl")):
        found["rollouts"] = {_phase(path): read_rollouts(path) for path in phases}
    if (run / "rollouts.jsonl").is_file():
        found["rollouts"] = {"test": read_rollouts(run / "rollouts.jsonl")}
    if (run / "trees.jsonl").is_file():
        found["trees"] = [_tree(row) for row in _lines(run / "trees.jsonl")]
        found["chains"] = [_chain(row) for row in _lines(run / "chains.jsonl")]
    if (run / "report.json").is_file():
        report = json.loads((run / "report.json").read_text())
        found["questions"] = {one["id"]: _question(one) for one in report["questions"]}
        found["summary"] = _known(report["metrics"])
    found["metrics"] = _known(metrics)
    if (run / "model").is_dir():
        found["weights"] = _weights_hash(run / "model")
    return found


def read_metrics(root: Path, run_name: str) -> dict[str, list[list[float]]]:
    """All that was logged, without what is different every time."""
    client = MlflowClient(f"sqlite:///{root}/outputs/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'vigorl'")
    runs = client.search_runs([experiment.experiment_id])
    (run,) = (run for run in runs if run.info.run_name.startswith(f"{run_name}, "))
    found: dict[str, list[list[float]]] = {}
    for name in sorted(run.data.metrics):
        if not any(one in name for one in ("time/", "perf/", "bytes", "system/")):
            history = client.get_metric_history(run.info.run_id, name)
            found[plain_name(name)] = sorted([metric.step, metric.value] for metric in history)
    return found


def read_rollouts(path: Path) -> list[dict[str, Any]]:
    found = []
    for row in _lines(path):
        scored = row["scored"]
        rollout, reward = scored["rollout"], scored["reward"]
        found.append({
            "task": rollout["task"]["id"],
            "index": rollout["index"],
            "prompt": short_hash(rollout["prompt_ids"]),
            "turns": [_turn(turn) for turn in rollout["turns"]],
            "stop_reason": rollout["stop_reason"],
            "reward": reward["total"],
            "parts": reward["parts"],
            "advantage": scored["advantage"],
        })  # fmt: skip
    return found


def write_traces(chains: list[dict[str, Any]], path: Path) -> None:
    """Chains as a file of traces, its pictures in `data.image_root`."""
    path.write_text("".join(json.dumps(chain) + "\n" for chain in chains))


def _turn(turn: dict[str, Any]) -> dict[str, Any]:
    box = turn["views"][0]["box"] if turn["views"] else None
    return {
        "prefix": short_hash(turn["prefix_ids"]),
        "completion": short_hash(turn["completion_ids"]),
        "text": turn["text"],
        "logprobs": short_hash(turn["sampling_logprobs"]),
        "observation": short_hash(turn["observation_ids"]),
        "crop": box and [box[side] for side in ("left", "top", "right", "bottom")],
        "tool_error": turn["tool_error"],
    }


def _question(row: dict[str, Any]) -> dict[str, Any]:
    """As it was recorded, when reports kept whether an answer was right."""
    kept = {key: row[key] for key in ("category", "right_answer", "answers", "chance")}
    return kept | {"correct": [score == 1.0 for score in row["scores"]]}


def _tree(row: dict[str, Any]) -> dict[str, Any]:
    kept = ("id", "question", "true_answer", "system_prompt", "frame", "solved_at",
            "num_simulations", "checked_by", "tree")  # fmt: skip
    return {key: row[key] for key in kept}


def _chain(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"images": [Path(name).name for name in row["images"]]}


def _phase(path: Path) -> str:
    """train_phase_0002.jsonl is "train phase 2"."""
    kind, _, number = path.stem.partition("_phase_")
    return f"{kind} phase {int(number)}"


def _weights_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for name, weight in sorted(load_file(folder / "model.safetensors").items()):
        digest.update(name.encode())
        digest.update(weight.contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
