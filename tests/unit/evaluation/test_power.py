"""How many questions it takes, against the closed form."""

from __future__ import annotations

import pytest

from tests.unit.evaluation.outcomes import outcome, report
from vigorl.evaluation.power import (
    Spread,
    expected_discordance,
    plan_table,
    spread_of_numbers,
    spread_of_report,
    spread_of_reports,
)


def test_vstar_by_hand():
    """(1.95996 + 0.84162)^2 = 7.8489; 15 % of the questions disagree."""
    spread = spread_of_numbers(discordance=0.15)
    assert (spread.between, spread.within) == (0.15, 0.0)
    assert 100 * spread.smallest(191) == pytest.approx(7.85, abs=0.005)  # 280.16 sqrt(0.15 / 191)
    assert spread.num_questions(0.03) == 1309  # 7.8489 * 0.15 / 0.0009 = 1308.1
    assert spread.num_samples(0.03, 191) is None  # greedy: asking again changes nothing


def test_more_answers_lower_the_sampling_alone():
    spread = spread_of_numbers(discordance=0.2, within=0.06)
    assert (spread.between, spread.within) == (pytest.approx(0.08), pytest.approx(0.12))
    assert spread.num_questions(0.05) == 628  # 7.8489 * 0.2 / 0.0025 = 627.9
    assert spread.num_questions(0.05, num_samples=8) == 299  # 7.8489 * 0.095 / 0.0025 = 298.3
    # 400 questions show 5 points at a variance of 400 * 0.0025 / 7.8489 = 0.12741 = 0.08 + 0.12 / K
    assert spread.num_samples(0.05, 400) == 3  # 0.12 / 0.04741 = 2.53
    assert spread.num_samples(0.05, 200) is None  # 0.0637 < 0.08


def test_clusters_cost_questions():
    assert Spread(0.1, 0.0, design=3.0).num_questions(0.05) == 942  # 3 * 7.8489 * 0.1 / 0.0025
    assert Spread(0.1, 0.1, design=3.0).smallest(942, num_samples=10**6) == pytest.approx(
        0.05, 1e-3
    )


def test_an_accuracy_gives_the_disagreement_of_models_that_correlate():
    assert expected_discordance(0.8, correlation=0.5) == pytest.approx(2 * 0.8 * 0.2 * 0.5)
    with pytest.raises(ValueError, match=r"accuracy in \(0, 1\)"):
        expected_discordance(1.0, correlation=0.5)


@pytest.mark.parametrize("numbers", [(0, 0), (1.1, 0), (0.1, 0.3), (0.1, -0.1)])
def test_numbers_outside_their_range_are_refused(numbers: tuple[float, float]):
    with pytest.raises(ValueError, match="need a share"):
        spread_of_numbers(discordance=numbers[0], within=numbers[1])


def test_two_reports_say_how_much_of_the_disagreement_is_sampling():
    a = report(outcome("x", 1, 1), outcome("y", 1, 0), outcome("z", 1, 0))
    b = report(outcome("y", 0, 0), outcome("x", 0, 0), outcome("z", 1, 0))
    found = spread_of_reports(a, b)
    # within: a 0, 1/2, 1/2 -> 1/3; b 0, 0, 1/2 -> 1/6. Differences 1, 1/2, 0: squares' mean 5/12
    assert found.within == pytest.approx(1 / 2)
    assert found.between == pytest.approx(5 / 12 - 1 / 4)


def test_one_report_says_its_sampling_and_its_clusters():
    pairs = [outcome(f"{i}/{k}", i % 2, cluster=str(i)) for i in range(10) for k in range(2)]
    found = spread_of_report(report(*pairs), discordance=0.2)
    # errors^2: 10 / 9 * 10 * 1 / 400 by clusters, 20 / 19 * 20 * 0.25 / 400 alone
    assert found.design == pytest.approx((10 / 9 * 10) / (20 / 19 * 5))
    assert (found.between, found.within) == (0.2, 0.0)


def test_the_table_has_a_row_per_difference_and_a_column_per_number_of_answers():
    table = plan_table(spread_of_numbers(discordance=0.2, within=0.06), [5, 1], num_questions=400)
    assert "  points    1 answer   2 answers" in table
    assert "       5         628" in table
    assert "       5           3\n       1    no number is enough\n" in table
    greedy = plan_table(spread_of_numbers(discordance=0.15), [3], num_questions=191)
    assert "2 answers" not in greedy
    assert "is enough" not in greedy
    assert "191 questions show, points\n                 7.9\n" in greedy
