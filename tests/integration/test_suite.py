"""Several benchmarks in one command, and evaluations that are killed: what is asked, and what comes
of it.
"""

from __future__ import annotations

import json
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.chat_server import ChatServer
from tests.integration.door import NO_TRACES, store
from vigorl.core.protocols import Completion, Engine
from vigorl.core.trace import render_answer_turn
from vigorl.data.encoding import ChatCodec
from vigorl.evaluate import main
from vigorl.rollout.engines.scripted import ScriptedEngine

ASKED: list[str] = []
BUILT: list[str] = []
DIES_AFTER: list[int] = []


class Killed(BaseException):
    """What a kill is to the code: nothing that it catches."""


class OneByOne(ScriptedEngine):
    """Answers one request per poll, and notes which; a kill comes between two polls."""

    def poll(self) -> list[Completion]:
        if DIES_AFTER and len(ASKED) >= DIES_AFTER[0]:
            raise Killed
        finished = super().poll()
        ASKED.extend(one.request_id for one in finished)
        return finished


def says_red(*, codec: ChatCodec, folder: str, **_: Any) -> Engine:
    BUILT.append(folder)
    ticks = count()
    red = render_answer_turn("It is there.", "red")
    return OneByOne(lambda _: red, codec, delay=lambda _: next(ticks))


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    """V*Bench with three questions, and ScreenSpot-v2 with two."""
    root = tmp_path / "downloads"
    for number, category in enumerate(
        ("direct_attributes", "relative_position", "relative_position")
    ):
        folder = root / "vstar_bench" / category
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (112, 112), (number, 0, 0)).save(folder / f"{number}.jpg")
        row = {"target_object": ["cup"], "bbox": [[10, 10, 20, 20]], "question": "What?",
               "options": ["red", "blue"]}  # fmt: skip
        (folder / f"{number}.json").write_text(json.dumps(row))
    screens = root / "screenspot_v2"
    (screens / "images").mkdir(parents=True)
    Image.new("RGB", (112, 112)).save(screens / "images/a.png")
    rows = [{"img_filename": "a.png", "bbox": [1, 2, 3, 4], "instruction": f"Close {i}.",
             "data_type": "icon", "data_source": "shop"} for i in range(2)]  # fmt: skip
    (screens / "screenspot_web_v2.json").write_text(json.dumps(rows))
    return root


@pytest.fixture
def evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The command, in ROOT/NAME."""
    ASKED.clear(), BUILT.clear(), DIES_AFTER.clear()

    def run(*words: str) -> None:
        engine = "engine._target_=tests.integration.test_suite.says_red"
        said = [engine, f"paths.root={tmp_path}", "num_threads=1", *NO_TRACES, *words]
        monkeypatch.setattr(sys, "argv", ["evaluate", *said])
        main()

    return run


def test_each_benchmark_has_a_run_below_the_suites_and_one_engine_answers_all(
    tmp_path: Path, downloads: Path, evaluate: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(f"data.root={downloads}", "suite=[vstar,screenspot_v2]", "benchmark=_suite",
             f"paths.base={tmp_path}/run")  # fmt: skip
    assert len(BUILT) == 1
    assert len(ASKED) == 5
    assert {one.name for one in (tmp_path / "run").iterdir() if one.is_dir()} == {
        "vstar", "screenspot_v2",
    }  # fmt: skip
    report = json.loads((tmp_path / "run/vstar/report.json").read_text())
    assert report["protocol"]["changed"] == []
    assert report["benchmark"]["overall"]["value"] == 1.0
    table = (tmp_path / "run/suite.txt").read_text()
    assert "vstar          100.0 %" in table
    assert table in capsys.readouterr().out
    (experiment,) = store(tmp_path).search_experiments(filter_string="name = 'vigorl'")
    found = store(tmp_path).search_runs([experiment.experiment_id])
    runs = {one.info.run_name.partition(", engine")[0]: one for one in found}
    parent = runs["suite, seed 0"]
    assert parent.data.metrics["suite/vstar"] == 1.0
    for name in ("vstar, seed 0", "screenspot_v2, seed 0"):
        assert runs[name].data.tags["mlflow.parentRunId"] == parent.info.run_id


def test_a_killed_suite_asks_nothing_twice_and_ends_with_the_same_bytes(
    tmp_path: Path, downloads: Path, evaluate: Any
) -> None:
    chosen = [f"data.root={downloads}", "suite=[vstar,screenspot_v2]", "benchmark=_suite"]
    evaluate(*chosen, f"paths.base={tmp_path}/whole")
    whole, ASKED[:] = list(ASKED), []
    killed = tmp_path / "killed=,a"
    go_on = f'resume="{killed}"'
    for after, words in ((2, [*chosen, f'paths.base="{killed}"']), (4, [go_on])):
        DIES_AFTER[:] = [after]
        with pytest.raises(Killed):
            evaluate(*words)
    DIES_AFTER.clear()
    evaluate(go_on)
    assert sorted(ASKED) == sorted(whole)
    for name in ("vstar", "screenspot_v2"):
        for file in ("report.json", "rollouts.jsonl"):
            a, b = ((root / name / file).read_bytes() for root in (tmp_path / "whole", killed))
            assert a == b
        assert not (killed / name / "answers.jsonl").exists()
    evaluate(go_on)  # all is there
    assert sorted(ASKED) == sorted(whole)


def test_missing_downloads_are_all_named_before_anything_is_asked(
    tmp_path: Path, downloads: Path, evaluate: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    three = "suite=[screenspot_pro,vstar]"
    with pytest.raises(SystemExit):
        evaluate(f"data.root={downloads}", three, "benchmark=_suite")
    said = capsys.readouterr().err
    into = f"hf download likaixin/ScreenSpot-Pro --repo-type dataset --local-dir {downloads}/"
    assert f"{into}screenspot_pro" in said
    assert "skip_missing=true" in said
    assert not ASKED
    evaluate(f"data.root={downloads}", three, "benchmark=_suite", "skip_missing=true")
    assert (
        "left out: screenspot_pro: not there, and skip_missing=true (get it by hf"
        in capsys.readouterr().out
    )
    assert len(ASKED) == 3


def test_a_kits_suite_leaves_out_what_the_kit_does_not_know_and_says_so(
    tmp_path: Path, downloads: Path, evaluate: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = [f"data.root={downloads}", "benchmark=_suite", f"paths.base={tmp_path}/run"]
    with pytest.raises(SystemExit):
        evaluate(*chosen, "protocol=lmms_eval", "suite=[treebench,zoombench]")
    said = capsys.readouterr().err
    assert "cannot be used for any of the suite (treebench: " in said
    assert not ASKED
    evaluate(*chosen, "protocol=lmms_eval", "suite=[treebench,vstar,zoombench]")
    assert len(ASKED) == 3
    said = capsys.readouterr().out
    for name in ("treebench", "zoombench"):  # neither is downloaded, which does not matter
        line = f"left out: {name}: protocol=lmms_eval cannot be used for it: it has no such task\n"
        assert said.count(line) == 2  # at the start, and below the table
        assert line in (tmp_path / "run/suite.txt").read_text()


def test_a_suites_judge_is_asked_once_about_each_open_answer(
    tmp_path: Path, downloads: Path, evaluate: Any
) -> None:
    opened = downloads / "visualprobe_easy"
    opened.mkdir()
    Image.new("RGB", (112, 112)).save(opened / "a.png")
    row = {"problem": "<image>What colour?", "solution": "crimson", "images": ["a.png"],
           "doc_id": "1", "data_source": "easy"}  # fmt: skip
    (opened / "val.json").write_text(json.dumps([row]))
    server = ChatServer(lambda _: "<verdict>right</verdict>")
    chosen = [f"data.root={downloads}", "suite=[vstar,visualprobe_easy]", "benchmark=_suite",
              "judge=chat", f"judge.urls=[{server.url}]", "judge.model=wise"]  # fmt: skip
    try:
        evaluate(*chosen, f"paths.base={tmp_path}/run")
        (prompt,) = server.prompts  # of 32 answers to one question, which are the same
        assert "crimson" in prompt
        found, closed = (
            json.loads((tmp_path / "run" / name / "report.json").read_text())
            for name in ("visualprobe_easy", "vstar")
        )
        (question,) = found["questions"]
        assert (question["scores"][0], question["extras"]["rule"]) == (1.0, 0.0)
        assert found["protocol"]["settings"]["judging"]["model"] == "wise"
        assert all(one["extras"]["judged"] == 0.0 for one in closed["questions"])
        evaluate(*chosen, f"paths.base={tmp_path}/again")  # verdicts are kept
        assert len(server.prompts) == 1
    finally:
        server.close()


def test_a_member_of_an_experiments_suite_is_gone_on_with_alone(
    tmp_path: Path, downloads: Path, evaluate: Any
) -> None:
    paper = ["experiment=eval_vigorl_paper", f"data.root={downloads}", "skip_missing=true"]
    DIES_AFTER[:] = [1]
    with pytest.raises(Killed):
        evaluate(*paper, f"paths.base={tmp_path}/run")
    DIES_AFTER.clear()
    evaluate(f"resume={tmp_path}/run/vstar")
    assert len(ASKED) == 3
    assert {one.name for one in (tmp_path / "run").iterdir() if one.is_dir()} == {"vstar"}
    evaluate(f"resume={tmp_path}/run")
    assert len(ASKED) == 5


def test_an_unknown_benchmark_of_a_suite_is_named(
    evaluate: Any, downloads: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        evaluate(f"data.root={downloads}", "suite=[vstart]", "benchmark=_suite")
    assert "there is no benchmark 'vstart'; did you mean vstar?" in capsys.readouterr().err


def test_rollouts_are_judged_again_without_asking(
    tmp_path: Path, downloads: Path, evaluate: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ["benchmark=vstar", f"data.root={downloads}"]
    evaluate(*chosen, f"paths.base={tmp_path}/asked")
    asked, built = len(ASKED), len(BUILT)
    again = [*chosen, f"rescore={tmp_path}/asked", "protocol=vlmevalkit"]
    evaluate(*again, f"paths.base={tmp_path}/again")
    assert (len(ASKED), len(BUILT)) == (asked, built)
    old, new = (
        json.loads((tmp_path / name / "report.json").read_text()) for name in ("asked", "again")
    )
    assert [one["id"] for one in new["questions"]] == [one["id"] for one in old["questions"]]
    assert new["protocol"]["fingerprint"] != old["protocol"]["fingerprint"]
    assert new["protocol"]["settings"]["env"] == old["protocol"]["settings"]["env"]
    with pytest.raises(SystemExit):
        evaluate("benchmark=screenspot_v2", f"data.root={downloads}", f"rescore={tmp_path}/asked")
    assert "was asked vstar, not screenspot_v2: set benchmark=vstar" in capsys.readouterr().err


def test_a_folder_of_answers_is_not_gone_on_with_by_other_settings(
    tmp_path: Path, downloads: Path, evaluate: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = [f"data.root={downloads}", "suite=[vstar,screenspot_v2]", "benchmark=_suite"]
    again = [*suite, f"paths.base={tmp_path}/suite"]
    DIES_AFTER[:] = [4]  # vstar is done, screenspot_v2 half
    with pytest.raises(Killed):
        evaluate(*again)
    DIES_AFTER.clear()
    asked = list(ASKED)
    for words in ([*again, "seed=7"], [f"resume={tmp_path}/suite", "samples_per_task=2",
                                       "env.eval_temperature=1"]):  # fmt: skip
        with pytest.raises(SystemExit):
            evaluate(*words)
        assert "suite/vstar holds a finished evaluation of other" in capsys.readouterr().err
    one = ["benchmark=vstar", f"data.root={downloads}", f"paths.base={tmp_path}/one"]
    DIES_AFTER[:] = [len(asked) + 2]
    with pytest.raises(Killed):
        evaluate(*one)
    DIES_AFTER.clear()
    with pytest.raises(SystemExit):
        evaluate(f"resume={tmp_path}/one", "seed=7")
    assert "one holds answers of other settings: seed: 0 -> 7" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        evaluate(*one, "pixels.max_pixels=3136")
    assert "pixels.max_pixels: 12544 -> 3136" in capsys.readouterr().err
    assert len(ASKED) == len(asked) + 2
    evaluate(*again)
    evaluate(f"resume={tmp_path}/one", "limit=3")
    assert len(ASKED) == 5 + 3


def test_a_finished_evaluation_is_not_asked_again(
    tmp_path: Path, downloads: Path, evaluate: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate("benchmark=vstar", f"data.root={downloads}", f"paths.base={tmp_path}/one")
    before = (tmp_path / "one/report.json").read_bytes()
    evaluate(f"resume={tmp_path}/one", f"compare_with={tmp_path}/one/report.json")
    said = capsys.readouterr().out
    assert "one is finished, nothing is asked" in said
    assert "+0.0 points" in said
    assert len(ASKED) == 3
    assert (tmp_path / "one/report.json").read_bytes() == before
    with pytest.raises(SystemExit):
        evaluate(f"resume={tmp_path}/one", "limit=2")
    assert "holds a finished evaluation of other settings" in capsys.readouterr().err


def test_what_becomes_of_bad_rows_is_said_to_all_of_a_suite(
    tmp_path: Path, downloads: Path, evaluate: Any
) -> None:
    (bad,) = (downloads / "vstar_bench/direct_attributes").glob("*.json")
    bad.write_text("{")
    evaluate(f"data.root={downloads}", "suite=[vstar]", "benchmark=_suite",
             f"paths.base={tmp_path}/run", "data.skip_bad_rows=true")  # fmt: skip
    report = json.loads((tmp_path / "run/vstar/report.json").read_text())
    assert len(report["questions"]) == 2
    assert report["protocol"]["changed"] == ["data.skip_bad_rows"]
