"""What does a damaged run say? Files of a run, its checkpoints, its MLflow store, its world and its
model are damaged in every way that we know; then the run is gone on with, its model evaluated, or a
checkpoint exported, as a person would.

    python benchmarks/damages.py [folder=/tmp/damages] [only=run.json] [part=0/2]

One small run is done whole and set back to its second of three phases, which every damage is done
to a copy of. Good is: the same weights (answers) as without damage, and a word on the damage; or one
line that names it, without a traceback, and an exit code that is not 0. Processes are forked from one
that has all imports behind it, and may do what a user may, not what root may.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import pickle
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from kills import SMALL, doors, run_door
from safetensors.torch import load_file, save_file

from vigorl.core.digests import write_digest

RUN = [
    "experiment=grpo_vstar", "data.num_train=16", "data.num_val=2", "data.num_test=4",
    "num_phases=3", "plan.prompts_per_phase=4", "plan.group_size=4", "plan.sequences_per_update=16",
    "plan.micro_batch_size=8", "optimizer.lr=1e-4", "rollout.eval_every=10",
    "callbacks.checkpoint.every=1", "+callbacks.checkpoint.keep=3",
]  # fmt: skip
ANSWERS = ["experiment=eval_vstar", "data.num_train=16", "data.num_val=2", "data.num_test=4"]
NEWEST, OLDER = "run/checkpoints/phase-00002.ckpt", "run/checkpoints/phase-00001.ckpt"
RESULTS = {"resume": "model/model.safetensors", "begin": "model/model.safetensors",
           "evaluate": "report.json", "export": "model.safetensors"}  # fmt: skip
SECONDS = 150  # more is a hang
FULL_DISKS = (
    1,
    3,
    8,
    32,
    50,
    66,
    74,
)  # MB; it fills while data, store, checkpoints, model are written
Harm = Callable[[Path], None]


@dataclass(frozen=True)
class Damage:
    """One kind.

    Attributes:
        name: Of the file, and what is done to it.
        harm: Does it, given the root.
        word: What is printed holds it.
        command: `resume`, `evaluate`, `export`, or `begin` for a new run.
        words: Said on its command line besides.
        place: The run's folder below the root; of a new run, the root that it is given.
    """

    name: str
    harm: Harm
    word: str
    command: str = "resume"
    words: Sequence[str] = ()
    place: str = ""


class Payload:
    """Harmless code that a reader of pickles would run."""

    def __init__(self, root: Path) -> None:
        self.made = root / "ran"

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.made),)


def cut(name: str) -> Harm:
    return lambda root: os.truncate(root / name, (root / name).stat().st_size // 2)


def put(name: str, content: bytes) -> Harm:
    """In place of what is there; a folder goes."""

    def harm(root: Path) -> None:
        gone(name)(root)
        (root / name).write_bytes(content)

    return harm


def gone(name: str) -> Harm:
    def harm(root: Path) -> None:
        for path in root.glob(name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return harm


def folder(name: str) -> Harm:
    def harm(root: Path) -> None:
        gone(name)(root)
        (root / name).mkdir()

    return harm


def flip(name: str) -> Harm:
    """One bit, in the middle."""

    def harm(root: Path) -> None:
        with open(root / name, "r+b") as file:
            file.seek((root / name).stat().st_size // 2)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 1]))

    return harm


def write_protected(name: str) -> Harm:
    def harm(root: Path) -> None:
        for path in [root / name, *(root / name).rglob("*")]:
            path.chmod(path.stat().st_mode & ~0o222)

    return harm


def text(name: str, old: str, new: str) -> Harm:
    def harm(root: Path) -> None:
        before = (root / name).read_text()
        assert old in before, (name, old)
        (root / name).write_text(before.replace(old, new, 1))

    return harm


def said(value: Any, key: str = "overrides") -> Harm:
    """In run.json: another value, or with another override."""

    def harm(root: Path) -> None:
        plain = json.loads((root / "run/run.json").read_text())
        plain[key] = [*plain[key], value] if isinstance(plain[key], list) and value else value
        (root / "run/run.json").write_text(json.dumps(plain))

    return harm


def checkpoint(change: Callable[[dict[str, Any], Path], Any]) -> Harm:
    """A whole one, with its right digest, that holds something else."""

    def harm(root: Path) -> None:
        content = torch.load(root / NEWEST, weights_only=True)
        changed = change(content, root)
        torch.save(content if changed is None else changed, root / NEWEST)
        write_digest(root / NEWEST, of=root / NEWEST)

    return harm


def config(**values: Any) -> Harm:
    """Of the model folder, that nobody has a digest of."""

    def harm(root: Path) -> None:
        file = root / "run/model/config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | values))
        (root / "run/model/SHA256SUMS").unlink()

    return harm


def other_module(root: Path) -> None:
    """Code beside the weights, which transformers runs where it is told to trust it."""
    name = {"AutoConfig": "mine.Mine", "AutoModelForImageTextToText": "mine.Mine"}
    config(auto_map=name, model_type="mine")(root)
    (root / "run/model/mine.py").write_text(f"import os\nos.mkdir({str(root / 'ran')!r})\n")


def tensor_gone(root: Path) -> None:
    file = root / "run/model/model.safetensors"
    weights = load_file(file)
    weights.pop(sorted(weights)[0])
    save_file(weights, file, metadata={"format": "pt"})
    (root / "run/model/SHA256SUMS").unlink()


def sql(*lines: str) -> Harm:
    def harm(root: Path) -> None:
        with contextlib.closing(sqlite3.connect(root / "outputs/mlflow.db")) as store:
            for line in lines:
                store.execute(line)
            store.commit()

    return harm


def world(name: str, harm: Callable[[str], Harm]) -> Harm:
    """To a file of the made world, whose folder is named by a digest."""

    def done(root: Path) -> None:
        for found in sorted((root / "outputs/made_world").glob(f"*/{name}")):
            harm(str(found.relative_to(root)))(root)

    return done


def all_of(*harms: Harm) -> Harm:
    def harm(root: Path) -> None:
        for one in harms:
            one(root)

    return harm


def nothing(_root: Path) -> None:
    pass


SUMS, STORE = "run/model/SHA256SUMS", "outputs/mlflow.db"
NOISE, OTHER = bytes(range(256)) * 8, pickle.dumps({"weights": [1.0, 2.0]})
CHECKPOINTS = [
    Damage("checkpoint cut", cut(NEWEST), "phase-00002"),
    Damage("checkpoint empty", put(NEWEST, b""), "phase-00002"),
    Damage("checkpoint text", put(NEWEST, b"hello\n"), "phase-00002"),
    Damage("checkpoint a folder", folder(NEWEST), "phase-00002"),
    Damage("checkpoint another pickle", put(NEWEST, OTHER), "phase-00002"),
    Damage("checkpoint one flipped bit", flip(NEWEST), "phase-00002"),
    Damage("checkpoint's digest gone", gone(f"{NEWEST}.sha256"), ""),
    Damage("checkpoint's digest gone, one flipped bit",
           all_of(gone(f"{NEWEST}.sha256"), flip(NEWEST)), "phase-00002"),
    Damage("checkpoint's digest of another", put(f"{NEWEST}.sha256", b"0" * 64 + b"  phase-00002.ckpt\n"),
           "phase-00002"),
    Damage("checkpoint's digest empty, one flipped bit",
           all_of(put(f"{NEWEST}.sha256", b""), flip(NEWEST)), "phase-00002"),
    Damage("checkpoint's digest binary", put(f"{NEWEST}.sha256", NOISE), "phase-00002"),
    Damage("checkpoint's digest a folder", folder(f"{NEWEST}.sha256"), ""),
    Damage("all checkpoints cut", all_of(cut(NEWEST), cut(OLDER)), "checkpoints"),
    Damage("all checkpoints gone", gone("run/checkpoints"), "no checkpoint"),
    Damage("checkpoints a file", put("run/checkpoints", b"x"), "checkpoints"),
    Damage("checkpoint with code", checkpoint(lambda _, root: {"state_dict": Payload(root)}),
           "phase-00002"),
    Damage("checkpoint with code, no digest",
           all_of(checkpoint(lambda _, root: {"state_dict": Payload(root)}),
                  gone(f"{NEWEST}.sha256")), "phase-00002"),
    Damage("checkpoint of another program", checkpoint(lambda *_: {"model": torch.zeros(3)}),
           "phase-00002"),
    Damage("checkpoint a tensor", checkpoint(lambda *_: torch.zeros(3)), "phase-00002"),
    Damage("checkpoint of another model", checkpoint(
        lambda found, _: found["state_dict"].update({k: v[:1] for k, v in found["state_dict"].items()})),
           "phase-00002"),
    Damage("checkpoint without an optimizer", checkpoint(
        lambda found, _: {k: v for k, v in found.items() if k != "optimizer_states"}), "phase-00002"),
    Damage("checkpoint unreadable", lambda root: (root / NEWEST).chmod(0), "phase-00002"),
    Damage("checkpoint a link to nowhere", all_of(
        gone(NEWEST), lambda root: (root / NEWEST).symlink_to("nowhere")), "phase-00002"),
    Damage("a .part of a checkpoint left", put("run/checkpoints/phase-00003.ckpt.part", NOISE), ""),
    Damage("a .part folder of a model left", folder("run/model.part"), ""),
]  # fmt: skip
IDENTITY = [
    Damage("run.json cut", cut("run/run.json"), "run.json"),
    Damage("run.json empty", put("run/run.json", b""), "run.json"),
    Damage("run.json binary", put("run/run.json", NOISE), "run.json"),
    Damage("run.json a list", put("run/run.json", b"[1, 2]"), "run.json"),
    Damage("run.json 100,000 brackets", put("run/run.json", b"[" * 100_000), "run.json"),
    Damage("run.json of another format", said(7, "format"), "run.json"),
    Damage("run.json overrides a text", said("", "overrides"), "run.json"),
    Damage("run.json overrides numbers", said(3), "run.json"),
    Damage("run.json with a setting that is not", said("plan.grup_size=4"), "grup_size"),
    Damage("run.json with no override", said("a = = ["), "run.json"),
    Damage("run.json with code", said("data={_target_:os.mkdir,path:ran}"), "run.json"),
    Damage("run.json gone", gone("run/run.json"), "run.json"),
    Damage("run.json a folder", folder("run/run.json"), "run.json"),
    Damage("run.json unreadable", lambda root: (root / "run/run.json").chmod(0), "run.json"),
    Damage("run.json names no run of MLflow", said("0" * 32, "mlflow_run_id"), "0" * 32),
    Damage("run.json names an odd run", said("../../etc", "mlflow_run_id"), "etc"),
    Damage("run's folder gone", gone("run"), "run"),
    Damage("config.yaml cut", cut("run/config.yaml"), "config.yaml"),
    Damage("config.yaml empty", put("run/config.yaml", b""), "config.yaml"),
    Damage("config.yaml binary", put("run/config.yaml", NOISE), "config.yaml"),
    Damage("config.yaml a folder", folder("run/config.yaml"), "config.yaml"),
    Damage("config.yaml gone", gone("run/config.yaml"), "config.yaml"),
    Damage("config.yaml another value", text("run/config.yaml", "\nseed: 0", "\nseed: 5"), "seed"),
    Damage("config.yaml with code", text("run/config.yaml", "vigorl.data.scenes.world.MadeWorld",
                                         "os.mkdir"), "config.yaml"),
    Damage("config.yaml with a Python tag", put("run/config.yaml", b"!!python/object/apply:os.mkdir [ran]"),
           "config.yaml"),
]  # fmt: skip
RECORDS = [
    Damage("rollouts cut in mid line", cut("run/rollouts/train_phase_0001.jsonl"), ""),
    Damage(
        "rollouts of the next phase cut in mid line",
        put("run/rollouts/train_phase_0002.jsonl", b'{"format": 1, "pha'),
        "",
    ),
    Damage("rollouts binary", put("run/rollouts/train_phase_0002.jsonl", NOISE), ""),
    Damage("rollouts gone", gone("run/rollouts"), ""),
    Damage("rollouts a file", put("run/rollouts", b"x"), "rollouts"),
    Damage(
        "rollouts of the next phase a folder",
        folder("run/rollouts/train_phase_0002.jsonl"),
        "rollouts",
    ),
    Damage("rollouts write-protected", write_protected("run/rollouts"), "rollouts"),
]
STORES = [
    Damage("store gone", gone(STORE), "MLflow"),
    Damage("store empty", put(STORE, b""), "mlflow.db"),
    Damage("store cut", cut(STORE), "mlflow.db"),
    Damage("store text", put(STORE, b"hello\n" * 999), "mlflow.db"),
    Damage("store a folder", folder(STORE), "mlflow.db"),
    Damage("store another database", all_of(gone(STORE), sql("create table a (b)")), "mlflow.db"),
    Damage("store without metrics", sql("drop table metrics", "drop table latest_metrics"), "mlflow.db"),
    Damage("store of another version", sql("update alembic_version set version_num = 'abc'"),
           "mlflow.db"),
    Damage("store write-protected", write_protected("outputs"), "mlflow.db"),
    Damage("store: experiment deleted", sql(*(f"update {kind} set lifecycle_stage = 'deleted'"
                                              for kind in ("experiments", "runs"))), "experiment"),
    Damage("store: run deleted", sql("update runs set lifecycle_stage = 'deleted'"), "MLflow"),
    Damage("store: run purged", sql("delete from latest_metrics", "delete from metrics",
                                    "delete from params", "delete from tags", "delete from runs"),
           "MLflow"),
    Damage("store's artifacts gone", gone("outputs/mlartifacts"), ""),
    Damage("store's artifacts a file", put("outputs/mlartifacts", b"x"), "mlartifacts"),
    Damage("store's lock left", put(f"{STORE}.lock", b"x"), ""),
    Damage("a half-made store left", all_of(gone(STORE), put(f"{STORE}.part", NOISE)), "MLflow"),
    Damage("outputs gone", gone("outputs"), "MLflow"),
]  # fmt: skip
WORLDS = [
    Damage("world: picture gone", world("images/*.png", gone), "png"),
    Damage("world: picture cut", world("images/*.png", cut), "png"),
    Damage("world: picture empty", world("images/*.png", lambda name: put(name, b"")), "png"),
    Damage("world: questions cut", world("train_RL.jsonl", cut), "train_RL.jsonl"),
    Damage("world: questions gone", world("train_RL.jsonl", gone), "train_RL.jsonl"),
    Damage(
        "world: a question changed",
        world("train_RL.jsonl", lambda name: text(name, "pink", "red")),
        "train_RL.jsonl",
    ),
    Damage("world.json cut", world("world.json", cut), "world.json"),
    Damage("world.json binary", world("world.json", lambda name: put(name, NOISE)), "world.json"),
    Damage("world.json gone", world("world.json", gone), ""),
    Damage("world: val gone", world("val", gone), "val"),
    Damage("world gone", gone("outputs/made_world"), ""),
    Damage("world: benchmark json cut", world("test/*/*.json", cut), "json", "evaluate"),
    Damage("world: benchmark picture gone", world("test/*/*.png", gone), "test-", "evaluate"),
]
MODELS = [
    Damage(f"model: {name}", harm, word, "evaluate")
    for name, harm, word in (
        ("gone", gone("run/model"), "run/model"),
        ("a file", put("run/model", b"x"), "run/model"),
        ("empty", folder("run/model"), "run/model"),
        ("config.json cut", cut("run/model/config.json"), "config.json"),
        ("config.json gone", gone("run/model/config.json"), "config.json"),
        ("config.json cut, no digests", all_of(cut("run/model/config.json"), gone(SUMS)), "config.json"),
        ("config.json a list, no digests", all_of(put("run/model/config.json", b"[]"), gone(SUMS)),
         "run/model"),
        ("of another kind", config(model_type="bert"), "bert"),
        ("of another width", lambda root: text(
            "run/model/config.json", '"hidden_size": 192', '"hidden_size": 96')(root) or gone(SUMS)(root), "run/model"),
        ("weights cut", cut("run/model/model.safetensors"), "model.safetensors"),
        ("weights with a flipped bit", flip("run/model/model.safetensors"), "model.safetensors"),
        ("weights gone", gone("run/model/model.safetensors"), "model.safetensors"),
        ("weights cut, no digests", all_of(cut("run/model/model.safetensors"), gone(SUMS)), "run/model"),
        ("weights gone, no digests", all_of(gone("run/model/model.safetensors"), gone(SUMS)),
         "run/model"),
        ("a weight gone, no digests", tensor_gone, "run/model"),
        ("tokenizer gone", gone("run/model/tokenizer.json"), "tokenizer.json"),
        ("tokenizer gone, no digests", all_of(gone("run/model/tokenizer*"), gone(SUMS)), "run/model"),
        ("tokenizer cut, no digests", all_of(cut("run/model/tokenizer.json"), gone(SUMS)), "run/model"),
        ("processor gone, no digests", all_of(gone("run/model/preproc*"), gone(SUMS)), "run/model"),
        ("processor cut, no digests", all_of(cut("run/model/preprocessor_config.json"), gone(SUMS)),
         "run/model"),
        ("digests gone", gone(SUMS), ""),
        ("digests binary", put(SUMS, NOISE), "SHA256SUMS"),
        ("code beside it", other_module, "run/model"),
    )
]  # fmt: skip
OTHER_REPORT = ["compare_with=answers/report.json"]
REPORTS = [
    Damage("report.json cut", cut("answers/report.json"), "report.json", "evaluate", OTHER_REPORT),
    Damage("report.json empty", put("answers/report.json", b""), "report.json", "evaluate", OTHER_REPORT),
    Damage("report.json binary", put("answers/report.json", NOISE), "report.json", "evaluate",
           OTHER_REPORT),
    Damage("report.json a list", put("answers/report.json", b"[]"), "report.json", "evaluate",
           OTHER_REPORT),
    Damage("report.json gone", gone("answers/report.json"), "report.json", "evaluate", OTHER_REPORT),
    Damage("answers' rollouts cut", cut("answers/rollouts.jsonl"), "", "evaluate"),
    Damage("answers write-protected", write_protected("answers"), "answers", "evaluate"),
]  # fmt: skip
EXPORTS = [
    Damage(f"export: {name}", harm, word, "export", words)
    for name, harm, word, words in (
        ("checkpoint cut", cut(NEWEST), "phase-00002", ()),
        ("checkpoint cut, no digest", all_of(cut(NEWEST), gone(f"{NEWEST}.sha256")), "phase-00002", ()),
        ("checkpoint empty, no digest", all_of(put(NEWEST, b""), gone(f"{NEWEST}.sha256")),
         "phase-00002", ()),
        ("one flipped bit", flip(NEWEST), "phase-00002", ()),
        ("one flipped bit, no digest", all_of(flip(NEWEST), gone(f"{NEWEST}.sha256")), "phase-00002", ()),
        ("checkpoint a folder", folder(NEWEST), "phase-00002", ()),
        ("checkpoint gone", gone(NEWEST), "phase-00002", ()),
        ("checkpoint with code", checkpoint(lambda _, root: {"state_dict": Payload(root)}),
         "phase-00002", ()),
        ("checkpoint of another program", checkpoint(lambda *_: {"model": torch.zeros(3)}),
         "phase-00002", ()),
        ("checkpoint of another model", checkpoint(
            lambda found, _: found["state_dict"].update({k: v[:1] for k, v in found["state_dict"].items()})),
         "phase-00002", ()),
        ("config.yaml gone", gone("run/config.yaml"), "config.yaml", ()),
        ("config.yaml cut", cut("run/config.yaml"), "config.yaml", ()),
        ("config.yaml with code", text("run/config.yaml", "lora: null", "lora: {_target_: os.mkdir, path: ran}"),
         "config.yaml", ()),
        ("its folder a file", put("exported", b"x"), "exported", ()),
        ("its folder write-protected", all_of(folder("exported"), write_protected("exported")),
         "exported", ()),
    )
]  # fmt: skip
PLACES = [
    Damage("run's folder write-protected", write_protected("run"), "run"),
    Damage("a new run, outputs write-protected", all_of(gone("run"), write_protected("outputs")),
           "outputs", "begin"),
    Damage("a new run, its place a file", all_of(gone("run"), put("run", b"x")), "run", "begin"),
    Damage("a new run, outputs a file", all_of(gone("run"), put("outputs", b"x")), "outputs", "begin"),
]  # fmt: skip
ODD = ("50%", "what?", "no#1", "a=b,c", "[x] (y)", "Größe", "two words", "quo'te\"s", "a\nb")
for _name in ODD:
    _shown = _name.replace("\n", "\\n")
    PLACES.append(Damage(f"the run is moved to {_shown}", lambda root, name=_name: (
        root / "run").rename(root / name) and None, "", place=_name))  # fmt: skip
    PLACES.append(Damage(f"a new run, in the root {_shown}", gone("run"), "", "begin",
                         place=_name))  # fmt: skip


def damages() -> list[Damage]:
    groups = (CHECKPOINTS, IDENTITY, RECORDS, STORES, WORLDS, MODELS, REPORTS, EXPORTS, PLACES)
    return [one for group in groups for one in group]


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
        soon = ["logger.give_up_s=5", "+logger.pause_s=1"]
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
