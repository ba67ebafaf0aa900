"""What does a damaged run say? Files of a run, its checkpoints, its MLflow store, its world and its
model are damaged in every way that we know; then the run is gone on with, its model evaluated, or a
checkpoint exported, as a person would.

    python benchmarks/damages.py [folder=/tmp/damages] [only=run.json] [part=0/2]

One small run is done whole and set back to its second of three phases, which every damage is done
to a copy of. Good is: the same weights (answers) as without damage, and a word on the damage; or
one line that names it, without a traceback, and an exit code that is not 0. Processes are forked
from one that has all imports behind it, and may do what a user may, not what root may.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from damage_kinds import NEWEST, Damage, damages, gone, nothing
from kills import SMALL, doors, run_door

RUN = [
    "experiment=grpo_vstar", "data.num_train=16", "data.num_val=2", "data.num_test=4",
    "num_phases=3", "plan.prompts_per_phase=4", "plan.group_size=4", "plan.sequences_per_update=16",
    "plan.micro_batch_size=8", "optimizer.lr=1e-4", "rollout.eval_every=10",
    "callbacks.checkpoint.every=1", "+callbacks.checkpoint.keep=3",
]  # fmt: skip
ANSWERS = ["experiment=eval_vstar", "data.num_train=16", "data.num_val=2", "data.num_test=4"]
RESULTS = {"resume": "model/model.safetensors", "begin": "model/model.safetensors",
           "evaluate": "report.json", "export": "model.safetensors"}  # fmt: skip
SECONDS = 150  # more is a hang
FULL_DISKS = (1, 3, 8, 32, 50, 66)  # MB; it fills while data, store, checkpoints, model are written


def quoted(path: Path) -> str:
    """As Hydra asks for."""
    escaped = str(path).replace('"', '\\"')
    return f'"{escaped}"'


def command(damage: Damage, root: Path) -> tuple[str, list[str]]:
    """Its door and words."""
    own = [*damage.words, *SMALL]
    if damage.command == "resume":
        return "train", [f"resume={quoted(root / (damage.place or 'run'))}", *own]
    if damage.command == "begin":
        new = root / damage.place
        return "train", [
            *RUN,
            f"paths.root={quoted(new)}",
            f"paths.base={quoted(new / 'run')}",
            *own,
        ]
    if damage.command == "export":
        return "export", [
            f"checkpoint={root / NEWEST}",
            f"folder={root / 'exported'}",
            *damage.words,
        ]
    answers = [f"paths.root={root}", f"paths.base={root / 'answers'}"]
    return "evaluate", [*ANSWERS, f"model.path={root / 'run/model'}", *answers, *own]


def result(damage: Damage, root: Path) -> str:
    """The digest of what the command is for."""
    run = "run" if damage.command == "begin" or not damage.place else ""
    place = {"evaluate": "answers", "export": "exported"}.get(damage.command, run)
    file = root / damage.place / place / RESULTS[damage.command]
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "nothing"


def judge(damage: Damage, root: Path, code: int | None, expected: str) -> tuple[str, str]:
    """A verdict, which is a fault where it is in capitals, and the last line."""
    printed = "\n" + (root / "log").read_text(errors="replace")
    lines = [line for line in printed.splitlines() if line.strip()] or [""]
    if code is None:
        return "HANGS", lines[-1]
    if (root / "ran").exists():
        return "RAN CODE", lines[-1]
    if "Traceback" in printed:
        return "TRACEBACK", lines[-1]
    if code != 0:
        _, is_said, error = printed.rpartition("\nerror: ")
        is_clear = bool(is_said) and damage.word in error
        return "one line" if is_clear else "UNCLEAR", error or lines[-1]
    if result(damage, root) != expected:
        return "OTHER RESULT", lines[-1]
    if left := [path for path in root.rglob("*.part*") if "mlflow" not in path.name]:
        return "LEFT", str(left[0])
    told = [line for line in lines if damage.word in line]
    if damage.word and not told:
        return "NO WORD", lines[-1]
    return "goes on", told[0] if told else ""


def copied(kept: Path, root: Path) -> None:
    """A fresh copy at the same place, whatever was done there."""
    for path, _, _ in os.walk(root):  # from above, for what is below a closed one
        os.chmod(path, 0o755)
    shutil.rmtree(root, ignore_errors=not root.exists())
    shutil.copytree(kept, root)


def prepare(kept: Path, root: Path) -> dict[str, str]:
    """The whole run, set back to its second phase; what each command comes to without damage."""
    shutil.rmtree(kept, ignore_errors=True)
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    expected: dict[str, str] = {}
    for kind in ("begin", "evaluate", "export"):
        damage = Damage(kind, nothing, "", kind)
        if run_door(*command(damage, root), root, seconds=None) != 0:
            raise SystemExit((root / "log").read_text()[-3000:])
        expected[kind] = result(damage, root)
    expected["resume"] = expected["begin"]
    for name in ("exported", "log", "run/checkpoints/phase-00003*", "run/rollouts/*_000[23]*"):
        gone(name)(root)
    shutil.copytree(root, kept)
    return expected


def without_roots_rights() -> None:
    """Root may write anywhere. Without two of its capabilities, the modes of its files hold for it
    too.
    """
    libc = ctypes.CDLL(None)
    header, data = struct.pack("Ii", 0x20080522, 0), ctypes.create_string_buffer(24)
    if libc.capget(header, data) == 0:
        words = list(struct.unpack("6I", data.raw))
        words[0] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        libc.capset(header, struct.pack("6I", *words))


def try_full_disk(kept: Path, root: Path, megabytes: int, expected: str) -> tuple[str, str]:
    """A new run on a small disk of its own, which is then given room: it ends in one line, leaves
    nothing half-written, MLflow knows that it has ended, and it goes on to the same weights.
    """
    copied(kept, root)
    (root / "disk").mkdir()
    disk = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(root / "disk")]
    if subprocess.run(disk, check=False).returncode != 0:
        return "skipped", "no disk can be mounted here"
    try:
        soon = ["logger.wait_s=5", "logger.pause_s=1"]
        new = Damage("a full disk", nothing, "", "begin", soon, place="disk")
        code = run_door(*command(new, root), root, seconds=SECONDS)
        verdict, line = judge(new, root, code, expected)
        if verdict != "one line":
            return verdict.upper(), line
        if "No space left on device" not in line and "disk is full" not in line:
            return "UNCLEAR", line
        if left := [path for path in (root / "disk").rglob("*.part*") if ".db" not in path.name]:
            return "LEFT", str(left[0])
        begun, store = root / "disk/run/run.json", root / "disk/outputs/mlflow.db"
        is_told = "MLflow was not told" not in (root / "log").read_text()
        if is_told and begun.exists() and store.exists():
            with contextlib.closing(sqlite3.connect(store)) as opened:
                if opened.execute("select 1 from runs where status = 'RUNNING'").fetchone():
                    return "RUNNING", line
        subprocess.run(["mount", "-o", "remount,size=500m", str(root / "disk")], check=True)
        (root / "log").unlink()
        again = replace(new, command="resume", place="disk/run") if begun.exists() else new
        code = run_door(*command(again, root), root, seconds=SECONDS)
        verdict, said = judge(again, root, code, expected)
        return ("goes on", line) if verdict == "goes on" else (f"THEN {verdict.upper()}", said)
    finally:
        subprocess.run(["umount", str(root / "disk")], check=True)


def main(folder: Path, only: str, part: str) -> None:
    number, of = map(int, part.split("/"))
    chosen = [one for one in damages() if re.search(only, one.name)][number::of]
    kept, root = folder / "kept", folder / "root"
    expected = prepare(kept, root)
    verdicts: list[str] = []
    for damage in chosen:
        copied(kept, root)
        if damage.command in ("resume", "begin"):
            gone("run/model")(root)
        damage.harm(root)
        code = run_door(*command(damage, root), root, seconds=SECONDS)
        verdict, line = judge(damage, root, code, expected[damage.command])
        verdicts.append(verdict)
        shown = " ".join(line.split())[:300]
        print(f"{damage.name:42} {verdict:12} {shown}", flush=True)
        if verdict.isupper():
            shutil.copyfile(root / "log", folder / f"{damage.name.replace('/', '_')}.log")
    for megabytes in FULL_DISKS[number::of] if re.search(only, "full disk") else ():
        verdict, line = try_full_disk(kept, root, megabytes, expected["begin"])
        verdicts.append(verdict)
        print(
            f"{f'full disk of {megabytes} MB':42} {verdict:12} {' '.join(line.split())[:300]}",
            flush=True,
        )
        if verdict.isupper():
            shutil.copyfile(root / "log", folder / f"full disk of {megabytes} MB.log")
    good = sum(not verdict.isupper() for verdict in verdicts)
    print(f"{good} of {len(verdicts)}: {verdicts.count('goes on')} go on, "
          f"{verdicts.count('one line')} end in one line")  # fmt: skip


if __name__ == "__main__":
    doors()
    without_roots_rights()
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    main(Path(given.get("folder", "/tmp/damages")), given.get("only", ""), given.get("part", "0/1"))
