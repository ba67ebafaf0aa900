from dataclasses import dataclass
from itertools import product

import pytest

from tests.builders import answer_turn, refused_turn, rollout, zoom_turn
from vigorl.core.errors import ConfigError
from vigorl.core.protocols import FINISHED, GroupReward
from vigorl.core.rewards import CuriosityReward, WeightedReward, curiosity_reward
from vigorl.core.rollout import Rollout


def looking(looks: int, *, answer: str = "red", think: str = "The disc at (50, 20).") -> Rollout:
    return rollout(*[zoom_turn(think=think)] * looks, answer_turn(answer, think=think))


def score(reward: CuriosityReward, *group: Rollout) -> list[float]:
    return reward.score_group(group, [], progress=FINISHED)


def test_the_papers_numbers() -> None:
    # one of eight looks: rate 0.125, bonus 0.5 * (0.3 - 0.125)
    one_of_eight = [looking(1), *[looking(0)] * 7]
    assert score(CuriosityReward(), *one_of_eight) == pytest.approx([0.0875] + [0.0] * 7)
    # two of four: 0.5 is above 0.3, so only looks after the first count, 0.05 each
    assert score(CuriosityReward(), looking(1), looking(3), looking(0), looking(0)) == (
        pytest.approx([0.0, -0.1, 0.0, 0.0])
    )
    # five looks cost no more than four
    assert score(CuriosityReward(), looking(4), looking(5)) == pytest.approx([-0.15, -0.15])


def test_wrong_answers_are_paid_only_in_the_papers_form() -> None:
    group = [looking(1, answer="blue"), *[looking(0)] * 7]
    assert score(CuriosityReward(), *group)[0] == 0.0
    assert score(CuriosityReward(only_if_correct=False), *group)[0] == pytest.approx(0.0875)


def test_a_call_that_failed_is_no_look() -> None:
    group = [rollout(refused_turn(), answer_turn()), *[looking(0)] * 7]
    assert score(CuriosityReward(), *group) == [0.0] * 8


def all_totals(reward: WeightedReward, *, answer: str) -> list[float]:
    """Of every kind of rollout with that answer, among every number of seven others that look."""
    totals = []
    for looks, think, others in product(range(6), ("The disc at (50, 20).", "vague"), range(8)):
        group = [looking(looks, answer=answer, think=think)]
        group += [looking(1)] * others + [looking(0)] * (7 - others)
        totals.append(reward.breakdowns(group, progress=FINISHED)[0].total)
    return totals


def test_no_wrong_answer_outscores_a_right_one() -> None:
    reward = curiosity_reward()
    right, wrong = all_totals(reward, answer="red"), all_totals(reward, answer="blue")
    assert max(wrong) < min(right)
    # right, no point, four looks: 0.8 - 0.15; wrong with format 0.2
    assert (min(right), max(wrong)) == (pytest.approx(0.65), pytest.approx(0.2))
    # half right, in format, without a price: 0.8 / 2 + 0.2
    assert min(right) > 0.8 / 2 + 0.2
    low, high = reward.range
    assert low <= min(wrong)
    assert max(right) <= high


def test_weights_that_let_a_wrong_answer_win_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"max_penalty=0\.3 lets a wrong answer"):
        curiosity_reward(max_penalty=0.3)
    with pytest.raises(ConfigError, match="must be >= 0"):
        curiosity_reward(bonus=-1.0)


def test_group_parts_are_added_to_each_total_and_breakdown() -> None:
    reward = curiosity_reward()
    first, second = reward.breakdowns([looking(3), looking(0)], progress=FINISHED)
    assert first.parts == {"accuracy": 1.0, "format": 1.0, "curiosity": pytest.approx(-0.1)}
    assert (first.total, second.total) == (pytest.approx(0.9), pytest.approx(1.0))
    # 0 - 0.15 and 0.8 + 0.2 + 0.5 * 0.3
    assert reward.range == (pytest.approx(-0.15), pytest.approx(1.15))


@dataclass(frozen=True)
class Scores:
    """Gives what it holds."""

    values: tuple[float, ...]
    name: str = "scores"
    range: tuple[float, float] = (0.0, 1.0)

    def score_group(self, rollouts, breakdowns, *, progress):
        assert [one.total for one in breakdowns] == [0.8, 0.0]
        return [value * progress.fraction for value in self.values]


@pytest.mark.parametrize(
    ("scores", "message"), [((0.5, 1.5), "'scores' returned 1.5"), ((0.5,), "shorter")]
)
def test_a_group_part_that_breaks_its_word_stops_the_run(scores, message) -> None:
    reward = WeightedReward("x", curiosity_reward().parts[:1], [(Scores(scores), 1.0)])
    assert isinstance(Scores(scores), GroupReward)
    with pytest.raises(ValueError, match=message):
        reward.breakdowns([looking(0), looking(0, answer="blue")], progress=FINISHED)


def test_a_reward_of_one_rollout_is_no_group_part() -> None:
    (accuracy, weight), *_ = curiosity_reward().parts
    with pytest.raises(ConfigError, match="not a GroupReward"):
        WeightedReward("x", [(accuracy, weight)], [(accuracy, 1.0)])  # pyright: ignore[reportArgumentType]
