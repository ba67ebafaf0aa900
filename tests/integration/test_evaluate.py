"""The evaluation door with an engine that answers from a script: what it records, and when."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from tests.integration.door import SMALL, only_run, settings, store
from vigorl.core.errors import ConfigError, DataError, EngineError
from vigorl.core.protocols import Engine, GenerationRequest
from vigorl.core.trace import render_answer_turn
from vigorl.data.encoding import ChatCodec
from vigorl.evaluate import run_evaluation
from vigorl.evaluation.comparison import compare_reports
from vigorl.evaluation.report import EvaluationReport
from vigorl.rollout.engines.scripted import ScriptedEngine

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def says_red(*, codec: ChatCodec, **_: Any) -> Engine:
    return ScriptedEngine(lambda _: render_answer_turn("It is there.", "red"), codec)


def says_nothing(*, codec: ChatCodec, **_: Any) -> Engine:
    return ScriptedEngine(lambda _: "", codec)


def dies(*, codec: ChatCodec, **_: Any) -> Engine:
    def script(request: GenerationRequest) -> str:
        raise EngineError("out of memory")

    return ScriptedEngine(script, codec)


def must_not_start(**_: Any) -> Engine:
    raise AssertionError("the engine was built")


def evaluation(
    root: Path,
    engine: str,
    *overrides: str,
    small: list[str] = SMALL,
    shipped: DictConfig | None = None,
) -> EvaluationReport:
    """With the run's files in ROOT/run."""
    answering = f"engine._target_=tests.integration.test_evaluate.{engine}"
    said = [f"paths.run={root}/run", answering, *overrides]
    return run_evaluation(settings(root, *said, door="evaluate", small=small), shipped)


def test_settings_and_data_are_recorded_before_the_first_answer(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="out of memory"):
        evaluation(tmp_path, "dies")
    run = only_run(tmp_path)
    assert run.info.status == "FAILED"
    assert run.data.params["split"] == "test"
    assert "version.torch" in run.data.params
    assert "git.commit" in run.data.tags
    assert (tmp_path / "run/config.yaml").is_file()
    whole = run.data.params["data/evaluated_tasks"]
    assert len(whole) == 16

    other = tmp_path / "limited"
    evaluation(other, "says_red", "limit=3")
    assert only_run(other).data.params["data/evaluated_tasks"] != whole


def test_parts_are_merged_to_the_bytes_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled = ["env.eval_temperature=0.7", "samples_per_task=2"]
    whole = evaluation(tmp_path, "says_red", *sampled, f"paths.run={tmp_path}/whole")
    for part in (1, 2, 3):
        here = [f"shard={part}/3", f"paths.run={tmp_path}/parts/{part}"]
        report = evaluation(tmp_path, "says_red", *sampled, *here)
        assert len(report.questions) == (2, 1, 1)[part - 1]
    merge = [*sampled, f"merge={tmp_path}/parts", f"paths.run={tmp_path}/merged"]
    monkeypatch.setattr("vigorl.evaluate.build_engine", lambda *_: must_not_start())
    assert evaluation(tmp_path, "says_red", *merge).accuracy == whole.accuracy
    for name in ("rollouts.jsonl", "report.json"):
        merged = (tmp_path / "merged" / name).read_bytes()
        assert merged == (tmp_path / "whole" / name).read_bytes(), name

    for damage, said in (
        (lambda: (tmp_path / "parts/2/shard.jsonl").rename(tmp_path / "kept"), "has not ended"),
        (lambda: shutil.rmtree(tmp_path / "parts/2"), r"the parts \[2\] of 3 are not there"),
    ):
        damage()
        with pytest.raises(ConfigError, match=said):
            evaluation(tmp_path, "says_red", *merge, "paths.run=again")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["shard=4/3"], "shard=4/3: there is no such part"),
        (["shard=1/3", "merge=x"], "merge is for the whole evaluation"),
        (["merge=nothing"], "it holds no part, a folder with shard="),
    ],
)
def test_parts_that_are_none(tmp_path: Path, given: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        evaluation(tmp_path, "must_not_start", *given)


def test_a_comparison_is_printed_and_logged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    evaluation(before, "says_nothing")
    path = before / "run/report.json"
    report = evaluation(after, "says_red", f"compare_with={path}")
    found = compare_reports(report, EvaluationReport.from_json(path.read_text()))
    assert f"against {path}:\n{found}" in capsys.readouterr().out
    run = only_run(after)
    assert run.data.metrics["compare/difference"] == pytest.approx(found.difference)
    assert run.data.metrics["compare/p_value"] == pytest.approx(found.p_value)
    assert run.data.metrics["compare/num_questions"] == found.num_questions == 4
    written = json.loads((after / "run/comparison.json").read_text())
    assert (written["compare_with"], written["low"]) == (str(path), found.low)
    logged = {one.path for one in store(after).list_artifacts(run.info.run_id)}
    assert {"comparison.json", "report.json", "rollouts.jsonl", "rollouts.html"} <= logged


def test_a_report_that_cannot_be_compared_with_is_found_before_any_answer(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"compare_with: 'absent\.json' is not a file"):
        evaluation(tmp_path, "must_not_start", "compare_with=absent.json")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(DataError, match=r"bad\.json: not an evaluation report"):
        evaluation(tmp_path, "must_not_start", f"compare_with={tmp_path}/bad.json")
    assert not (tmp_path / "outputs/mlflow.db").exists()  # not even a failed run

    evaluation(tmp_path, "says_red", "limit=3")
    report = f"{tmp_path}/run/report.json"
    with pytest.raises(ConfigError, match="not measured on the same questions: 1 differ"):
        evaluation(tmp_path / "b", "must_not_start", f"compare_with={report}")


@pytest.mark.skipif(not SHARED.is_dir(), reason="no real sample data beside this checkout")
def test_screenspot_and_vstar_questions_are_reached(tmp_path: Path) -> None:
    small = [override for override in SMALL if override != "debug=fast"]  # sizes of the made world
    screens = SHARED / "screenspot_mini" / "screenspot_web_v2.json"
    report = evaluation(
        tmp_path / "screens",
        "says_red",
        "data=screenspot",
        f"data.file={screens}",
        "data.as_benchmark=true",
        "env=web_grounding_point",
        small=small,
    )
    assert report.accuracy.num_questions == 5
    assert set(report.by_category) == {"web/text", "web/icon"}

    row = {"image": "direct_attributes/ambulance_man.jpg", "label": "B",
           "text": "What?\n(A) blue\n(B) red", "category": "direct_attributes"}  # fmt: skip
    (tmp_path / "test_questions.jsonl").write_text(json.dumps(row))
    report = evaluation(
        tmp_path / "questions",
        "says_red",
        "data=vstar_questions",
        f"data.file={tmp_path}/test_questions.jsonl",
        f"data.image_root={SHARED}/vstar_mini",
        "data.as_benchmark=true",
        small=small,
    )
    assert (report.accuracy.value, report.chance) == (1.0, 0.5)


ANY_SIZE = [override for override in SMALL if override != "debug=fast"]  # not of the made world


@pytest.mark.skipif(not SHARED.is_dir(), reason="no real sample data beside this checkout")
@pytest.mark.parametrize(
    ("benchmark", "folder", "metrics"),
    [
        ("vstar", "vstar_mini", {"overall", "mean of categories"}),
        ("vstar", "benchmarks/vstar", {"overall", "mean of categories"}),
        ("screenspot_v2", "screenspot_mini", {"overall", "mean of cells"}),
        ("screenspot_v2", "benchmarks/screenspot_v2", {"overall", "mean of cells"}),
        ("screenspot_pro", "benchmarks/screenspot_pro", {"overall", "mean of cells"}),
    ],
)
def test_a_benchmark_is_one_choice(
    tmp_path: Path, benchmark: str, folder: str, metrics: set[str]
) -> None:
    chosen = [f"benchmark={benchmark}", f"data.root={SHARED}/{folder}"]
    report = evaluation(tmp_path, "says_red", *chosen, small=ANY_SIZE)
    assert report.name == benchmark
    assert set(report.benchmark) == metrics
    assert all(question.cluster for question in report.questions)
    protocol = report.protocol
    assert protocol is not None
    assert (protocol.name, protocol.changed) == (benchmark, ())
    assert protocol.settings["questions"]["number"] == len(report.questions)
    assert protocol.settings["env"]["prompt"]["system"]
    assert EvaluationReport.from_json((tmp_path / "run/report.json").read_text()) == report
    params = only_run(tmp_path).data.params
    assert params["protocol"] == str(protocol)


@pytest.mark.skipif(not SHARED.is_dir(), reason="no real sample data beside this checkout")
def test_what_a_benchmark_locks_is_changed_only_in_the_open(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ["benchmark=vstar", f"data.root={SHARED}/benchmarks/vstar"]
    shipped = settings(tmp_path, *chosen, door="evaluate", small=ANY_SIZE)
    asked: dict[str, Any] = {"small": ANY_SIZE, "shipped": shipped}
    locked = evaluation(tmp_path / "a", "says_red", *chosen, **asked)
    said = ["limits.max_turns=2", "pixels.max_pixels=50176"]
    against = f"compare_with={tmp_path}/a/run/report.json"
    other = evaluation(tmp_path / "b", "says_red", *chosen, *said, against, **asked)
    assert locked.protocol is not None
    assert other.protocol is not None
    assert other.protocol.changed == ("env.limits.max_turns",)  # pixels are the model's, and noted
    assert other.protocol.fingerprint != locked.protocol.fingerprint
    assert "modified: env.limits.max_turns" in other.table()
    printed = capsys.readouterr().out
    assert "(env.limits.max_turns): 5 -> 2" in printed
    assert "(pixels.max_pixels): 12544 -> 50176" in printed
    form = evaluation(tmp_path / "c", "says_red", *chosen, "data.form=questions", **asked)
    assert form.protocol is not None
    assert form.protocol.changed == ("data.form",)


def test_an_ordinary_evaluation_has_a_protocol_and_nothing_locked(tmp_path: Path) -> None:
    report = evaluation(tmp_path, "says_red", "env=visual_search_point")
    assert report.protocol is not None
    assert (report.protocol.name, report.protocol.changed) == ("eval_vstar", ())
    assert report.benchmark == {}
