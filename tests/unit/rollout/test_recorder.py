import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import builders
from tests.unit.data.test_plain import EitherOf
from vigorl.core.errors import DataError
from vigorl.core.rollout import RewardBreakdown, ScoredRollout
from vigorl.core.scoring import ActionMatch, PointInBox, Scorer, TextMatch
from vigorl.rollout.recorder import (
    RolloutRecorder,
    read_rollouts,
    rollout_from_json,
    rollout_to_json,
)

SCORED = ScoredRollout(
    builders.rollout(
        builders.refused_turn(),
        builders.zoom_turn(think='an "odd" one\n\u2028 \U0001f600 disc'),
        builders.answer_turn(prefix_ids=(5, 6)),
        group="train/3/disc",
        index=2,
        policy_version=9,
        probes={"crop_black": 1.0, "crop_black_drop": -0.5},
        turn_versions=(9, 9, 11),
    ),
    RewardBreakdown(
        *(0.1 + 0.2, {"accuracy": 1.0, "format": 1 / 3}, {"accuracy": 0.8}),
        turns=(0.1, 0.0, 0.2),
        missing=("facts",),
    ),
    advantage=-1.2345678901234567e-5,
)


def test_a_rollout_comes_back_the_same() -> None:
    line = rollout_to_json(SCORED, phase="train/3", run_seed=11)
    assert "\n" not in line
    found = rollout_from_json(line)
    assert found.scored == SCORED
    assert (found.phase, found.run_seed) == ("train/3", 11)
    assert found.scored.rollout.crops == SCORED.rollout.crops
    assert found.scored.rollout.loss_mask == SCORED.rollout.loss_mask
    assert '"frame":"pixels"' in line  # what is shown is said, pixels are not kept


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20), st.text()
)
def test_floats_and_texts_come_back_bit_for_bit(values: list[float], text: str) -> None:
    turn = builders.turn(
        text, completion_ids=tuple(range(len(values))), sampling_logprobs=tuple(values)
    )
    scored = ScoredRollout(builders.rollout(turn), RewardBreakdown(values[0]), values[-1])
    found = rollout_from_json(rollout_to_json(scored, phase="", run_seed=0)).scored
    assert found == scored
    floats = found.rollout.turns[0].sampling_logprobs
    assert [value.hex() for value in floats] == [value.hex() for value in values]


def test_half_a_character_comes_back() -> None:
    scored = ScoredRollout(builders.rollout(builders.turn("\ud83d")), RewardBreakdown(0.0), 0.0)
    assert rollout_from_json(rollout_to_json(scored, phase="", run_seed=0)).scored == scored


def test_a_reward_that_is_not_finite_is_not_written(tmp_path: Path) -> None:
    bad = replace(SCORED, reward=RewardBreakdown(float("nan")))
    with RolloutRecorder(tmp_path / "rollouts.jsonl", run_seed=0) as recorder:
        recorder.write(SCORED, phase="p")
        with pytest.raises(ValueError, match="not JSON compliant"):
            recorder.write(bad, phase="p")
    assert len(list(read_rollouts(recorder.path))) == 1


@pytest.mark.parametrize("torn", ['{"format": 1, "phase": "tr', "{", "x" * 200_000])
def test_a_torn_last_line_is_cut_off_on_resume(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "deep" / "rollouts.jsonl"
    with RolloutRecorder(path, run_seed=0) as recorder:
        recorder.write(SCORED, phase="train/0")
    with path.open("a") as file:
        file.write(torn)
    with pytest.raises(DataError, match=r"rollouts.jsonl:2: "):
        list(read_rollouts(path))
    with RolloutRecorder(path, run_seed=0) as recorder:
        recorder.write(SCORED, phase="train/1")
    assert [found.phase for found in read_rollouts(path)] == ["train/0", "train/1"]


def test_a_torn_line_behind_a_long_record_is_all_that_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "rollouts.jsonl"
    whole = rollout_to_json(SCORED, phase="p", run_seed=0) + "\n"
    path.write_text(whole * 100 + "{torn")  # longer than one read of the search for its end
    RolloutRecorder(path, run_seed=0).close()
    assert path.read_text() == whole * 100


def test_a_file_that_is_one_torn_line_starts_over(tmp_path: Path) -> None:
    path = tmp_path / "rollouts.jsonl"
    path.write_text("{torn")
    RolloutRecorder(path, run_seed=0).close()
    assert path.read_text() == ""


def test_lines_of_other_tasks_are_passed_over_unread(tmp_path: Path) -> None:
    path = tmp_path / "rollouts.jsonl"
    odd = '"task":{"id":"disc" \\ é'
    with RolloutRecorder(path, run_seed=0) as recorder:
        for id in ("disc", odd, "other"):
            one = replace(SCORED, rollout=replace(SCORED.rollout, task=builders.task(id=id)))
            recorder.write(one, phase=odd)
    text = path.read_text().replace('"format":5', '"format":5,"unknown":1', 3).splitlines()
    path.write_text("\n".join([*path.read_text().splitlines()[:2], text[2]]) + "\n")
    found = list(read_rollouts(path, only={"disc", odd}))
    assert [one.scored.rollout.task.id for one in found] == ["disc", odd]
    with pytest.raises(DataError, match=r"rollouts\.jsonl:3"):
        list(read_rollouts(path, only={"other"}))


def test_a_line_can_be_read_while_the_run_goes_on(tmp_path: Path) -> None:
    with RolloutRecorder(tmp_path / "rollouts.jsonl", run_seed=0) as recorder:
        recorder.write(SCORED, phase="p")
        assert [found.scored for found in read_rollouts(recorder.path)] == [SCORED]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 6}, "not a rollout of format 5"),
        ({"extra": 1}, "extra: Unexpected keyword argument"),
        ({"phase": 3}, "phase: Input should be a valid string"),
        ({"run_seed": 1.5}, "run_seed: Input should be a valid integer"),
        (
            {"scored": {}},
            "scored.rollout: Field required, got {}; scored.reward: ",
        ),
    ],
)
def test_a_bad_line_names_file_line_and_field(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    good = rollout_to_json(SCORED, phase="p", run_seed=0)
    path = tmp_path / "r.jsonl"
    path.write_text(good + "\n" + json.dumps(json.loads(good) | change) + "\n")
    with pytest.raises(DataError) as error:
        list(read_rollouts(path))
    assert f"{path}:2: " in str(error.value)
    assert message in str(error.value)


def test_a_wrong_stop_reason_is_a_bad_line() -> None:
    line = rollout_to_json(SCORED, phase="p", run_seed=0).replace('"answered"', '"bored"')
    with pytest.raises(DataError, match="bored"):
        rollout_from_json(line, path="r.jsonl", line=3)


def test_a_foreign_scorer_comes_back_with_its_rollout() -> None:
    asked = builders.task(scorer=EitherOf((PointInBox(builders.DISC),), spellings=("red",)))
    one = replace(SCORED, rollout=replace(SCORED.rollout, task=asked))
    back = rollout_from_json(rollout_to_json(one, phase="p", run_seed=0)).scored
    assert back == one
    assert back.rollout.score == 0.5


@pytest.mark.parametrize(
    ("kind", "box", "scorer"),
    [
        ("text", None, TextMatch()),
        ("point", {"left": 190, "top": 70, "right": 210, "bottom": 90}, PointInBox(builders.DISC)),
        ("action", None, ActionMatch()),
    ],
)
def test_a_kind_of_answer_of_format_1_becomes_its_scorer(
    kind: str, box: dict[str, int] | None, scorer: Scorer
) -> None:
    plain = json.loads(rollout_to_json(SCORED, phase="p", run_seed=0)) | {"format": 1}
    rollout = plain["scored"]["rollout"]
    del rollout["task"]["scorer"]
    rollout["task"] |= {"answer_kind": kind, "answer_box": box}
    for view in rollout["prompt_views"]:
        del view["frame"]
        view["path"] = view.pop("source")["path"]
    for turn in rollout["turns"]:
        del turn["views"], turn["focus"]
        turn |= {"view": None, "point": None}
    found = rollout_from_json(json.dumps(plain)).scored.rollout
    assert found.task == replace(SCORED.rollout.task, scorer=scorer)
    rollout["task"]["answer_kind"] = "letter"
    with pytest.raises(DataError, match=r"must be one of .* got 'letter'"):
        rollout_from_json(json.dumps(plain))
