"""A token signal: the same tokens once more, without gradient, under changed pictures.

    sample -> views -> changed logprobs   `training.phase.read_start`: under the start's weights
    changed and old logprobs -> values    in the step: `signal/<name>`, `LossInputs.signals`
    values -> factors                     in the step, of the policy's token losses, if any

One signal is one file here and one YAML in configs/signals/. Values and factors are of one sequence
at a time, so no cut into micro-batches changes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from jaxtyping import Bool, Float
from torch import Tensor

from vigorl.core.media import ImageView
from vigorl.core.rollout import TrainingSample


class TokenSignal(Protocol):
    """How tokens depend on what the pictures show."""

    @property
    def name(self) -> str:
        """Unique among a run's signals."""
        ...

    def views(self, sample: TrainingSample) -> tuple[ImageView, ...]:
        """The sample's pictures, changed; as many, and at the same sizes."""
        ...

    def values(
        self,
        changed: Float[Tensor, "batch tokens"],
        old: Float[Tensor, "batch tokens"],
        mask: Bool[Tensor, "batch tokens"],
    ) -> Float[Tensor, "batch tokens"]:
        """What is said of each token.

        Args:
            changed: Nats under the changed pictures and the weights of the phase's start.
            old: The same under the pictures as they are.
            mask: The tokens that are learned from; values elsewhere are not read.
        """
        ...

    def factors(
        self, values: Float[Tensor, "batch tokens"], mask: Bool[Tensor, "batch tokens"]
    ) -> Float[Tensor, "batch tokens"] | None:
        """What multiplies each token's policy loss, never the KL; None where nothing is weighed."""
        ...


def read_signals(
    signals: Sequence[TokenSignal],
    changed: Mapping[str, Float[Tensor, "batch tokens"]],
    old: Float[Tensor, "batch tokens"],
    mask: Bool[Tensor, "batch tokens"],
) -> tuple[dict[str, Tensor], Float[Tensor, "batch tokens"] | None]:
    """Values by signal, and the product of all factors, None where no signal weighs tokens.

    Args:
        signals: Of the run.
        changed: By signal; see `TokenSignal.values`, as of the others.
        old: Of all.
        mask: Of all.
    """
    values: dict[str, Tensor] = {}
    product = None
    for signal in signals:
        found = signal.values(changed[signal.name], old, mask)
        values[signal.name] = found
        factors = signal.factors(found, mask)
        if factors is not None:
            product = factors if product is None else product * factors
    return values, product
