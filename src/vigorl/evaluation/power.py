"""How many questions, or answers to each, it takes to see a difference of so many points.

The variance of a paired difference of means has two parts: how much the true differences vary from
question to question, and how the answers were sampled. Only the second falls with more answers.

    n = (z_0.975 + z_0.8)^2 (between + (within_a + within_b) / K) / difference^2

Source: E. Miller, arXiv:2411.00640, section 5.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scipy import stats

from vigorl.evaluation.comparison import POWER, paired
from vigorl.evaluation.metrics import clusters_of
from vigorl.evaluation.report import EvaluationReport
from vigorl.evaluation.statistics import clustered_error

_FACTOR = float(stats.norm.ppf(0.975) + stats.norm.ppf(POWER))


@dataclass(frozen=True, slots=True)
class Spread:
    """What a paired difference of two models varies by, per question, in squared units of a score.

    Attributes:
        between: Of the true difference, from question to question.
        within: Of one answer's score about its question's, both models together; 0 for greedy
            answers, and where it is not known.
        design: How many times more the clusters make the differences vary than as many questions
            that are independent (design effect).
    """

    between: float
    within: float
    design: float = 1.0

    def num_questions(self, difference: float, *, num_samples: int = 1) -> int:
        """Questions that show a true difference four times in five."""
        variance = self.design * self.between + self.within / num_samples
        return max(1, math.ceil(_FACTOR**2 * variance / difference**2))

    def smallest(self, num_questions: int, *, num_samples: int = 1) -> float:
        """The smallest true difference that so many questions show four times in five."""
        variance = self.design * self.between + self.within / num_samples
        return _FACTOR * math.sqrt(variance / num_questions)

    def num_samples(self, difference: float, num_questions: int) -> int | None:
        """Answers per question that show it on so many questions; None where no number does."""
        left = num_questions * (difference / _FACTOR) ** 2 - self.design * self.between
        if left <= 0:
            return None
        return max(1, math.ceil(self.within / left))


def expected_discordance(accuracy: float, *, correlation: float) -> float:
    """The share of questions that one of two models gets right alone, where nobody has counted:
    2 p (1 - p) (1 - correlation).

    Args:
        accuracy: p, of both about.
        correlation: Of the two models' scores.
    Raises:
        ValueError: A number is outside its range.
    """
    if not 0 < accuracy < 1 or not -1 <= correlation < 1:
        raise ValueError("need an accuracy in (0, 1) and a correlation in [-1, 1)")
    return 2 * accuracy * (1 - accuracy) * (1 - correlation)


def spread_of_numbers(*, discordance: float, within: float = 0.0) -> Spread:
    """From numbers alone.

    Args:
        discordance: The share of questions that one of the two models gets right and the other not,
            both answering once.
        within: Variance of one answer's score about its question's, of each model; 0 for greedy
            answers.
    Raises:
        ValueError: A number is outside its range.
    """
    if not 0 < discordance <= 1 or not 0 <= within <= 0.25:
        raise ValueError("need a share of discordance in (0, 1] and a variance within in [0, 0.25]")
    return Spread(max(0.0, discordance - 2 * within), min(2 * within, discordance))


def spread_of_report(report: EvaluationReport, *, discordance: float) -> Spread:
    """What is to be expected of this model and another one like it.

    Args:
        report: Of one model; several answers per question say how much sampling adds.
        discordance: See `spread_of_numbers`.
    """
    found = spread_of_numbers(discordance=discordance, within=min(0.25, within_variance(report)))
    scores = [one.score for one in report.questions]
    return replace(found, design=design_effect(scores, clusters_of(report.questions)))


def spread_of_reports(a: EvaluationReport, b: EvaluationReport) -> Spread:
    """As two models were found to differ.

    Raises:
        ConfigError: They were not measured on the same questions.
    """
    others = paired(a, b)
    differences = [x.score - y.score for x, y in zip(a.questions, others, strict=True)]
    mine, theirs = within_variance(a), within_variance(b)
    sampled = mine / a.num_samples + theirs / b.num_samples
    disagreement = statistics.fmean(one**2 for one in differences)
    return Spread(
        between=max(0.0, disagreement - sampled),
        within=mine + theirs,
        design=design_effect(differences, clusters_of(a.questions)),
    )


def within_variance(report: EvaluationReport) -> float:
    """Of one answer's score about its question's, the mean over questions; 0 where each was asked
    once, which cannot tell.
    """
    if report.num_samples == 1:
        return 0.0
    return statistics.fmean(statistics.variance(one.scores) for one in report.questions)


def design_effect(values: Sequence[float], clusters: Sequence[str]) -> float:
    """How many times more the mean of these values varies than that of independent ones, at least
    1; 1 where all are the same, or in one cluster.
    """
    plain = clustered_error(values, list(map(str, range(len(values)))))
    together = clustered_error(values, clusters)
    if not plain or math.isnan(together) or math.isnan(plain):
        return 1.0
    return max(1.0, (together / plain) ** 2)


def plan_table(spread: Spread, points: Sequence[float], *, num_questions: int | None = None) -> str:
    """Questions for each difference and number of answers, as text.

    Args:
        spread: Of the difference.
        points: Differences, in points of 100.
        num_questions: Of the benchmark at hand: also says what it shows, and how many answers per
            question it takes to see each difference on it.
    """
    samples = (1, 2, 4, 8, 16, 32) if spread.within else (1,)
    lines = [
        "questions needed to see a true difference four times in five (p < 0.05, paired)",
        f"variance per question: {spread.between:.4f} between questions, {spread.within:.4f} of "
        f"sampling; {spread.design:.2f} times as much by clusters",
        "",
        f"{'points':>8}"
        + "".join(f"{f'{k} answers' if k > 1 else '1 answer':>12}" for k in samples),
    ]
    for one in points:
        needed = [spread.num_questions(one / 100, num_samples=k) for k in samples]
        lines.append(f"{one:>8g}" + "".join(f"{number:>12,}" for number in needed))
    if not spread.within:
        lines += [
            "",
            "greedy, or asked once: what more answers to each would change is not known",
        ]
    if num_questions is not None:
        shown = [100 * spread.smallest(num_questions, num_samples=k) for k in samples]
        lines += ["", f"smallest difference that {num_questions:,} questions show, points"]
        lines.append(" " * 8 + "".join(f"{value:>12.1f}" for value in shown))
        if spread.within:
            lines += ["", f"answers to each of {num_questions:,} questions that it takes"]
            found = [spread.num_samples(one / 100, num_questions) for one in points]
            lines += [
                f"{one:>8g}{number or 'no number is enough':>{12 if number else 23}}"
                for one, number in zip(points, found, strict=True)
            ]
    return "\n".join(lines) + "\n"
