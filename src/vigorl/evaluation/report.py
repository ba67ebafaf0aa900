"""What an evaluation found.

The outcome of every question is kept, so that two reports on the same questions compare in pairs.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from pydantic import TypeAdapter

from vigorl.core.errors import DataError
from vigorl.evaluation.faithfulness import Faithfulness
from vigorl.evaluation.protocol import Protocol
from vigorl.evaluation.statistics import difference_interval, mean_interval, paired_p_value

FORMAT = 3  # 1 (vigorl 0.1) kept whether an answer was right, not its score; 2 no tags and choices

_SHOWN = {  # metrics of the table below the accuracies
    "rollout/valid_frac": "valid format",
    "rollout/zoom_hit_frac": "zooms that hit a target",
    "rollout/last_zoom_hit_frac": "last zoom hits",
    "rollout/turns_mean": "turns per rollout",
    "rollout/zooms_mean": "zooms per rollout",
    "rollout/tool_errors_mean": "tool errors per rollout",
    "rollout/truncated_frac": "truncated",
    "rollout/completion_tokens_mean": "tokens per rollout",
    "reward/total": "reward",
}


@dataclass(frozen=True, slots=True)
class QuestionOutcome:
    """What came out for one question.

    Attributes:
        id: The task's.
        category: The task's; "" when it has none.
        right_answer: The task's answer.
        answers: What each rollout answered; None for no answer.
        scores: How right each was, in [0, 1]; as long as `answers`.
        chance: The score of a blind guess among the options; None for an open question.
        cluster: Questions that share it are not independent; "" where nobody said.
        tags: The task's further ways to split the questions.
        options: How many there were to choose from; 0 for an open question.
        right_option: Index of the right one in the order shown; None for an open question.
        chosen_options: Index of the option that each answer is; None where it is none of them.
        extras: Further numbers of the question, means over its rollouts, such as a box's IoU;
            absent where there is nothing to measure.
    """

    id: str
    category: str
    right_answer: str
    answers: tuple[str | None, ...]
    scores: tuple[float, ...]
    chance: float | None = None
    cluster: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    options: int = 0
    right_option: int | None = None
    chosen_options: tuple[int | None, ...] = ()
    extras: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.scores or len(self.scores) != len(self.answers):
            raise ValueError(f"question {self.id!r}: need one score per answer, and one at least")

    @property
    def score(self) -> float:
        """Mean over the rollouts."""
        return statistics.fmean(self.scores)


@dataclass(frozen=True, slots=True)
class Accuracy:
    """A mean score with its interval.

    Attributes:
        value: Mean over questions of the mean score of their rollouts (avg@k).
        low: Lower end of the 95 % interval over questions.
        high: Upper end.
        num_questions: n.
    """

    value: float
    low: float
    high: float
    num_questions: int

    @classmethod
    def of(cls, scores: Sequence[float]) -> Self:
        """Of one score per question, each in [0, 1]."""
        return cls(statistics.fmean(scores), *mean_interval(scores), len(scores))

    def __str__(self) -> str:
        return f"{100 * self.value:5.1f} %  [{100 * self.low:5.1f}, {100 * self.high:5.1f}]"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Report a minus report b, question by question.

    Attributes:
        difference: Of the accuracies, in [-1, 1]; positive when a is better.
        low: Lower end of the 95 % interval.
        high: Upper end.
        p_value: Two-sided; see `statistics.paired_p_value`.
        num_better: Questions on which a scored more.
        num_worse: Questions on which b scored more.
        num_questions: All.
    """

    difference: float
    low: float
    high: float
    p_value: float
    num_better: int
    num_worse: int
    num_questions: int

    def __str__(self) -> str:
        return (
            f"{100 * self.difference:+.1f} points [{100 * self.low:+.1f}, {100 * self.high:+.1f}], "
            f"p = {self.p_value:.3g} ({self.num_better} better, {self.num_worse} worse "
            f"of {self.num_questions})"
        )


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """An evaluation of one policy on one set of questions.

    Attributes:
        name: What was evaluated, such as "vstar".
        questions: In the order of the tasks; at least one, ids unique, equally many rollouts each.
        metrics: `core.metrics.rollout_metrics` and `behaviors.behavior_metrics` of all rollouts.
        policy_version: The published weights.
        temperature: Of the sampling; 0 is greedy.
        run_seed: Seed of the sampling noise.
        benchmark: The benchmark's own metrics, by name; the first is what it is quoted by.
        protocol: How it was asked and judged; None in reports of format 1.
        faithfulness: What probes with a score have found; None where none was asked.
    """

    name: str
    questions: tuple[QuestionOutcome, ...]
    metrics: Mapping[str, float] = field(default_factory=dict)
    policy_version: int = 0
    temperature: float = 0.0
    run_seed: int = 0
    benchmark: Mapping[str, Accuracy] = field(default_factory=dict)
    protocol: Protocol | None = None
    faithfulness: Faithfulness | None = None

    def __post_init__(self) -> None:
        if not self.questions:
            raise ValueError(f"report {self.name!r} has no question")
        if len({question.id for question in self.questions}) < len(self.questions):
            raise ValueError(f"report {self.name!r}: two questions share an id")
        if len({len(question.scores) for question in self.questions}) > 1:
            raise ValueError(f"report {self.name!r}: some questions have more rollouts than others")

    @property
    def num_samples(self) -> int:
        """Rollouts per question (the k of avg@k)."""
        return len(self.questions[0].scores)

    @property
    def accuracy(self) -> Accuracy:
        return Accuracy.of([question.score for question in self.questions])

    @property
    def by_category(self) -> dict[str, Accuracy]:
        """In order of first appearance; empty when no question has a category."""
        groups: dict[str, list[float]] = {}
        for question in self.questions:
            groups.setdefault(question.category, []).append(question.score)
        if set(groups) == {""}:
            return {}
        return {name or "(none)": Accuracy.of(scores) for name, scores in groups.items()}

    @property
    def chance(self) -> float | None:
        """The score of blind guessing; None when some question has no options."""
        levels = [question.chance for question in self.questions]
        known = [level for level in levels if level is not None]
        return statistics.fmean(known) if len(known) == len(levels) else None

    def table(self) -> str:
        """The report as plain text."""
        decoding = "greedy" if self.temperature == 0 else f"temperature {self.temperature:g}"
        overall = f"avg@{self.num_samples}" if self.num_samples > 1 else "accuracy"
        about = (
            f"{len(self.questions)} questions",
            f"policy version {self.policy_version}",
            decoding,
        )
        rows = [(overall, str(self.accuracy), self.accuracy.num_questions)]
        rows += [
            (f"  {name}", str(one), one.num_questions) for name, one in self.by_category.items()
        ]
        rows += [(name, str(one), one.num_questions) for name, one in self.benchmark.items()]
        width = max(28, *(len(name) for name, _, _ in rows))
        lines = [
            f"{self.name}: {', '.join(about)}",
            *([f"protocol: {self.protocol}"] if self.protocol else []),
            "",
            f"{'':{width}}    score  95 % interval      n",
        ]
        lines += [f"{name:{width}}  {value}  {number:>5}" for name, value, number in rows]
        if self.chance is not None:
            lines.append(f"{'chance':{width}}  {100 * self.chance:5.1f} %")
        lines.append("")
        lines += [
            f"{name:{width}}  {_shown(key, self.metrics[key])}"
            for key, name in _SHOWN.items()
            if key in self.metrics
        ]
        if self.faithfulness is not None:
            lines += ["", *self.faithfulness.table().splitlines()]
        return "\n".join(line.rstrip() for line in lines) + "\n"

    def scalars(self, prefix: str = "eval") -> dict[str, float]:
        """For a logger: accuracy, its interval, one per category, and all metrics."""
        total = self.accuracy
        flat = {
            f"{prefix}/accuracy": total.value,
            f"{prefix}/accuracy_low": total.low,
            f"{prefix}/accuracy_high": total.high,
        }
        for name, one in self.by_category.items():
            flat[f"{prefix}/accuracy/{name}"] = one.value
        for name, one in self.benchmark.items():
            flat[f"{prefix}/benchmark/{name}"] = one.value
        # `rollout/accuracy` would be the accuracy again, and so may be the reward's part of it
        again, right = ("rollout/accuracy", "reward/accuracy"), self.metrics.get("rollout/accuracy")
        kept = {k: v for k, v in self.metrics.items() if k not in again or v != right}
        if self.faithfulness is not None:
            kept |= self.faithfulness.scalars()
        return flat | {f"{prefix}/{key}": value for key, value in kept.items()}

    def compare(self, other: EvaluationReport) -> Comparison:
        """This report minus another on the same questions.

        Raises:
            ValueError: The two were not measured on the same questions; names some of the others.
        """
        theirs = {question.id: question.score for question in other.questions}
        mine = {question.id: question.score for question in self.questions}
        if theirs.keys() != mine.keys():
            odd = sorted(theirs.keys() ^ mine.keys())
            raise ValueError(
                f"{self.name!r} and {other.name!r} differ in {len(odd)} questions, "
                f"such as {odd[:3]}"
            )
        a, b = list(mine.values()), [theirs[name] for name in mine]
        low, high = difference_interval(a, b)
        return Comparison(
            difference=statistics.fmean(a) - statistics.fmean(b),
            low=low,
            high=high,
            p_value=paired_p_value(a, b),
            num_better=sum(x > y for x, y in zip(a, b, strict=True)),
            num_worse=sum(x < y for x, y in zip(a, b, strict=True)),
            num_questions=len(a),
        )

    def to_json(self) -> str:
        """All of it; readable by people and by `from_json`."""
        plain: dict[str, Any] = {"format": FORMAT, **asdict(self)}
        if self.protocol is not None:
            plain["protocol"] |= {"fingerprint": self.protocol.fingerprint}
        return json.dumps(plain, ensure_ascii=True, allow_nan=False, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, *, path: object = None) -> EvaluationReport:
        """The inverse of `to_json`.

        Raises:
            DataError: Not such a report; names `path`.
        """
        try:
            plain = json.loads(text)
            found = plain["format"]
            if found in (1, 2):
                plain = _upgraded(plain) if found == 1 else plain
            elif found != FORMAT:
                raise ValueError(f"not of format {FORMAT}")
            return _READER.validate_python(plain)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"not an evaluation report: {error}", path=path) from error


def _upgraded(plain: dict[str, Any]) -> dict[str, Any]:
    """A report of format 1 as one of today's."""
    for one in plain["questions"]:
        one["scores"] = [float(is_right) for is_right in one.pop("correct")]
    return plain | {"benchmark": {}, "protocol": None}


def _shown(key: str, value: float) -> str:
    return f"{100 * value:5.1f} %" if key.endswith("_frac") else f"{value:6.2f}"


_READER = TypeAdapter(EvaluationReport)
