"""Guests: a worked solution of the prompt among the policy's own rollouts, in place of one of them.

    group_size - 1 rollouts -> + one guest -> credit over group_size rewards -> loss

A guest was not sampled. Its old logprobs are the policy's own at the phase's start, so its ratio
starts at 1; it has no sampling logprobs, and neither the alignment check nor the importance
correction, nor what is measured of the gap to the engine, sees it. Solve rates and the metrics of
rollouts are over the policy's own.

ViSurf: `unpaid=[format]`, `yields`, the loss of any other rollout. LUFFY: `gamma`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from vigorl.core.errors import ConfigError
from vigorl.core.protocols import Progress
from vigorl.core.rollout import RewardBreakdown, ScoredRollout, group_indices
from vigorl.data.answers import Answers
from vigorl.data.encoding import trace_rollout
from vigorl.rollout.environment import Environment
from vigorl.rollout.experience import RolloutScorer, score_rollouts


@dataclass(frozen=True, slots=True, kw_only=True)
class Guests:
    """Who joins, and how a guest is paid and learned from.

    Attributes:
        answers: A solution of each prompt, under the run's own prompt.
        unpaid: Parts of the reward that a guest gets nothing of (ViSurf's second control: the
            format of thinking). A group reward sees a guest by itself.
        yields: Where a rollout of the group is paid as much as the guest, or more, the guest is
            paid the mean of the rollouts, so that its advantage is 0 (ViSurf's third control).
        gamma: Above 0: a guest's token counts p / (p + gamma) A in place of the algorithm's clipped
            ratio, where p is the policy's probability of the token, with gradient (LUFFY: 0.1);
            no KL is paid on it. None takes the algorithm's own loss.
    Raises:
        ConfigError: A setting out of its range.
    Source: ViSurf, arXiv:2510.10606, by a summary of it with the formulas (no code was found); its
        first control, the policy's own style, is a matter of the solutions. LUFFY,
        arXiv:2504.14945, from memory of the paper, not read again.
    """

    answers: Answers
    unpaid: tuple[str, ...] = ()
    yields: bool = False
    gamma: float | None = None

    def __post_init__(self) -> None:
        if self.gamma is not None and self.gamma <= 0:
            raise ConfigError(f"guests.gamma must be above 0, got {self.gamma}")

    def invite(
        self,
        scored: Sequence[ScoredRollout],
        *,
        environment: Environment,
        reward: RolloutScorer,
        progress: Progress,
    ) -> list[ScoredRollout]:
        """One guest per group, in order of the groups.

        Args:
            scored: Whole groups of the policy's own rollouts, which may be interleaved.
            environment: Their dialogs.
            reward: What they were scored by.
            progress: How far the run is.
        Raises:
            DataError: A prompt has no solution.
            ConfigError: The reward has no part that is to be unpaid.
        """
        members = group_indices(one.rollout for one in scored)
        groups = [[scored[i] for i in indices] for indices in members]
        rollouts = [
            replace(
                trace_rollout(
                    self.answers.of(group[0].rollout.task),
                    prompt=environment.prompt,
                    codec=environment.codec,
                    images=environment.images,
                    tools=environment.tools,
                    max_calls=environment.limits.max_calls_per_turn,
                ),
                group=group[0].rollout.group,
                index=len(group),
            )
            for group in groups
        ]
        guests = score_rollouts(rollouts, reward, progress=progress)
        return [
            replace(guest, reward=self._paid(guest.reward, group))
            for guest, group in zip(guests, groups, strict=True)
        ]

    def _paid(self, own: RewardBreakdown, group: Sequence[ScoredRollout]) -> RewardBreakdown:
        total = own.total
        for part in self.unpaid:
            if part not in own.parts or part not in own.weights:
                raise ConfigError(
                    f"guests.unpaid={part} is no weighted part of the reward; it has "
                    f"{', '.join(own.weights) or 'none'}"
                )
            total -= own.weights[part] * own.parts[part]
        totals = [one.reward.total for one in group]
        if self.yields and max(totals) >= total:
            total = fmean(totals)
        return replace(own, total=total)


def guest_sums(
    guests: Sequence[ScoredRollout],
) -> dict[str, tuple[float, float]]:
    """(sum, count) by name of what is logged about credited guests; `guests/idle_frac` is the share
    whose advantage is 0, such as of those that have yielded.
    """
    num = len(guests)
    return {
        "guests/accuracy": (sum(one.rollout.score for one in guests), num),
        "guests/reward": (sum(one.reward.total for one in guests), num),
        "guests/advantage": (sum(one.advantage for one in guests), num),
        "guests/idle_frac": (sum(abs(one.advantage) < 1e-6 for one in guests), num),
    }
