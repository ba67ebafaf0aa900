"""Records as JSON: what comes back is equal, a scorer is found again wherever it was written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.builders import task
from vigorl.core.geometry import Box
from vigorl.core.scoring import ActionMatch, PointInBox, Scorer, TextMatch
from vigorl.data.plain import read_scorer, to_plain


@dataclass(frozen=True, slots=True)
class EitherOf(Scorer):
    """Another's class: the best of several scorers, or a fixed score for some texts."""

    scorers: tuple[Scorer, ...] = ()
    spellings: tuple[str, ...] = ()
    bonus: float = 0.5
    is_strict: bool = False
    near: Box | None = None

    def score(self, answer, task, *, view=None):
        known = [self.bonus] if answer in self.spellings else []
        scores = [one.score(answer, task, view=view) for one in self.scorers]
        return max([0.0, *scores, *known])


class NoDataclass(Scorer):
    def score(self, answer, task, *, view=None):
        return 1.0


SCORERS = [
    TextMatch(),
    PointInBox(Box(190, 70, 210.5, 90)),
    PointInBox(),
    ActionMatch(compare_typed_text=True),
    EitherOf((TextMatch(), EitherOf(spellings=("rot",))), ("rouge",), 0.25, True, Box(0, 0, 1, 2)),
]


@pytest.mark.parametrize("scorer", SCORERS, ids=repr)
def test_a_tasks_scorer_comes_back(scorer: Scorer) -> None:
    text = json.dumps(to_plain(task(scorer=scorer))["scorer"], allow_nan=False)
    back = read_scorer(json.loads(text))
    assert back == scorer
    assert json.dumps(to_plain(back)) == text  # an int stays one


def test_a_foreign_scorer_is_kept_by_where_it_is_and_judges_as_before() -> None:
    plain = to_plain(EitherOf(spellings=("rouge",)))
    assert plain["_target_"] == "tests.unit.data.test_plain.EitherOf"
    back = read_scorer(json.loads(json.dumps(plain)))
    asked = task(scorer=back)
    assert (asked.score("rouge"), asked.score("red"), asked.is_right("rouge")) == (0.5, 0.0, False)


def test_a_scorer_that_could_not_be_found_again_is_not_written() -> None:
    @dataclass(frozen=True)
    class Local(EitherOf):
        pass

    with pytest.raises(ValueError, match=r"<locals>.*at the top of a module"):
        to_plain(Local())
    with pytest.raises(ValueError, match="NoDataclass cannot be kept: make it a dataclass"):
        to_plain(task(scorer=NoDataclass()))


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"_target_": "vigorl.core.scoring.absent.Nobody"}, "there is no scorer 'vigorl.core"),
        ({"_target_": "vigorl.core.scoring.point.Absent"}, "there is no scorer"),
        ({"_target_": "TextMatch"}, "there is no scorer 'TextMatch'"),
        ({"_target_": "os.system"}, "'os.system' is no scorer"),
        ({"_target_": "vigorl.core.geometry.Box"}, "is no scorer"),
        ({}, "whose '_target_' says which, got {}"),
        ("text", "scorer: expected an object .* got 'text'"),
        (
            {"_target_": "vigorl.core.scoring.text.TextMatch", "case": True},
            "scorer.case: Unexpected keyword argument, got True",
        ),
        (
            {"_target_": "vigorl.core.scoring.action.ActionMatch"},
            "scorer.compare_typed_text: Field required",
        ),
        (
            {"_target_": "vigorl.core.scoring.action.ActionMatch", "compare_typed_text": "no"},
            "scorer.compare_typed_text: Input should be a valid boolean, got 'no'",
        ),
    ],
)
def test_what_is_no_scorer_is_refused(plain: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_scorer(plain)


def test_a_file_imports_no_module_that_the_user_has_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "foreign_scorer.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="is not vigorl's: import foreign_scorer first"):
        read_scorer({"_target_": "foreign_scorer.Judge"})
    assert not (tmp_path / "ran").exists()
