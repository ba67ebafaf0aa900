"""Whether a tool should have been used, and was. Bonuses on the answer's side are in `gate`.

The sources agree on one thing: pay for tools in right answers alone. DeepEyes' own ablation (HR-4K
75.1 so, 72.1 for any answer, 53.4 without a bonus); FrameThinker's collapse under format and
unconditional rewards. `pay_on` makes the other arms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.protocols import Progress
from vigorl.core.rollout import RewardBreakdown, Rollout


class PayOn(StrEnum):
    """Which answers a bonus is for."""

    RIGHT = "right"  # DeepEyes, PyVision, VLM-R3, FrameThinker, Chain-of-Focus
    WRONG = "wrong"  # Chain-of-Focus, other variant: pays trying where it failed
    ANY = "any"  # the arm that collapses into busy looking, and with a weight below 0 into none


class Counted(StrEnum):
    """What is paid for."""

    LOOKS = "looks"  # calls that showed a place
    CALLS = "calls"  # turns that called a tool, refused calls too (PyVision's environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolBonusReward:
    """`bonus` for each use of a tool, up to `max_uses`, in answers of one kind.

    Order: kept with "right"; with "wrong" while the bonus stays under what accuracy pays; with
    "any" while `bonus * max_uses` does.

    Attributes:
        bonus: Per use, >= 0; a price has a weight below 0.
        max_uses: The most that count, at least 1.
        pay_on: See `PayOn`.
        min_score: From which score on an answer counts as right, in (0, 1].
        counted: See `Counted`.
        all_must_work: Nothing where a call was refused or a turn could not be read.
    Raises:
        ConfigError: A setting out of its range.
    Source: DeepEyes, arXiv:2505.14362, Visual-Agent/DeepEyes 6c5e796 `vl_agent.py` (1.2 once, on
        acc > 0.5); PyVision-RL, arXiv:2602.20739, 62ca599 `naive.py` (0.1 per call); VLM-R3,
        justgogorunrun/VLM-R3 841adca `rgrpo.py` (0.5 once, all must work); Chain-of-Focus,
        xtong-zhang/Chain-of-Focus 431ff0d `zoomin_reward*.py` (0.5 or 1.0 once); FrameThinker
        (0.2 once).
    """

    bonus: float
    max_uses: int = 1
    pay_on: PayOn | str = PayOn.RIGHT
    min_score: float = 1.0
    counted: Counted | str = Counted.LOOKS
    all_must_work: bool = False

    def __post_init__(self) -> None:
        if self.pay_on not in list(PayOn) or self.counted not in list(Counted):
            raise ConfigError(
                f"tool_bonus: pay_on={self.pay_on!r} must be one of {', '.join(PayOn)}, and "
                f"counted={self.counted!r} one of {', '.join(Counted)}"
            )
        if self.bonus < 0 or self.max_uses < 1 or not 0 < self.min_score <= 1:
            raise ConfigError(
                f"tool_bonus: need bonus={self.bonus} >= 0, max_uses={self.max_uses} >= 1 and "
                f"min_score={self.min_score} in (0, 1]"
            )

    @property
    def name(self) -> str:
        return "tool_bonus"

    @property
    def range(self) -> tuple[float, float]:
        return (0.0, self.bonus * self.max_uses)

    def __call__(self, rollout: Rollout) -> float:
        is_right = rollout.score >= self.min_score
        if self.pay_on != PayOn.ANY and is_right != (self.pay_on == PayOn.RIGHT):
            return 0.0
        if self.all_must_work and not _all_worked(rollout):
            return 0.0
        uses = num_calls(rollout) if self.counted == Counted.CALLS else len(rollout.looks)
        return self.bonus * min(uses, self.max_uses)


def num_calls(rollout: Rollout) -> int:
    """Calls of tools, whether or not they worked; one that could not be read counts once."""
    return sum(len(turn.parsed.tool_calls) or bool(turn.tool_error) for turn in rollout.turns)


def _all_worked(rollout: Rollout) -> bool:
    return not rollout.num_tool_errors and all(
        turn.parsed.problem is None for turn in rollout.turns
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ThoughtBeforeLookReward:
    """`per_character` times the length of the rollout's shortest thought, at most `most`: no look
    may follow another without words, and one long thought does not pay for an empty one.

    Order: it pays wrong answers too, so its most must stay under the gap that accuracy makes.

    Attributes:
        per_character: >= 0.
        most: >= 0.
    Source: VLM-R3, justgogorunrun/VLM-R3 841adca, `rgrpo.py` `length_reward`: 0.01 a character of
        the shortest text between two crops, at most 0.10. The paper (as a third party tells it):
        0.001 a character of all the reasoning, at most 0.25.
    """

    per_character: float = 0.01
    most: float = 0.1

    def __post_init__(self) -> None:
        if self.per_character < 0 or self.most < 0:
            raise ConfigError("thought_before_look: per_character and most must be >= 0")

    @property
    def name(self) -> str:
        return "thought_before_look"

    @property
    def range(self) -> tuple[float, float]:
        return (0.0, self.most)

    def __call__(self, rollout: Rollout) -> float:
        shortest = min(len(turn.parsed.think) for turn in rollout.turns)
        return min(self.per_character * shortest, self.most)


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyReward:
    """1 for the labelled strategy with a right answer, `wrong_share` for it with any other, 0 for
    the other strategy. The strategies: to look before answering, or to answer at once.

    Order: kept while the weight times `wrong_share` stays under what accuracy pays.

    Attributes:
        tag: The task's tag that holds the label.
        look: The label's value where looking is right; any other value: answering at once is.
        wrong_share: In [0, 1]. The paper says "partial" without a number that could be read: 0.5 is
            ours.
    Raises:
        ConfigError: `wrong_share` out of its range.
    Source: Visual Programmability, arXiv:2509.09286 (weight 0.3; its strategies: code, or
        reasoning in words).
    """

    tag: str
    look: str
    wrong_share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.wrong_share <= 1:
            raise ConfigError(f"strategy: wrong_share={self.wrong_share} must be in [0, 1]")

    @property
    def name(self) -> str:
        return "strategy"

    @property
    def range(self) -> tuple[float, float]:
        return (0.0, 1.0)

    def __call__(self, rollout: Rollout) -> float:
        """Raises DataError where the task has no such tag."""
        label = rollout.task.tags.get(self.tag)
        if label is None:
            raise DataError(
                f"task {rollout.task.id!r} has no tag {self.tag!r}, which reward part 'strategy' "
                "reads: choose data that has it, such as data=made_world_economy"
            )
        if bool(rollout.looks) != (label == self.look):
            return 0.0
        return 1.0 if rollout.score == 1.0 else self.wrong_share


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveUseReward:
    """A right answer is paid where using the tool or not agreed with what the question needs, and
    priced where it used the tool for nothing; wrong answers get 0.

        need = share right with the tool > share right without it + margin

    The shares are those of the rollouts of the group that looked and that did not; or, with
    `with_probe` and `without_probe`, a probe's means over the group, such as those of the paper's 4
    rollouts forced to look and 4 forbidden to (probes=[tool_need]). Where a share is unknown there
    is no need to speak of, and nothing is paid.

    The form is ours: the paper's coefficients were not found. Its forced rollouts are also learned
    from, paid for obeying; that is left out.

    Order: a right answer scores at least its own total less `penalty`.

    Attributes:
        bonus: For a right answer that agreed, >= 0.
        penalty: For a right answer that looked without need, >= 0.
        margin: Of the shares, in [0, 1].
        without_probe: Name of a probe's number that says how right the answer was with the tool
            forbidden; None goes by the group alone.
        with_probe: The same with the tool forced.
    Raises:
        ConfigError: A setting out of its range.
    Source: Look Less, Reason More, arXiv:2510.01681, by its reviews and digests.
    """

    bonus: float = 0.2
    penalty: float = 0.1
    margin: float = 0.0
    without_probe: str | None = None
    with_probe: str | None = None

    def __post_init__(self) -> None:
        if min(self.bonus, self.penalty) < 0 or not 0 <= self.margin <= 1:
            raise ConfigError(
                "adaptive_use: need bonus >= 0, penalty >= 0, margin in [0, 1], got "
                f"{self.bonus}, {self.penalty}, {self.margin}"
            )

    @property
    def name(self) -> str:
        return "adaptive_use"

    @property
    def range(self) -> tuple[float, float]:
        return (-self.penalty, self.bonus)

    @property
    def probe_numbers(self) -> tuple[str, ...]:
        return tuple(name for name in (self.with_probe, self.without_probe) if name is not None)

    def score_group(
        self,
        rollouts: Sequence[Rollout],
        breakdowns: Sequence[RewardBreakdown],
        *,
        progress: Progress,
    ) -> list[float]:
        with_tool = _mean(_scores(rollouts, self.with_probe, looked=True))
        without = _mean(_scores(rollouts, self.without_probe, looked=False))
        if with_tool is None or without is None:
            return [0.0] * len(rollouts)
        is_needed = with_tool > without + self.margin
        return [self._score(rollout, is_needed) for rollout in rollouts]

    def _score(self, rollout: Rollout, is_needed: bool) -> float:
        if rollout.score != 1.0:
            return 0.0
        if bool(rollout.looks) == is_needed:
            return self.bonus
        return -self.penalty if rollout.looks else 0.0


def _scores(rollouts: Sequence[Rollout], probe: str | None, *, looked: bool) -> list[float]:
    """A probe's numbers, or without one the scores of those that looked, or did not."""
    if probe is None:
        return [one.score for one in rollouts if bool(one.looks) == looked]
    return [one.probes[probe] for one in rollouts if probe in one.probes]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
