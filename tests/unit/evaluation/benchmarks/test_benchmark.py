"""What every benchmark has in common, on one made here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.builders import task
from vigorl.core.errors import ConfigError
from vigorl.evaluation.benchmarks.benchmark import Benchmark, cluster_of
from vigorl.evaluation.metrics import Mean, MeanOf, Metric
from vigorl.evaluation.report import QuestionOutcome
from vigorl.evaluation.statistics import wilson_interval


@dataclass(frozen=True, kw_only=True)
class Discs(Benchmark):
    """Two categories, quoted by their mean."""

    name: str = "discs"
    download: str = "hf download me/discs"
    metrics: Mapping[str, Metric] = field(
        default_factory=lambda: {"mean of categories": MeanOf(), "overall": Mean()}
    )

    def tasks(self):
        return [task(id="a", images=("/data/x/1.png",)), task(id="b", images=("/data/x/2.png",))]


def outcome(name: str, score: float, *, category: str = "", cluster: str = "") -> QuestionOutcome:
    return QuestionOutcome(name, category, "red", ("red",), (score,), cluster=cluster)


FIVE = [
    *(outcome(f"colour{i}", score, category="colour") for i, score in enumerate([1, 1, 1, 0])),
    outcome("place", 0.5, category="place"),
]


def test_micro_and_macro():
    assert Mean()(FIVE) == pytest.approx(3.5 / 5)
    assert Mean(("category", "place"))(FIVE) == 0.5
    assert MeanOf()(FIVE) == pytest.approx((0.75 + 0.5) / 2)


def test_scores_of_single_questions_have_wilsons_interval_and_others_a_bootstrap():
    binary = [outcome(str(i), float(i > 2)) for i in range(10)]
    scores = Discs(root="x").scores(binary)
    assert (scores["overall"].low, scores["overall"].high) == wilson_interval(7, 10)
    assert list(scores) == ["mean of categories", "overall"]
    macro = Discs(root="x").scores(FIVE)["mean of categories"]
    assert macro.value == pytest.approx((0.75 + 0.5) / 2)
    assert macro.low <= macro.value <= macro.high


def test_questions_of_one_picture_share_their_luck():
    """Ten pictures of ten questions, all right or all wrong, tell as much as ten questions."""
    clustered = [
        outcome(f"{i}/{k}", float(i < 7), cluster=str(i)) for i in range(10) for k in range(10)
    ]
    apart = [replace(one, cluster="") for one in clustered]
    wide, narrow = (Discs(root="x").scores(many)["overall"] for many in (clustered, apart))
    assert wide.value == narrow.value == 0.7
    # sd of a mean of 10 pictures is sqrt(0.21 / 10) = 0.145, so 2 x 1.96 x 0.145 = 0.57
    assert wide.high - wide.low == pytest.approx(0.57, abs=0.08)
    assert narrow.high - narrow.low == pytest.approx(0.57 / 10**0.5, abs=0.02)


def test_a_missing_download_says_how_to_get_it(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"data\.root='.*absent'.*\n    hf download me/discs"):
        Discs(root=str(tmp_path / "absent")).prepare()
    Discs(root=str(tmp_path)).prepare()


def test_its_settings_are_all_but_where_it_lies(tmp_path: Path):
    here, there = Discs(root="here"), Discs(root="there", option_seed=1)
    assert here.settings()["metrics"]["overall"] == {
        "_target_": "vigorl.evaluation.metrics.Mean", "only": None,
    }  # fmt: skip
    assert not {"root", "download"} & here.settings().keys()
    assert here.settings() == Discs(root="there").settings() != there.settings()
    assert [one.id for one in here.load().test_tasks] == ["a", "b"]
    assert cluster_of(here.tasks()[0]) == "x/1.png"
    assert cluster_of(replace(here.tasks()[0], cluster="pair 3")) == "pair 3"
    assert here.folder == Path("here")
    (tmp_path / "discs").mkdir()
    assert Discs(root=str(tmp_path)).folder == tmp_path / "discs"  # beside other downloads


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("root", 3, r"data\.root must be a text, got 3"),
        ("skip_bad_rows", "maybe", r"data\.skip_bad_rows must be true or false, got 'maybe'"),
        ("option_seed", True, r"data\.option_seed must be a whole number, got True"),
    ],
)
def test_settings_of_the_wrong_kind_are_named(key: str, value: object, message: str):
    with pytest.raises(ConfigError, match=message):
        replace(Discs(root="x"), **{key: value})
