"""The door that compares: what it reads, writes and refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests import builders
from tests.unit.evaluation.outcomes import outcome, report
from tests.unit.pages.conftest import at
from vigorl.compare import Measured, flips_of, main
from vigorl.core.rollout import RewardBreakdown, ScoredRollout
from vigorl.evaluation.comparison import compare_all
from vigorl.evaluation.protocol import Protocol
from vigorl.evaluation.report import EvaluationReport
from vigorl.rollout.recorder import RolloutRecorder


def write(folder: Path, one: EvaluationReport) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(one.to_json())
    return folder


def measured(*right: str, name: str = "vstar", setting: int = 0) -> EvaluationReport:
    questions = (outcome(id, id in right) for id in "abcdef")
    return report(*questions, name=name, protocol=Protocol(name, {"limit": setting}))


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit):
        main(words)
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_table_a_file_and_a_page_with_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    picture = tmp_path / "disc.png"
    Image.new("RGB", (448, 448)).save(picture)
    start = write(tmp_path / "start", measured("a"))
    end = write(tmp_path / "end", measured("a", "b", "c"))
    for folder, answer in ((start, "blue"), (end, "red")):
        with RolloutRecorder(folder / "rollouts.jsonl", run_seed=0) as recorder:
            for id in "abc":
                one = at(str(picture), builders.rollout(builders.answer_turn(answer)))
                one = replace(one, task=builders.task(id=id))
                recorder.write(ScoredRollout(one, RewardBreakdown(1.0)), phase="test")
    main([str(start / "report.json"), str(end)])
    printed = capsys.readouterr().out
    assert "start 16.7  end 50.0  +33.3" in printed
    assert "one comparison" in printed
    written = json.loads((end / "comparison.json").read_text())
    assert written["models"] == {"start": f"{start}/report.json", "end": str(end)}
    assert written["comparisons"][0]["found"]["p_value"] == 0.5  # two questions, both better
    page = (end / "comparison.html").read_text()
    assert page.count("became better") == 2
    assert page.count("<image ") == 1


def test_the_answer_that_tells_two_models_apart_is_shown(tmp_path: Path):
    """Of several: the best of the better model, the worst of the other."""
    before, after = (report(outcome("a", *scores)) for scores in ((1, 0), (0, 1, 1)))
    models = {
        name: Measured({"vstar": one}, {"vstar": tmp_path})
        for name, one in (("before", before), ("after", after))
    }
    (pair,) = compare_all({name: one.reports for name, one in models.items()})
    (flip,) = flips_of(pair, models, 9)
    assert [side.answer for side in flip.sides] == ["blue", "red"]
    assert [side.num_answers for side in flip.sides] == [2, 3]
    assert flip.is_better


def test_suites_are_compared_benchmark_by_benchmark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for model, right in (("x", "a"), ("y", "ab"), ("z", "abc")):
        write(tmp_path / model / "vstar", measured(*right))
        write(tmp_path / model / "blink", measured(*right, name="blink"))
    write(tmp_path / "z/extra", measured(name="extra"))
    main(["--flips=0", *(f"{tmp_path}/{model}/vstar/report.json" for model in "xy")])
    assert "x 16.7  y 33.3  +16.7" in capsys.readouterr().out  # named by what differs
    main([*(str(tmp_path / model) for model in "xyz"), "--out", str(tmp_path / "out"), "--flips=0"])
    assert "6 comparisons" in capsys.readouterr().out  # two benchmarks, three pairs
    written = json.loads((tmp_path / "out/comparison.json").read_text())
    assert {one["benchmark"] for one in written["comparisons"]} == {"vstar", "blink"}
    assert (tmp_path / "out/comparison.html").is_file()


def test_what_cannot_be_compared_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    a = str(write(tmp_path / "a", measured("a")))
    b = str(write(tmp_path / "b", measured("b", setting=1)))
    main([a, b, "--allow-other-protocol"])
    found = capsys.readouterr().out
    assert "* vstar, a and b were measured by different protocols:\n    a setting (limit)" in found
    assert "holds none: name a report.json" in refusal(capsys, a, str(tmp_path / "absent"))
    assert "name two runs at least" in refusal(capsys, a)
    assert "stands there twice" in refusal(capsys, a, a)
    assert "unrecognized arguments: --nonsense" in refusal(capsys, a, b, "--nonsense")
    (tmp_path / "b/report.json").write_text("{}")
    assert "b/report.json: not an evaluation report" in refusal(capsys, a, b)


def test_a_plan_from_numbers_from_a_report_or_from_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    main(["--plan", "--discordance=0.15", "--questions=191", "--points=3"])
    assert "1,309" in capsys.readouterr().out
    a, b, c = (str(write(tmp_path / name, measured(*name))) for name in ("ab", "bcd", "c"))
    main(["--plan", a, "--points=10"])
    # accuracy 1/3: 2 * 1/3 * 2/3 * 0.5 = 0.2222 of the questions disagree
    assert "0.2222 between questions" in capsys.readouterr().out
    main(["--plan", a, b])
    assert "0.5000 between questions" in capsys.readouterr().out  # a, c and d of six
    assert "needs a report, --discordance or --accuracy" in refusal(capsys, "--plan")
    assert "at an accuracy of 0 no two" in refusal(capsys, "--plan", "--accuracy=0")
    assert "--points [0.0] must be above 0" in refusal(capsys, "--plan", "--points=0")
    assert "or two of the same benchmark" in refusal(capsys, "--plan", a, b, c)
