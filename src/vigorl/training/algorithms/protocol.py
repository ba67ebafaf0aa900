"""What a policy gradient algorithm answers. The trainer asks, and does not know which one it runs.

    groups of scored rollouts -> credit         once per phase, on every rank its own groups; what
                                                must be read of tokens before: `training.readings`
    loss tokens per sequence  -> token_weights  once per optimizer batch, over all ranks
    tokens of the update      -> marks          once per optimizer batch, over all ranks, if asked
    LossInputs                -> loss           once per micro-batch

One algorithm is one file here and one YAML in configs/algorithm/. Whatever is a statistic over more
rollouts than a group belongs into `credit`, `token_weights` or `marks` (`training.marks.Marking`),
where the optimizer batch is still whole, never into `loss`: no cut into micro-batches may change a
step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from vigorl.core.advantages import Credit
from vigorl.core.errors import ConfigError
from vigorl.core.rollout import ScoredRollout

if TYPE_CHECKING:
    from vigorl.models.losses import LossInputs, LossOutput


class Algorithm(Protocol):
    """Credit and loss of a policy gradient."""

    @property
    def needs_reference(self) -> bool:
        """Whether the loss reads logprobs of the start checkpoint, which then is kept in memory."""
        ...

    @property
    def needs_old(self) -> bool:
        """Whether the loss reads logprobs of the phase's start, which take a pass of their own
        where a phase has several updates.
        """
        ...

    @property
    def needs_zero_advantages(self) -> bool:
        """Whether samples whose advantages are all 0 move the policy, as a KL term makes them;
        otherwise their forward pass is left out.
        """
        ...

    def credit(self, groups: Sequence[Sequence[ScoredRollout]]) -> list[list[Credit]]:
        """Credit the tokens of this rank's groups.

        Args:
            groups: Whole groups, each of one prompt's rollouts with their rewards.
        Returns:
            In the layout of `groups`.
        Raises:
            ValueError: Rewards that cannot be compared; names the group.
        """
        ...

    def token_weights(self, num_tokens: Sequence[int], groups: Sequence[str]) -> list[float]:
        """What each loss token of each sequence counts in the optimizer batch.

        Args:
            num_tokens: [B] loss tokens per sequence, of all ranks and micro-batches; some above 0.
            groups: [B] which prompt each sequence is of.
        Returns:
            [B] weights w with loss = sum_i w_i * sum_t loss_it.
        """
        ...

    def loss(self, inputs: LossInputs) -> LossOutput:
        """The micro-batch's share of the loss, and what is measured about it."""
        ...


@runtime_checkable
class Stateful(Protocol):
    """An `Algorithm` that remembers something of earlier phases, which checkpoints then hold."""

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors; the same on all ranks."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


@runtime_checkable
class CreditsByCritic(Protocol):
    """An `Algorithm` whose credit may take what a critic expects of each token."""

    @property
    def needs_critic(self) -> bool:
        """Whether it does: a critic then learns beside the policy (`training.critic`)."""
        ...


def needs_critic(algorithm: object) -> bool:
    """Of an algorithm of your own too, which need not say."""
    return isinstance(algorithm, CreditsByCritic) and algorithm.needs_critic


@runtime_checkable
class CorrectsEngine(Protocol):
    """An `Algorithm` that may weigh the gap between engine and trainer itself."""

    @property
    def corrects_engine(self) -> bool:
        """Whether it does, so that `importance_correction` would count the gap twice."""
        ...


@runtime_checkable
class ReadsSignals(Protocol):
    """An `Algorithm` that needs token signals, by name."""

    @property
    def needs_signals(self) -> tuple[str, ...]:
        """Signals that must be there."""
        ...

    @property
    def gradient_signals(self) -> tuple[str, ...]:
        """Those under whose changed pictures the step has a forward pass with gradient, in place of
        one without at the phase's start: `LossInputs.changed_logprobs`.
        """
        ...


def check_beside(algorithm: Algorithm, *, signals: Sequence[str], corrects: bool) -> None:
    """Refuse what stands beside an algorithm and does not fit it.

    Args:
        algorithm: Of the run.
        signals: Names of the run's.
        corrects: There is an importance correction.
    Raises:
        ConfigError: A gap that would be counted twice, or a signal that is missing.
    """
    name = type(algorithm).__name__
    if corrects and isinstance(algorithm, CorrectsEngine) and algorithm.corrects_engine:
        raise ConfigError(
            f"importance_correction with algorithm={name} would count the gap between engine and "
            "trainer twice: set importance_correction=null"
        )
    needed = algorithm.needs_signals if isinstance(algorithm, ReadsSignals) else ()
    if missing := [one for one in needed if one not in signals]:
        raise ConfigError(f"algorithm={name} needs signals=[{', '.join(missing)}]")
