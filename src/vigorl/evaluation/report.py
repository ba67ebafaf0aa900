"""What an evaluation found.

The outcome of every question is kept, so that two reports on the same questions compare in pairs.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from pydantic import TypeAdapter

from vigorl.core.errors import DataError
from vigorl.evaluation.faithfulness import Faithfulness
from vigorl.evaluation.protocol import Protocol
from vigorl.evaluation.resampling import drawn, mean_of
from vigorl.evaluation.statistics import cluster_interval, clustered_error, mean_interval

FORMAT = 3  # 1 (vigorl 0.1) kept whether an answer was right, not its score; 2 no tags and choices

_FEW_QUESTIONS = 30  # whose resamples say too little of their spread
_RIGHT = re.compile(r"choice/right_\w+_frac")
_LETTER = re.compile(r"choice/(?:right|chosen)_\w+_frac")
_MOST_LETTERS = 6
_MOST_PARTS = 20  # of a tag that the table shows
_SHOWN = {  # metrics of the table below the accuracies
    "error/questions": "error from the questions",
    "error/sampling": "error from the sampling",
    "answer/unreadable_frac": "unreadable answers",
    "answer/refused_frac": "refusals",
    "choice/position_bias": "position bias",
    "choice/position_bias_by_luck": "  as much by luck alone",
    "rollout/valid_frac": "valid format",
    "rollout/zoom_hit_frac": "zooms that hit a target",
    "rollout/last_zoom_hit_frac": "last zoom hits",
    "rollout/turns_mean": "turns per rollout",
    "rollout/zooms_mean": "zooms per rollout",
    "rollout/tool_errors_mean": "tool errors per rollout",
    "rollout/truncated_frac": "truncated",
    "rollout/refused_frac": "refused",
    "rollout/completion_tokens_mean": "tokens per rollout",
    "inference/rollouts_mean": "rollouts per answer",
    "inference/tokens_mean": "tokens per answer",
    "inference/single_frac": "score of one candidate",
    "inference/best_frac": "score of the best candidate",
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
        ruling: What a rule of inference saw and chose; "" without one.
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
    ruling: str = ""

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
        value: Mean over questions of the mean score of their rollouts (avg@k), or another number
            of theirs.
        low: Lower end of the 95 % interval over clusters of questions.
        high: Upper end.
        num_questions: n.
        num_clusters: What the interval rests on; 0 where nobody said.
        error: Standard error over clusters; None where one cluster alone says nothing of it.
    """

    value: float
    low: float
    high: float
    num_questions: int
    num_clusters: int = 0
    error: float | None = None

    @classmethod
    def of(cls, scores: Sequence[float], clusters: Sequence[str] | None = None) -> Self:
        """The mean of one score per question, each in [0, 1].

        Its interval is Wilson's where every question is a cluster and every score 0 or 1, or where
        questions are too few to be drawn again; else a bootstrap's.

        Args:
            scores: [n], n >= 1.
            clusters: [n] the name of each one's cluster; every question is one where None.
        """
        names = clusters or list(map(str, range(len(scores))))
        num, error = len(set(names)), clustered_error(scores, names)
        is_wilsons = num < _FEW_QUESTIONS or set(scores) <= {0.0, 1.0}
        interval = (
            mean_interval(scores)
            if num == len(scores) and is_wilsons
            else cluster_interval(drawn(mean_of(scores).of_clusters(names), num), num)
        )
        known = None if math.isnan(error) else error
        return cls(statistics.fmean(scores), *interval, len(scores), num, known)

    def __str__(self) -> str:
        return f"{100 * self.value:5.1f} %  [{100 * self.low:5.1f}, {100 * self.high:5.1f}]"


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
        return _accuracy(self.questions)

    @property
    def by_category(self) -> dict[str, Accuracy]:
        """In order of first appearance; empty when no question has a category."""
        return _split(self.questions, [question.category for question in self.questions])

    @property
    def by_tag(self) -> dict[str, dict[str, Accuracy]]:
        """By each tag that splits the questions into few parts; one whose parts are the clusters
        only names them, such as questions that were asked in several orders.
        """
        names = dict.fromkeys(name for question in self.questions for name in question.tags)
        labels = {name: [one.tags.get(name, "") for one in self.questions] for name in names}
        return {
            name: _split(self.questions, values)
            for name, values in labels.items()
            if 1 < len(set(values)) <= _MOST_PARTS and not self._are_clusters(values)
        }

    def _are_clusters(self, labels: Sequence[str]) -> bool:
        clusters = [one.cluster or one.id for one in self.questions]
        pairs = set(zip(labels, clusters, strict=True))
        return len(pairs) == len(set(labels)) == len(set(clusters)) < len(clusters)

    @property
    def quoted(self) -> tuple[str, Accuracy | None]:
        """What its benchmark is quoted by, and its value, None where these questions have none; the
        accuracy where there is no benchmark.
        """
        settings: Any = (self.protocol.settings if self.protocol else {}).get("benchmark") or {}
        name = next(iter(settings.get("metrics") or self.benchmark), "accuracy")
        is_own = name in self.benchmark or bool(settings.get("metrics"))
        return name, self.benchmark.get(name) if is_own else self.accuracy

    @property
    def by_rules(self) -> Accuracy | None:
        """What rules alone give, where a judge has the last word; None where none has."""
        if not all("rule" in question.extras for question in self.questions):
            return None
        scores = [question.extras["rule"] for question in self.questions]
        return Accuracy.of(scores, [one.cluster or one.id for one in self.questions])

    @property
    def errors(self) -> dict[str, float]:
        """Of several rollouts the standard error of the accuracy in its two parts: which questions
        were asked, and how the answers to them were sampled. More rollouts lower the second alone.
        Empty for one rollout a question, which cannot tell them apart.
        """
        total = self.accuracy.error
        if self.num_samples == 1 or total is None:
            return {}
        within = statistics.fmean(statistics.variance(one.scores) for one in self.questions)
        sampling = within / (self.num_samples * len(self.questions))
        return {
            "error/questions": math.sqrt(max(0.0, total**2 - sampling)),
            "error/sampling": math.sqrt(sampling),
        }

    def _is_accuracy(self, name: str) -> bool:
        """Whether a metric of the benchmark is the mean over all questions again."""
        asked: Any = (self.protocol.settings if self.protocol else {}).get("benchmark") or {}
        plain = (asked.get("metrics") or {}).get(name, {})
        is_mean = str(plain.get("_target_", "")).endswith("metrics.Mean") and not plain.get("only")
        return (is_mean or name == "overall") and self.benchmark[name] == self.accuracy

    @property
    def _of_all(self) -> str:
        """ " of 191" where `limit` left questions out."""
        asked: Any = (self.protocol.settings if self.protocol else {}).get("questions") or {}
        return f" of {asked['of']}" if "of" in asked else ""

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
            f"{len(self.questions)}{self._of_all} questions",
            f"policy version {self.policy_version}",
            decoding,
        )
        same = [name for name in self.benchmark if self._is_accuracy(name)]
        named = ", ".join(name for name in same if name not in ("overall", "accuracy"))
        rows = [(f"{overall} ({named})" if named else overall, self.accuracy)]
        rows += [(f"  {name}", one) for name, one in self.by_category.items()]
        for tag, parts in self.by_tag.items():
            rows += [(f"  {tag} {name}", one) for name, one in parts.items()]
        rows += [("by rules, without the judge", self.by_rules)] if self.by_rules else []
        rows += [(name, one) for name, one in self.benchmark.items() if name not in same]
        width = max(28, *(len(name) for name, _ in rows))
        has_clusters = any(0 < one.num_clusters < one.num_questions for _, one in rows)
        lines = [
            f"{self.name}: {', '.join(about)}",
            *([f"protocol: {self.protocol}", *self.protocol.told] if self.protocol else []),
            "",
            f"{'':{width}}    score  95 % interval      n{'  clusters' if has_clusters else ''}",
        ]
        for name, one in rows:
            clusters = f"  {one.num_clusters or '?':>8}" if has_clusters else ""
            lines.append(f"{name:{width}}  {one}  {one.num_questions:>5}{clusters}")
        if self.chance is not None:
            lines.append(f"{'chance':{width}}  {100 * self.chance:5.1f} %")
        lines.append("")
        found = self.errors | dict(self.metrics)
        lines += [
            f"{name:{width}}  {_shown(key, found[key])}"
            for key, name in _SHOWN.items()
            if key in found
        ]
        lines += _letters(self.metrics, width)
        if self.faithfulness is not None:
            lines += ["", *self.faithfulness.table().splitlines()]
        return "\n".join(line.rstrip() for line in lines) + "\n"

    def scalars(self, prefix: str = "eval") -> dict[str, float]:
        """For a logger: accuracy, its interval, one per category, and all metrics but the shares of
        the letters, of which there may be dozens.
        """
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
        flat |= {f"{prefix}/{name}": value for name, value in self.errors.items()}
        # `rollout/accuracy` would be the accuracy again, and so may be the reward's part of it
        again, right = ("rollout/accuracy", "reward/accuracy"), self.metrics.get("rollout/accuracy")
        kept = {
            key: value
            for key, value in self.metrics.items()
            if (key not in again or value != right) and not _LETTER.fullmatch(key)
        }
        if self.faithfulness is not None:
            kept |= self.faithfulness.scalars()
        return flat | {f"{prefix}/{key}": value for key, value in kept.items()}

    def to_json(self) -> str:
        """All of it; readable by people and by `from_json`."""
        plain: dict[str, Any] = {"format": FORMAT, **asdict(self)}
        for one in plain["questions"]:
            if not one["ruling"]:
                del one["ruling"]
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


def suite_table(reports: Mapping[str, EvaluationReport]) -> str:
    """One line per benchmark: what it is quoted by, with its interval."""
    width = max(map(len, reports))
    lines = []
    for name, report in reports.items():
        quoted, value = report.quoted
        if value is None:
            lines.append(f"{name:{width}}  {'?':>5}    {quoted} has no value for these questions")
        else:
            lines.append(f"{name:{width}}  {value}  {quoted}, {value.num_questions} questions")
    return "\n".join(lines) + "\n"


def suite_scalars(reports: Mapping[str, EvaluationReport]) -> dict[str, float]:
    """For a logger: what each benchmark is quoted by, under its name."""
    found = {name: report.quoted[1] for name, report in reports.items()}
    return {f"suite/{name}": one.value for name, one in found.items() if one is not None}


def _upgraded(plain: dict[str, Any]) -> dict[str, Any]:
    """A report of format 1 as one of today's."""
    for one in plain["questions"]:
        one["scores"] = [float(is_right) for is_right in one.pop("correct")]
    return plain | {"benchmark": {}, "protocol": None}


def _accuracy(questions: Sequence[QuestionOutcome]) -> Accuracy:
    return Accuracy.of(
        [one.score for one in questions], [one.cluster or one.id for one in questions]
    )


def _split(questions: Sequence[QuestionOutcome], labels: Sequence[str]) -> dict[str, Accuracy]:
    """The accuracy of each label's questions; empty where there are no labels."""
    groups: dict[str, list[QuestionOutcome]] = {}
    for name, question in zip(labels, questions, strict=True):
        groups.setdefault(name, []).append(question)
    if set(groups) == {""}:
        return {}
    return {name or "(none)": _accuracy(some) for name, some in groups.items()}


def _letters(metrics: Mapping[str, float], width: int) -> list[str]:
    """How often each letter was chosen, and was right, where there are few."""
    names = [key[len("choice/right_") : -len("_frac")] for key in metrics if _RIGHT.match(key)]
    if not 1 < len(names) <= _MOST_LETTERS:
        return []
    chosen, right = (
        "  ".join(f"{name} {100 * metrics[f'choice/{kind}_{name}_frac']:4.1f}" for name in names)
        for kind in ("chosen", "right")
    )
    return [f"{'letters chosen, %':{width}}  {chosen}", f"{'letters right, %':{width}}  {right}"]


def _shown(key: str, value: float) -> str:
    is_share = key.endswith("_frac") or key.startswith(("error/", "choice/"))
    return f"{100 * value:5.1f} %" if is_share else f"{value:6.2f}"


_READER = TypeAdapter(EvaluationReport)
