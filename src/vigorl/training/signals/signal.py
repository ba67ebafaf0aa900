"""A token signal: the same tokens once more, without gradient, under changed pictures.

    sample -> views -> changed logprobs   `training.phase.read_start`: under the start's weights
    changed and old logprobs -> values    in the step: `signal/<name>`, `LossInputs.signals`
    values -> factors                     in the step, of the policy's token losses, if any

One signal is one file here and one YAML in configs/signals/. Values and factors are of one sequence
at a time, so no cut into micro-batches changes them.
"""

from __future__ import annotations

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
