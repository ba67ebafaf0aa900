"""Rewards of the papers on rollouts small enough to score by hand, and whose order each sum keeps.

The disc is [47.5, 17.5, 52.5, 22.5] as the policy sees it, the second sign [72.5, 67.5, 77.5,
72.5]; a pixel there is four of the file.
"""

import json
import math
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from tests.builders import DISC, answer_turn, rollout, task, turn, zoom_turn
from tests.unit.core.rewards.test_tool_rewards import JUDGED
from vigorl.core.errors import ConfigError, NoScoreError
from vigorl.core.geometry import Box
from vigorl.core.protocols import FINISHED, Progress
from vigorl.core.rewards import AccuracyReward, WeightedReward
from vigorl.core.rewards.annealed import AnnealedNearnessReward, GatedIoUReward
from vigorl.core.rewards.composite import checked_score
from vigorl.core.rewards.consistency import (
    CaptionReward,
    ReferenceRelativeReward,
    SemanticConsistencyReward,
)
from vigorl.core.rewards.detection import (
    AveragePrecisionReward,
    ConfidenceReward,
    DetectionIoUReward,
    WeightedDetectionReward,
)
from vigorl.core.rewards.dual_iou import DualCoverageReward, DualIoUReward, SalientIoUReward
from vigorl.core.rewards.length import CosineLengthReward, ShortResponseReward
from vigorl.core.rewards.matched_set import MatchedSetReward, text_similarity
from vigorl.core.rewards.named import named_reward
from vigorl.core.rewards.numeric import IntervalReward, NumberReward, RelativeAccuracyReward
from vigorl.core.rewards.overlap import BoxOverlapReward
from vigorl.core.rewards.path_distance import NearnessReward, PathReward
from vigorl.core.rewards.perception import KeyWordReward, WhereSolvedReward
from vigorl.core.rewards.places import points_of
from vigorl.core.rewards.scene_list import DescriptionReward
from vigorl.core.rewards.steps import LookStepsReward, RightStepsReward
from vigorl.core.rewards.structured import DetailReward, PartialCreditReward, ShareOfItemsReward
from vigorl.core.rewards.visual_facts import RepetitionReward, VisualFactsReward
from vigorl.core.rollout import Rollout, StopReason
from vigorl.core.scoring import BoxesOverlap, PointInBox
from vigorl.resolvers import CONFIGS

SECOND = Box(290, 270, 310, 290)
D, HALF, FAR = "[47.5, 17.5, 52.5, 22.5]", "[47.5, 17.5, 52.5, 20]", "[90, 90, 95, 95]"
HIT, HIT_SECOND, MISS = (50, 20), (75, 70), (14, 98)
BOTH: dict[str, Any] = {"targets": (DISC, SECOND)}


def says(said: str, think: str = "", /, *, looks=(), num_tokens: int = 4, **fields: Any) -> Rollout:
    """An answer after looks, to a question of one target unless the fields say more."""
    last = answer_turn(said, think=think, num_tokens=num_tokens)
    turns = [zoom_turn(x, y, think="Look.") for x, y in looks]
    return rollout(*turns, last, task=task(**fields))


def boxed(think: str, /, **fields: Any) -> Rollout:
    return says("red", think, **fields)


LISTED: dict[str, Any] = {"answer": "a: x; b: y", "options": ()}
LEGS: dict[str, Any] = {"answer": "a, l, b; b, m, c", "options": ()}
HUNDRED: dict[str, Any] = {"answer": "100", "options": ()}
POINT: dict[str, Any] = {"scorer": PointInBox(DISC), "options": (), "targets": ()}
BOXES: dict[str, Any] = {"scorer": BoxesOverlap(), "options": ()}
NAMED = f'[{{"bbox_2d": {D}, "label": "Disc", "confidence": 0.9}}'
MISSED = f'{{"bbox_2d": {FAR}, "label": "disc", "confidence": 0.6}}]'
LABELS = {"labels": "disc"}
FACTS: dict[str, Any] = {"tags": {"facts": "red disc; rising", "false_facts": "falling; vertical"}}
DENOMINATOR = math.sqrt(2) + 0.25 * math.pi + 0.1 * math.log(10)

WORTH = [
    # one box: half of the disc has IoU 0.5; nothing shared, hull 190 x 310: 800 of 58,900 covered
    (BoxOverlapReward(), says(HALF), 0.5),
    (BoxOverlapReward(shape="iou_squared"), says(HALF), 0.25),
    (BoxOverlapReward(shape="giou"), says(HALF), 0.75),
    (BoxOverlapReward(shape="giou"), says(FAR), 800 / 58_900 / 2),
    (BoxOverlapReward(shape="threshold"), says(HALF), 1.0),
    (BoxOverlapReward(), says(f"{D} {FAR}"), 0.0),  # the last one counts
    # recall 1, precision 1/2; recall 1/2, precision 1
    (DualIoUReward(), boxed(f"{D} {FAR}"), 0.75),
    (DualIoUReward(), boxed(D, **BOTH), 0.75),
    (DualIoUReward(precision_weight=0.0), boxed(f"{D} {FAR}"), 1.0),
    (DualIoUReward(recall_weight=0.0), boxed(D, **BOTH), 1.0),
    (DualCoverageReward(), says("red", looks=[HIT, MISS], **BOTH), 0.5),
    (DualCoverageReward(), says("red", looks=[HIT, HIT_SECOND], **BOTH), 1.0),
    (
        DualCoverageReward(precision_weight=0.0, length_factor=True),
        says("red", looks=[HIT, MISS, MISS, HIT], **BOTH),
        0.25,  # half of the targets, two of four looks
    ),
    # the second is a distractor: recall 1, precision (1 + 0) / 2
    (
        SalientIoUReward(),
        boxed(f"{D} [72.5, 67.5, 77.5, 72.5]", **BOTH, tags={"salience": "1; 0"}),
        0.75,
    ),
    # as context that counts half: recall 1.5 / 1.5, precision (1 + 0.5) / 2
    (
        SalientIoUReward(),
        boxed(
            f"{D} [72.5, 67.5, 77.5, 72.5]",
            targets=BOTH["targets"][:1],
            tags={"salience": "1; 0.5", "context": json.dumps(BOTH["targets"][1].as_tuple())},
        ),
        0.875,
    ),
    (SalientIoUReward(where="looks", by_coverage=True), says("red", looks=[HIT]), 1.0),
    # one of two boxes matches
    (DetectionIoUReward(divisor="predicted"), says(f"{D} {FAR}"), 0.5),
    (DetectionIoUReward(divisor="targets"), says(f"{D} {FAR}"), 1.0),
    (DetectionIoUReward(divisor="predicted"), says(D, **BOTH), 1.0),
    (DetectionIoUReward(divisor="larger"), says(D, **BOTH), 0.5),
    (DetectionIoUReward(divisor="predicted"), says(f"{D} {D}"), 1.0),  # repeats count once
    (DetectionIoUReward(), says(HALF), 0.0),  # 0.5 counts 0
    (DetectionIoUReward(), says(f"{NAMED}, {MISSED}", tags=LABELS), 0.5),
    (DetectionIoUReward(), says(f"{NAMED}]", tags={"labels": "square"}), 0.0),
    (DetectionIoUReward(where="looks"), says("red", looks=[HIT, MISS, HIT], **BOTH), 0.5),
    (ConfidenceReward(), says(f"{NAMED}, {MISSED}", tags=LABELS), (0.9 + 1 - 0.6) / 2),
    # precision 1 at recall 1, or 1/2; half of the targets: recalls 0.00 to 0.50 of 101
    (AveragePrecisionReward(), says(f"{D} {FAR}"), 0.5),
    (AveragePrecisionReward(length_factor=False), says(f"{FAR} {D}"), 0.5),
    (AveragePrecisionReward(), says(D, **BOTH), 51 / 101),
    (AveragePrecisionReward(thresholds=(0.5, 0.75)), says(HALF), 0.5),
    (AveragePrecisionReward(), says("none", targets=()), 1.0),
    (AveragePrecisionReward(), says(D, targets=()), 0.0),
    (WeightedDetectionReward(), says(f"{D} {FAR}"), 0.7 + 0.3 * (1 - 0.5 / 2)),
    # 28 px of 112: a quarter of the side
    (PathReward(), says("(50, 20)"), 1.0),
    (PathReward(), says("(78, 20)"), 1 - 0.25 / DENOMINATOR),
    (PathReward(), says("(50, 20), (75, 70)", **BOTH), 1.0),
    (PathReward(where="looks"), says("red", looks=[HIT, HIT_SECOND], **BOTH), 1.0),
    (NearnessReward(), says("red", looks=[(64, 20)]), 0.5),  # 14 px are 56 of the file
    # 5 - 1 missing; 5 + 0.5 - 1; two right of four; over 10
    (PartialCreditReward(), says("b: y; a: x", **LISTED), 1.0),
    (PartialCreditReward(), says("a: x", **LISTED), 0.4),
    (PartialCreditReward(), says("a: y; b: y", **LISTED), 0.45),
    (PartialCreditReward(), says("a: x; a: y; b: x; b: y", **LISTED), 0.8),
    (PartialCreditReward(wrong_penalty=0), says("a: x; a: y; b: y", **LISTED), 1.0),
    (PartialCreditReward(), says("c", **LISTED), -0.2),
    (PartialCreditReward(), says("a, x, z", answer="a, x, y", options=()), 0.1),
    (ShareOfItemsReward(), says("a: x", **LISTED), 0.5),
    (ShareOfItemsReward(), says("a: y", **LISTED), 0.125),
    (ShareOfItemsReward(), says("a: x; a: y; b: x; b: y", **LISTED), 0.5),
    (ShareOfItemsReward(), says("a: x; a: x", **LISTED), 0.25),
    (ShareOfItemsReward(), says("a, x, z", answer="a, x, y", options=()), 0.5),
    (ShareOfItemsReward(first_part=-0.5), says("a: y", **LISTED), -0.25),
    # ends 2 and four parts of 3 each: 14; one part wrong; a leg too many
    (DetailReward(), says("a, l, b; b, m, c", **LEGS), 1.0),
    (DetailReward(), says("a, l, b; b, n, c", **LEGS), 11 / 14),
    (DetailReward(), says("a, l, b; b, m, c; c, o, d", **LEGS), (12 - 5) / 14),
    # words; half of the facts, half of the false ones
    (VisualFactsReward(), boxed("A red disc, rising.", **FACTS), 1.0),
    (VisualFactsReward(false_weight=1.0), boxed("Rising, or falling or vertical.", **FACTS), 0.0),
    (VisualFactsReward(false_weight=0.5), boxed("Rising, falling.", **FACTS), 0.25),
    (VisualFactsReward(), boxed("It is red."), 1.0),  # of the answer, without the tag
    (RepetitionReward(num_words=1), says("red", "red red blue"), 0.5),
    (KeyWordReward(false_weight=1.0), boxed("red"), 1.0),
    (KeyWordReward(false_weight=1.0), boxed("red or blue"), 0.0),
    (SemanticConsistencyReward(scale=1.0), boxed("Hm. Rising, falling.", **FACTS), 0.5),
    (SemanticConsistencyReward(), boxed("Rising", **FACTS), 0.0),  # no full stop
    (SemanticConsistencyReward(), says("blue", "Hm. Rising.", **FACTS), 0.0),
    (SemanticConsistencyReward(only_if_correct=False), says("b", "Hm. Rising.", **FACTS), 1.0),
    (CaptionReward(enough=0.8), boxed("Rising, falling.", **FACTS), 0.5 / 0.8),
    # 1 against 1/2
    (
        ReferenceRelativeReward(),
        boxed("Rising.", tags={**FACTS["tags"], "reference": "rising falling"}),
        1 - math.exp(-0.5),
    ),
    (ReferenceRelativeReward(), says("blue"), 0.0),
    (ShortResponseReward(num_tokens=512), says("red", num_tokens=1024), 0.5),
    (CosineLengthReward(num_tokens=8), says("red"), 0.75),
    (CosineLengthReward(num_tokens=8), says("blue"), -0.25),
    # correct, redundant, erroneous
    (LookStepsReward(), says("red", looks=[HIT, HIT, MISS], **BOTH), (1 - 0.5) / 3),
    (RightStepsReward(), says("red", looks=[HIT, HIT, MISS], **BOTH), 2 / 3),
    (RightStepsReward(only_new=True), says("red", looks=[HIT, HIT, MISS], **BOTH), 1 / 3),
    (RightStepsReward(with_recall=True), says("red", looks=[HIT], **BOTH), 0.5),
    (RightStepsReward(where="thoughts", box_iou=0.35), boxed(f"{HALF} {FAR}"), 0.5),
    (GatedIoUReward(), boxed(f"{HALF} {FAR}"), 0.25),
    # 4 %, 12.5 % (in the middle of 5 and 20), 21 %
    (NumberReward(), says("104", **HUNDRED), 1.0),
    (NumberReward(), says("112.5", **HUNDRED), 0.5),
    (NumberReward(), says("121", **HUNDRED), 0.0),
    (RelativeAccuracyReward(), says("112.5", **HUNDRED), 0.8),  # below 1 - 0.50, ..., 1 - 0.85
    (IntervalReward(), says("5 to 10", answer="3 to 8", options=()), 3 / 7),
    # number 2 * 1 / (2 + 1), IoU 1/2, label right
    (MatchedSetReward(), says(f"{HALF} {FAR}", **BOXES), (2 / 3 + 0.5 + 1) / 3),
    (MatchedSetReward(squared=True), says(HALF, **BOXES), (1 + 0.25 + 1) / 3),
    # a box by its corners; a target that is the scorer's box too counts once
    (
        MatchedSetReward(),
        says("(47.5, 17.5), (52.5, 22.5)", scorer=BoxesOverlap((DISC,)), options=()),
        1.0,
    ),
    (MatchedSetReward(), says("(64, 20)", **POINT), 0.5),
    (MatchedSetReward(), says("(64, 20), (50, 20)", **POINT), 0.5),  # the nearer of two, over two
    (MatchedSetReward(), says("rid"), 2 / 3),
    (MatchedSetReward(kind="points", where="thoughts"), boxed("At (64, 20)."), 0.5),
    (DescriptionReward(), says("red disc at (50, 20), and (0, 0)", tags=LABELS), 2 / 3),
    (DescriptionReward(), says("square at (50, 20)", tags=LABELS), 0.0),
]  # fmt: skip


@pytest.mark.parametrize(("reward", "one", "worth"), WORTH)
def test_what_a_rollout_is_worth(reward, one, worth):
    assert checked_score(reward, one) == pytest.approx(worth)


def test_a_look_at_a_crop_is_one_at_its_picture() -> None:
    plain = says("red", looks=[HIT, HIT_SECOND], **BOTH)
    first, second, last = plain.turns
    assert second.focus is not None
    inside = replace(second, focus=replace(second.focus, picture=1))  # the first turn's crop
    looked = replace(plain, turns=(first, inside, last))
    assert points_of(looked, "looks") == points_of(plain, "looks")
    assert len(points_of(looked, "looks")) == 2


def test_matching_is_the_best_of_all_not_the_first():
    # 16 px from the disc and 34 from the second target; 28 and 78
    second = (Box(240, 70, 260, 90),)
    near = says("(54, 20), (43, 20)", scorer=PointInBox(DISC), options=(), targets=second)
    best = (1 - 34 / 112) + (1 - 28 / 112)
    assert best > (1 - 16 / 112) + (1 - 78 / 112)
    assert MatchedSetReward()(near) == pytest.approx(best / 2)
    assert text_similarity("Kitten", "sitting") == pytest.approx(1 - 3 / 7)
    assert text_similarity("", "") == 1.0


def test_a_width_shrinks_with_the_run():
    reward = AnnealedNearnessReward()
    near = says("red", looks=[(64, 20)])  # 56 px away

    def at(phase: int) -> float:
        return reward.score_group([near], [], progress=Progress(phase, 100))[0]

    assert at(0) == pytest.approx(math.exp(-((56 / 150) ** 2) / 2))
    assert at(75) == at(90) == pytest.approx(math.exp(-((56 / 20) ** 2) / 2))
    assert reward.width_px(Progress(30, 100)) == pytest.approx(150 - 130 * 0.4)
    assert reward.score_group([says("red")], [], progress=FINISHED) == [0.0]


def test_perception_is_paid_where_all_are_right():
    reward = WhereSolvedReward(reward=DualCoverageReward(), from_fraction=0.5)
    right, wrong = says("red", looks=[HIT]), says("blue", looks=[HIT])
    late = Progress(1, 2)
    assert reward.score_group([right, right], [], progress=late) == [1.0, 1.0]
    assert reward.score_group([right, wrong], [], progress=late) == [0.0, 0.0]
    assert reward.score_group([right, right], [], progress=Progress(0, 2)) == [0.0, 0.0]


def test_a_probe_gives_the_judges_word():
    one = rollout(probes={"facts": 0.4})
    assert VisualFactsReward(probe="facts")(one) == 0.4
    with pytest.raises(NoScoreError, match="probe 'facts' says nothing"):
        VisualFactsReward(probe="facts")(rollout())


@pytest.mark.parametrize(
    ("reward", "one", "message"),
    [
        (DualIoUReward(), boxed(D, targets=()), "'dual_iou' needs targets, and task 'disc' has"),
        (SalientIoUReward(), boxed(D, tags={"salience": "1; 2"}), "lists 2 for 1 regions"),
        (SalientIoUReward(), boxed(D, tags={"salience": "0"}), "must be numbers from 0 on, not"),
        (SalientIoUReward(), boxed(D, tags={"salience": "much"}), "got 'much'"),
        (SalientIoUReward(), boxed(D, tags={"context": "[1, 2]"}), r"boxes .* got '\[1, 2\]'"),
        (PartialCreditReward(), says("a", answer=";"), "needs a list, and task 'disc' has none"),
        (IntervalReward(), says("1 to 2"), "needs an interval such as '3 to 8'"),
        (VisualFactsReward(), says("red", answer="?", options=()), "has no facts"),
    ],
)
def test_what_a_task_lacks_is_named(reward, one, message):
    with pytest.raises(ValueError, match=message):
        reward(one)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (BoxOverlapReward, {"shape": "ciou"}, "shape must be one of iou, iou_squared, giou, thre"),
        (DualIoUReward, {"where": "there"}, "where must be one of answer, thoughts, looks, got"),
        (DualIoUReward, {"recall_weight": 0, "precision_weight": 0}, "not all 0, got 0, 0"),
        (AveragePrecisionReward, {"thresholds": []}, "thresholds must be above 0"),
        (PathReward, {"angle_weight": 0}, "angle_weight must be above 0, got 0"),
        (PartialCreditReward, {"object_only": 9}, "need 0 <= object_only"),
        (PartialCreditReward, {"wrong_penalty": -1}, "penalties must be >= 0"),
        (ShareOfItemsReward, {"two_parts": 2}, r"must be in \[-1, 1\]"),
        (DetailReward, {"ends": 0}, "ends must be above 0"),
        (AnnealedNearnessReward, {"end_px": 200}, "need start_px >= end_px"),
        (NumberReward, {"near": 0.3}, "need 0 <= near < far"),
        (LookStepsReward, {"erroneous": 2}, "erroneous must be a share, from 0 to 1, got 2"),
        (CaptionReward, {"judge": "wise"}, r"judge must be callable with \(text, rollout\)"),
        (WhereSolvedReward, {"reward": "all"}, "'all' is not a Reward"),
    ],
)
def test_settings_without_meaning_are_refused(kind, settings, message):
    with pytest.raises(ConfigError, match=message):
        kind(**settings)


@pytest.mark.parametrize(
    ("parts", "weights", "message"),
    [
        ({"accuracy": AccuracyReward()}, {}, "weights has no 'accuracy', which stands in parts"),
        ({"accuracy": AccuracyReward()}, {"accuracy": 1, "b": 1}, "parts has no 'b', which stands"),
        ({"right": AccuracyReward()}, {"right": 1.0}, "parts.right is called 'accuracy'"),
        ({"accuracy": "right"}, {"accuracy": 1.0}, "parts.accuracy is no reward: 'right'"),
    ],
)
def test_a_sum_by_name_needs_both_names(parts, weights, message):
    with pytest.raises(ConfigError, match=message):
        named_reward("x", parts=parts, weights=weights)


def test_a_part_can_be_left_out():
    parts = {"accuracy": AccuracyReward(), "dual_iou": None}
    reward = named_reward("x", parts=parts, weights={"accuracy": 1.0, "dual_iou": 1.0})
    assert reward.range == (0.0, 1.0)


# Whether a wrong answer can outscore a right one, by the file's own words. Where the answer itself
# is graded (boxes, lists, numbers) there is no such order.
ORDER = {
    "counterfactual": "kept",
    "grip": "broken",
    "open_o3": "kept",
    "open_o3_video": "kept",
    "pebr_r1": "kept",
    "pebr_r1_coverage": "kept",
    "perception_r1_xiao": "broken",  # by a right response that repeats itself
    "revisor": "kept",
    "rewardmap": "kept",
    "right_frames": "kept",
    "treevgr": "broken",
    "treevgr_coverage": "broken",
    "video_com_steps": "tie",
    "videorft": "tie",
    "virl": "kept",
    "visionary_r1": "broken",
    "vla_r1_looks": "kept",
    "vlaa": "kept",
    "vlm_r1_looks": "kept",
    "vrag": "kept",
}
GRADED = {
    "perception_r1_yu", "reason_rft_list", "reason_rft_number", "rrvf", "star_r1", "temporal_r1",
    "visual_rft", "vla_r1", "vlm_r1", "vlm_r1_detection",
}  # fmt: skip


MOMENTS = {
    "span": "3 8",
    "keys": "3.5 [1, 1, 5, 5]",
}  # of a video, which rewards of others do not read


def shipped(name: str) -> WeightedReward:
    return instantiate(OmegaConf.load(Path(CONFIGS, "reward", f"{name}.yaml")))


def by_name() -> set[str]:
    """Those that `test_tool_rewards` does not judge."""
    files = Path(CONFIGS, "reward").glob("*.yaml")
    return {path.stem for path in files if "named_reward" in path.read_text()} - JUDGED


def all_totals(reward: WeightedReward, answer: str) -> list[float]:
    """Of every kind of rollout with that answer, at both ends of a run."""
    thoughts = ("", "Hm. It is red.", f"See {D}. Red, blue.", f"{FAR} blue")
    looks = ([], [HIT], [MISS], [HIT, HIT_SECOND], [MISS] * 3)
    found = ({}, dict.fromkeys(("last_crop_alone_score", "crop_black_drop", "caption_answer"), 1.0))
    totals = []
    for think, seen, stop, progress, probes in product(
        thoughts, looks, (StopReason.ANSWERED, StopReason.TURN_LIMIT), (Progress(0, 1), FINISHED),
        found,
    ):  # fmt: skip
        turns = [zoom_turn(x, y, think=think) for x, y in seen]
        turns.append(answer_turn(answer, think=think))
        one = rollout(*turns, task=task(**BOTH, tags=MOMENTS), stop_reason=stop, probes=probes)
        totals.append(reward.breakdowns([one], progress=progress)[0].total)
    return totals


@pytest.mark.parametrize("name", sorted(ORDER))
def test_a_wrong_answer_outscores_a_right_one_only_where_the_file_says_so(name):
    reward = shipped(name)
    lowest, highest = min(all_totals(reward, "red")), max(all_totals(reward, "blue"))
    found = "kept" if highest < lowest else "tie" if highest == lowest else "broken"
    assert found == ORDER[name]


@pytest.mark.parametrize("name", sorted(GRADED))
def test_every_graded_sum_is_highest_on_the_right_answer(name):
    answers = {
        "reason_rft_list": (LISTED, "a: x; b: y"), "star_r1": (LISTED, "a: x; b: y"),
        "reason_rft_number": (HUNDRED, "100"), "vla_r1": ({}, "(50, 20)"),
        "temporal_r1": ({"answer": "3 to 8", "options": ()}, "3 to 8"),
        "perception_r1_yu": (BOXES, D),
        "rrvf": ({"tags": {"labels": "red disc"}}, "red disc at (50, 20)"),
    }  # fmt: skip
    fields, right = answers.get(name, ({}, D))
    reward = shipped(name)
    best = reward.breakdown(says(right, **fields)).total
    for wrong in ("", "no", FAR, f"{right}; {right}; (9, 9); {FAR}; c: z", "(9, 9)", "9 to 11"):
        assert reward.breakdown(says(wrong, **fields)).total < best


def test_every_sum_by_name_has_a_word_on_its_order():
    assert by_name() == ORDER.keys() | GRADED


@pytest.mark.parametrize("name", sorted(by_name()))
def test_no_odd_rollout_leaves_a_range(name):
    reward = shipped(name)
    fields: dict[str, Any] = {"answer": "3 to 8", "options": ()} if name == "temporal_r1" else {}
    question = task(**fields, tags={"labels": "disc"} | MOMENTS)
    many = " ".join(f"[{i}, {i}, {i + 5}, {i + 5}]" for i in range(100))
    odd = [
        turn(""),
        turn("no tags"),
        turn(f"<answer> {many} </answer>"),
        answer_turn("[0, 0, 999999999, 999999999] (999999999, -999999999)"),
        answer_turn("; ".join(f"{c}: {c}" for c in "abcdefgh" * 9), think=many),
        answer_turn('{"bbox_2d": [1, 2, 3, 4], "confidence": 77}', think="disc " * 60),
        answer_turn("disc at (50, 20); disc at (50, 20)", think="(50, 20) " * 9),
    ]
    group = [rollout(zoom_turn(), one, task=question) for one in odd]
    group += [rollout(one, task=question, stop_reason=StopReason.TURN_LENGTH) for one in odd]
    low, high = reward.range
    for found in reward.breakdowns(group, progress=Progress(1, 3)):  # raises where a part does
        assert low - 1e-9 <= found.total <= high + 1e-9
