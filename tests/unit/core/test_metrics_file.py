from __future__ import annotations

import math
from pathlib import Path

import pytest

from vigorl.core.errors import DataError
from vigorl.core.metrics_file import (
    MetricsFile,
    MetricsLine,
    append_metrics,
    curve_of,
    curves_of,
    read_metrics,
)


def test_of_two_lines_about_a_moment_the_later_holds_name_by_name(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    for line in (
        MetricsLine("train", 1, 2, {"a": 0.1, "b": 1.0}),
        MetricsLine("val", 2, 4, {"val/a": 0.5}),
        MetricsLine("update", 0.5, 1, {"loss": 3.0}),
        MetricsLine("train", 1, 2, {"a": 0.2, "not": math.nan}),  # resumed
    ):
        append_metrics(path, line)
    with open(path, "a") as file:
        file.write('{"kind": "train", "pha')  # killed while it wrote
    found = read_metrics(path)
    assert [(one.kind, one.phases) for one in found] == [("update", 0.5), ("train", 1), ("val", 2)]
    assert dict(found[1].metrics) == {"a": 0.2, "b": 1.0}
    assert curve_of(found, "a") == curves_of(found)["a"] == ((1.0, 0.2),)


def test_a_further_reading_takes_only_what_was_added(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    file = MetricsFile(path)
    assert file.read() == []
    append_metrics(path, MetricsLine("train", 1, 2, {"a": 0.1}))
    assert len(file.read()) == 1
    path.write_bytes(b"?" * path.stat().st_size)  # which is not looked at again
    append_metrics(path, MetricsLine("train", 2, 4, {"a": 0.2}))
    with open(path, "a") as torn:
        torn.write('{"kind": "train", "phases": 3, ')  # is being written
    assert curve_of(file.read(), "a") == ((1.0, 0.1), (2.0, 0.2))
    with open(path, "a") as torn:
        torn.write('"step": 6, "metrics": {"a": 0.3}}\n')
    assert curve_of(file.read(), "a") == ((1.0, 0.1), (2.0, 0.2), (3.0, 0.3))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[]", "2: not a line of metrics"),
        ('{"kind": "train", "phases": 0, "step": 0, "metrics": 3}', "2: not a line of metrics"),
        ('{"kind": "test", "phases": 0, "step": 0, "metrics": {}}', "2: kind 'test' is none of"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, words: str):
    path = tmp_path / "metrics.jsonl"
    append_metrics(path, MetricsLine("train", 0, 0, {"a": 1.0}))
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(DataError, match=words):
        read_metrics(path)


def test_a_run_without_the_file_has_measured_nothing(tmp_path: Path):
    assert read_metrics(tmp_path / "metrics.jsonl") == []
