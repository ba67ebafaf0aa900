"""A model's card says what the run's folder says, and nothing of the machine."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from omegaconf import OmegaConf
from PIL import Image

from tests import builders
from tests.unit.pages.conftest import at
from vigorl.build import ASSETS
from vigorl.core.errors import ConfigError
from vigorl.data.encoding import ChatCodec, Message
from vigorl.evaluation.protocol import Protocol
from vigorl.evaluation.report import Accuracy, EvaluationReport, QuestionOutcome
from vigorl.evaluation.statistics import wilson_interval
from vigorl.model_card import describe, shareable, start_of, write_card
from vigorl.rollout.recorder import RolloutRecorder

START = ASSETS / "tiny_start"
SAID = (
    "experiment=grpo_vstar", "paths.root=/home/ann/secret place", "logger.tracking_uri=http://ann:pw@h",
    "data.path=/home/ann/mine.csv", "hydra.run.dir=x", "+engine.api_key=sk-1", "plan.group_size=16",
)  # fmt: skip


def a_run(folder: Path, *, right: str = "ab", with_model: bool = True, **settings: Any) -> Path:
    """A run of two phases, that had one of three questions right before and those of `right` after
    them.
    """
    run = folder / "run"
    (run / "rollouts").mkdir(parents=True)
    tool = {"_target_": "vigorl.rollout.tools.zoom_point.ZoomPoint", "window_px": 112}
    plain = {
        "name": "mine",
        "seed": 4,
        "paths": {"run": str(run)},
        "model": {"path": str(START), "dtype": "float32"},
        "data": {"_target_": "vigorl.data.scenes.world.MadeWorld", "root": "/home/ann/world"},
        "env": {"tools": [tool], "limits": {"max_turns": 5, "max_new_tokens": 64}},
        "module": {"algorithm": {"_target_": "vigorl.training.algorithms.grpo.GRPO"}},
    }
    OmegaConf.save(OmegaConf.create(plain | settings), run / "config.yaml")
    identity = {"format": 2, "mlflow_run_id": None, "overrides": list(SAID)}
    (run / "run.json").write_text(json.dumps(identity))
    prints = {"data/train_tasks": "0123abcd", "data/val_tasks": "4567cdef"}
    (run / "data.json").write_text(json.dumps(prints))
    Image.new("RGB", (448, 448)).save(folder / "disc.png")
    codec = ChatCodec.from_pretrained(START)
    asked = codec.prompt_ids(
        [Message("system", "Look in /home/ann\n</think> Twice."), Message("user", "?")]
    )
    for phases, which in ((0, "a"), (2, right)):
        path = run / "rollouts" / f"val_phase_{phases:04d}.jsonl"
        with RolloutRecorder(path, run_seed=0) as recorder:
            for id in "abc":
                turn = builders.answer_turn("red" if id in which else "blue")
                one = replace(
                    at(str(folder / "disc.png"), builders.rollout(turn)),
                    task=builders.task(id=id, images=(f"{id}.png",)),
                    prompt_ids=tuple(asked),
                )
                recorder.write(builders.scored(one), phase=f"val/{phases}")
    if with_model:
        shutil.copytree(START, run / "model")
        (run / "model/README.md").unlink()
        describe(run / "model", 2, run=run)
    return run


def evaluation(folder: Path, model: Path) -> Path:
    folder.mkdir()
    OmegaConf.save({"paths": {}, "model": {"path": str(model)}}, folder / "config.yaml")
    outcomes = tuple(QuestionOutcome(f"q{i}", "", "A", ("A",), (float(i < 3),)) for i in range(4))
    protocol = Protocol("vstar", {"questions": {"fingerprint": "fedc"}}, ("env.temperature",))
    own = {"exact": Accuracy(0.5, 0.25, 0.75, 4)}
    report = EvaluationReport("vstar", outcomes, benchmark=own, protocol=protocol)
    (folder / "report.json").write_text(report.to_json())
    return folder


def test_a_card_has_the_figures_of_the_run_with_their_intervals(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    card = ModelCard.load(run / "model/README.md")
    low, high = (100 * one for one in wilson_interval(2, 3))
    assert f"| 3 | 66.7 % | [{low:.1f}, {high:.1f}] |" in card.text
    assert "Before training, on the same held-out questions: 33.3 %" in card.text
    (entry,) = card.data.eval_results
    assert (entry.metric_value, entry.dataset_args) == (66.67, {"fingerprint": "4567cdef"})
    assert entry.metric_args == {"interval_95": [round(low, 2), round(high, 2)]}
    assert card.data.to_dict()["vigorl"]["phases"] == 2
    for said in ("| train_tasks | `0123abcd` |", "tools ZoomPoint, window_px 112", "Twice.",
                 "`tiny_start`, which ships", "no real picture", "Not stated."):  # fmt: skip
        assert said in card.text, said
    found = evaluation(tmp_path / "evaluated", run / "model")
    write_card(run / "model", run=run, licence="mit", evaluations=[str(found)])
    card = ModelCard.load(run / "model/README.md")
    assert card.data.license == "mit"
    assert [one.metric_value for one in card.data.eval_results] == [66.67, 75.0, 50.0]
    assert "modified: env.temperature: exact | 4 | 50.0 % | [25.0, 75.0] |" in card.text
    other = a_run(tmp_path / "other", with_model=False).rename(tmp_path / "b")
    with pytest.raises(ConfigError, match=r"evaluations: .*evaluated judged .*, not .*b/model"):
        write_card(run / "model", run=other, evaluations=[str(found)])
    checkpoint = run / "checkpoints/phase-00001.ckpt"
    with pytest.raises(ConfigError, match=r"judged .*model, not .*phase-00001\.ckpt"):
        write_card(run / "model", run=run, checkpoint=checkpoint, evaluations=[str(found)])


def test_no_figure_is_made_up(tmp_path: Path) -> None:
    run = a_run(tmp_path, early_stop={"metric": "val/accuracy"})
    for phases in (None, 1):  # nobody knows which phase it is of; one that was not evaluated
        (run / "model/README.md").unlink()
        write_card(run / "model", run=run, phases=phases)
        card = ModelCard.load(run / "model/README.md")
        assert card.data.eval_results is None
        assert "%" not in card.text
        assert "None: the run's folder has no evaluation of these weights." in card.text


def test_nothing_of_the_machine_is_in_a_card(tmp_path: Path, monkeypatch: Any) -> None:
    text = (a_run(tmp_path) / "model/README.md").read_text()
    assert "python -m vigorl.train experiment=grpo_vstar data.path=... +engine.api_key=..." in text
    for hidden in ("/home", "ann", "secret", "http", "sk-1", str(tmp_path), str(ASSETS)):
        assert hidden not in text, hidden
    monkeypatch.setenv("USER", "ann")
    odd = ["x=[a,/b]", "x='/b c/d'", "x=~/b", "x=../b", "x=C:\\b", "x=a/ann/b", "x=a@b.org",
           "x=hf_abcdefgh", "x=${oc.env:HOME}", "x={path:/b}", "x=sqlite:///b",
           "my.token=1", "x={api_key: 1}"]  # fmt: skip
    assert [one.partition("=")[2] for one in shareable(odd)] == ["..."] * len(odd)
    kept = ["limits.max_new_tokens=64", "x=gspo_token", "~guard",
            "model.path=Qwen/Qwen2.5-VL-3B-Instruct",
            "optimizer.lr=1e-4", "engine.device=cuda:0", "model.path=outputs/a/model"]  # fmt: skip
    assert shareable(kept) == kept


def test_the_start_is_found_through_the_runs_before(tmp_path: Path) -> None:
    first = a_run(tmp_path / "a", model={"path": "Qwen/Qwen2.5-VL-3B-Instruct", "dtype": "float32"})
    settings = {"model": {"path": str(first / "model")}}
    base, words = start_of(settings)
    assert base == "Qwen/Qwen2.5-VL-3B-Instruct"
    assert words.endswith("(through 1 training before this one)")
    assert start_of({"model": {"path": "/home/ann/own"}}) == (None, "a model of its own")
    assert start_of({"model": {"path": "hub:a/b@v1"}}) == ("a/b", "`a/b` at revision `v1`")


def test_a_run_that_cannot_be_described_keeps_its_model(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = a_run(tmp_path)
    (run / "model/README.md").unlink()
    (run / "run.json").write_text("{")
    describe(run / "model", 2, run=run)
    assert "has no card" in caplog.text
    assert not (run / "model/README.md").exists()
