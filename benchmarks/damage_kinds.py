"""The kinds of damage that benchmarks/damages.py tries."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from vigorl.core.digests import write_digest

NEWEST, OLDER = "run/checkpoints/phase-00002.ckpt", "run/checkpoints/phase-00001.ckpt"
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
    Damage("checkpoint's digest of another", put(f"{NEWEST}.sha256",
        b"0" * 64 + b"  phase-00002.ckpt\n"),
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
        lambda found, _: found["state_dict"].update({k: v[:1] for k,
            v in found["state_dict"].items()})),
           "phase-00002"),
    Damage("checkpoint without an optimizer", checkpoint(
        lambda found, _: {k: v for k, v in found.items() if k != "optimizer_states"}),
            "phase-00002"),
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
    Damage("config.yaml with a Python tag", put("run/config.yaml",
        b"!!python/object/apply:os.mkdir [ran]"),
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
    Damage("store without metrics", sql("drop table metrics", "drop table latest_metrics"),
        "mlflow.db"),
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
        "data/train_tasks",
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
        ("config.json cut, no digests", all_of(cut("run/model/config.json"), gone(SUMS)),
            "config.json"),
        ("config.json a list, no digests", all_of(put("run/model/config.json", b"[]"), gone(SUMS)),
         "run/model"),
        ("of another kind", config(model_type="bert"), "bert"),
        ("of another width", lambda root: text(
            "run/model/config.json", '"hidden_size": 192',
                '"hidden_size": 96')(root) or gone(SUMS)(root), "run/model"),
        ("weights cut", cut("run/model/model.safetensors"), "model.safetensors"),
        ("weights with a flipped bit", flip("run/model/model.safetensors"), "model.safetensors"),
        ("weights gone", gone("run/model/model.safetensors"), "model.safetensors"),
        ("weights cut, no digests", all_of(cut("run/model/model.safetensors"), gone(SUMS)),
            "run/model"),
        ("weights gone, no digests", all_of(gone("run/model/model.safetensors"), gone(SUMS)),
         "run/model"),
        ("a weight gone, no digests", tensor_gone, "run/model"),
        ("tokenizer gone", gone("run/model/tokenizer.json"), "tokenizer.json"),
        ("tokenizer gone, no digests", all_of(gone("run/model/tokenizer*"), gone(SUMS)),
            "run/model"),
        ("tokenizer cut, no digests", all_of(cut("run/model/tokenizer.json"), gone(SUMS)),
            "run/model"),
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
    Damage("report.json empty", put("answers/report.json", b""), "report.json", "evaluate",
        OTHER_REPORT),
    Damage("report.json binary", put("answers/report.json", NOISE), "report.json", "evaluate",
           OTHER_REPORT),
    Damage("report.json a list", put("answers/report.json", b"[]"), "report.json", "evaluate",
           OTHER_REPORT),
    Damage("report.json gone", gone("answers/report.json"), "report.json", "evaluate",
        OTHER_REPORT),
    Damage("answers' rollouts cut", cut("answers/rollouts.jsonl"), "", "evaluate"),
    Damage("answers write-protected", write_protected("answers"), "answers", "evaluate"),
]  # fmt: skip
EXPORTS = [
    Damage(f"export: {name}", harm, word, "export", words)
    for name, harm, word, words in (
        ("checkpoint cut", cut(NEWEST), "phase-00002", ()),
        ("checkpoint cut, no digest", all_of(cut(NEWEST), gone(f"{NEWEST}.sha256")),
            "phase-00002", ()),
        ("checkpoint empty, no digest", all_of(put(NEWEST, b""), gone(f"{NEWEST}.sha256")),
         "phase-00002", ()),
        ("one flipped bit", flip(NEWEST), "phase-00002", ()),
        ("one flipped bit, no digest", all_of(flip(NEWEST), gone(f"{NEWEST}.sha256")),
            "phase-00002", ()),
        ("checkpoint a folder", folder(NEWEST), "phase-00002", ()),
        ("checkpoint gone", gone(NEWEST), "phase-00002", ()),
        ("checkpoint with code", checkpoint(lambda _, root: {"state_dict": Payload(root)}),
         "phase-00002", ()),
        ("checkpoint of another program", checkpoint(lambda *_: {"model": torch.zeros(3)}),
         "phase-00002", ()),
        ("checkpoint of another model", checkpoint(
            lambda found, _: found["state_dict"].update({k: v[:1] for k,
                v in found["state_dict"].items()})),
         "phase-00002", ()),
        ("config.yaml gone", gone("run/config.yaml"), "config.yaml", ()),
        ("config.yaml cut", cut("run/config.yaml"), "config.yaml", ()),
        ("config.yaml with code", text("run/config.yaml", "lora: null",
            "lora: {_target_: os.mkdir, path: ran}"),
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
    Damage("a new run, outputs a file", all_of(gone("run"), put("outputs", b"x")), "outputs",
        "begin"),
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
