"""An update of policy-gradient training, each switch of it on and off, and the released design.

    python benchmarks/step.py [--prompts 2] [--group 4] [--rounds 2] [--only all released]

The model and the rollouts are those of `middle.py`. An update is what the released trainer does in
a phase of one: log-probabilities of the start and of the reference without gradient, then a pass
with gradient for GRPO with a KL, and a step of AdamW. Every way runs in a process of its own, in
turns; seconds are those of an update behind a short one, memory is the peak beside weights,
gradients and the optimizer's state. Loss and norm of the gradient are printed: all ways must have
the same. On a machine that others use, read the seconds of the CPU.

    packing   the sequences of a micro-batch in one row | padded to the longest
    tiles     scored positions alone, in tiles | logits of all positions, in float32
    tower     each picture once a phase | in each of the three passes, for each sequence
    budget    micro-batches of so many tokens, level | of so many sequences, as they come
    prefix    what a group begins with once, as many sequences as then have room | for each sequence

Released (verl as ViGoRL used it): all off.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import torch
from middle import PATCHES, SIDE_PX, Rollout, made_model, pixels_of
from running import add_sizes, ask, rollouts_of, table, timed
from torch import Tensor
from torch.nn.functional import linear

from vigorl.core.geometry import Size
from vigorl.core.media import FileImage, ImageView
from vigorl.data.collate import TrainingBatch
from vigorl.models.losses import LossInputs
from vigorl.models.policy import Policy
from vigorl.models.vision_cache import VisionCache
from vigorl.training.algorithms.grpo import GRPO
from vigorl.training.token_budget import TokenBudget


@dataclass(frozen=True, slots=True)
class Design:
    """Which switches are on."""

    packing: bool = True
    tiles: bool = True
    tower: bool = True
    budget: bool = True
    prefix: bool = True


SWITCHES = tuple(one.name for one in fields(Design))
DESIGNS = {
    "all": Design(),
    **{f"no_{name}": replace(Design(), **{name: False}) for name in ("tiles", "tower", "prefix")},
    "no_packing": Design(packing=False, prefix=False),  # which needs it
    "no_budget": Design(budget=False, prefix=False),  # which counts tokens by itself
    "released": Design(**dict.fromkeys(SWITCHES, False)),
}


def batch_of(rollouts: Sequence[Rollout], *, weight: float, with_pixels: bool) -> TrainingBatch:
    """Padding on the right; `weight` is that of each token of a response."""
    length = max(one.num_tokens for one in rollouts)
    ids, mask, loss = (torch.zeros(len(rollouts), length, dtype=torch.long) for _ in range(3))
    advantages = torch.zeros(len(rollouts), length)
    for row, one in enumerate(rollouts):
        ids[row, : one.num_tokens] = torch.tensor([*one.prompt, *one.response])
        mask[row, : one.num_tokens] = 1
        loss[row, len(one.prompt) : one.num_tokens] = 1
        advantages[row, len(one.prompt) : one.num_tokens] = one.advantage
    size = Size(SIDE_PX, SIDE_PX)
    return TrainingBatch(
        input_ids=ids,
        attention_mask=mask,
        loss_mask=loss.bool(),
        token_weight=torch.full((len(rollouts),), weight),
        advantages=advantages,
        sampling_logprobs=None,
        image_grid_thw=torch.tensor([[1, PATCHES, PATCHES]] * len(rollouts)),
        views=tuple(ImageView(FileImage(str(one.picture)), size, size) for one in rollouts),
        pixel_values=torch.cat([pixels_of(one.picture) for one in rollouts])
        if with_pixels
        else None,
    )


class Trainer:
    """One policy and its updates."""

    def __init__(
        self, design: Design, *, shape: str, kl_coef: float, checkpoints: bool = False
    ) -> None:
        self.design = design
        self.policy = Policy(
            made_model(shape),
            packing=design.packing,
            shared_prefix=design.prefix and design.packing,
            gradient_checkpointing=checkpoints,
        ).train()
        if torch.cuda.is_available():
            self.policy.cuda()
        self.cache = VisionCache(self.policy)
        self.algorithm = GRPO(kl_coef=kl_coef)
        trained = [w for w in self.policy.parameters() if w.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=0.0, weight_decay=0.0)
        for weight in trained:
            weight.grad = torch.zeros_like(weight)
        self.optimizer.step()  # its state is there from here on

    def micro_batches(self, rollouts: Sequence[Rollout], size: int) -> list[list[Rollout]]:
        """Of at most `size` sequences, or of as many tokens as `size` of the longest have."""
        if self.design.prefix:
            return _by_prompt(rollouts, most_tokens=size * max(one.num_tokens for one in rollouts))
        if not self.design.budget:
            return [list(rollouts[i : i + size]) for i in range(0, len(rollouts), size)]
        lengths = [one.num_tokens for one in rollouts]
        budget = TokenBudget(
            most_tokens=size * max(lengths),
            most_sequences=len(lengths),
            attention=self.policy.attention_cost,
        )
        return [[rollouts[i] for i in part] for part in budget.cut(lengths, at_least=1)]

    def update(self, rollouts: Sequence[Rollout], *, size: int, passes: Sequence[str]) -> float:
        """One phase of one update; its loss.

        Args:
            rollouts: All of it.
            size: See `micro_batches`.
            passes: What comes before the pass with gradient: "old", "ref".
        """
        self.cache.clear()
        weight = 1 / sum(len(one.response) for one in rollouts)
        parts = self.micro_batches(rollouts, size)
        batches = [
            batch_of(part, weight=weight, with_pixels=not self.design.tower).to(self.policy.device)
            for part in parts
        ]
        found: dict[str, list[Tensor]] = {}
        for name in passes:
            with torch.no_grad():
                found[name] = [self.scored(batch)[0] for batch in batches]
        self.optimizer.zero_grad(set_to_none=False)
        total = 0.0
        for i, batch in enumerate(batches):
            logprobs, entropy = self.scored(batch)
            before = {name: values[i] for name, values in found.items()}
            loss = self.loss(batch, logprobs, entropy, before)
            loss.backward()
            total += float(loss.detach())
        self.optimizer.step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return total

    def loss(
        self,
        batch: TrainingBatch,
        logprobs: Tensor,
        entropy: Tensor,
        before: Mapping[str, Tensor],
    ) -> Tensor:
        """Of the algorithm; `before` has the logprobs of earlier passes, "old" and "ref"."""
        assert batch.advantages is not None
        inputs = LossInputs(
            policy_logprobs=logprobs,
            old_logprobs=before.get("old", logprobs.detach()),
            advantages=batch.advantages,
            loss_mask=batch.loss_mask,
            token_weight=batch.token_weight,
            ref_logprobs=before.get("ref"),
            entropy=entropy.detach(),
        )
        return self.algorithm.loss(inputs).loss

    def scored(self, batch: TrainingBatch) -> tuple[Tensor, Tensor]:
        """[batch, tokens] log-probabilities and entropies."""
        features = self.cache.get(batch.views, pixels_of_views) if self.design.tower else None
        if self.design.tiles:
            logprobs, entropy = self.policy.response_logprobs(
                batch, features=features, chunk_tokens=4096, with_entropy=True
            )
            assert entropy is not None
            return logprobs, entropy
        hidden, mask = self.policy(batch, features), batch.loss_mask
        kept = batch.attention_mask.bool() if self.design.packing else torch.ones_like(mask)
        weight = self.policy.model.get_output_embeddings().weight  # pyright: ignore
        logits = linear(hidden[kept], weight).float()
        totals = logits.logsumexp(-1)
        targets = batch.input_ids.roll(-1, dims=1)[kept]
        values = logits.gather(-1, targets[:, None]).squeeze(-1) - totals
        entropies = totals - (logits.softmax(-1) * logits).sum(-1)
        spread = [hidden.new_zeros(mask.shape).masked_scatter(kept, x) for x in (values, entropies)]
        return tuple(one.roll(1, dims=1).where(mask, 0.0) for one in spread)  # pyright: ignore


def _by_prompt(rollouts: Sequence[Rollout], *, most_tokens: int) -> list[list[Rollout]]:
    """In order, of at most so many tokens where a prompt counts once."""
    found: list[list[Rollout]] = []
    room = 0
    for one in rollouts:
        is_next = bool(found) and found[-1][-1].prompt == one.prompt
        needed = len(one.response) + (0 if is_next else len(one.prompt))
        if not found or needed > room:
            found.append([])
            needed, room = one.num_tokens, most_tokens
        found[-1].append(one)
        room -= needed
    return found


def pixels_of_views(views: Sequence[ImageView]) -> tuple[Tensor, Tensor]:
    grids = torch.tensor([[1, PATCHES, PATCHES]] * len(views))
    return torch.cat([pixels_of(int(view.path)) for view in views]), grids


def measure(
    design: Design, rollouts: Sequence[Rollout], *, shape: str, size: int, passes: Sequence[str]
) -> dict[str, float]:
    trainer = Trainer(design, shape=shape, kl_coef=0.01 if "ref" in passes else 0.0)
    return timed(
        lambda some: trainer.update(some, size=size, passes=passes), rollouts, trainer.policy
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_sizes(parser)
    parser.add_argument("--only", nargs="+", choices=DESIGNS, default=list(DESIGNS))
    parser.add_argument("--way", choices=DESIGNS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    rollouts = rollouts_of(args)
    if args.way:
        found = measure(
            DESIGNS[args.way], rollouts, shape=args.shape, size=args.size, passes=("old", "ref")
        )
        print(json.dumps(found))
        return
    print(table(args, lambda way: ask(way, args.launcher)))


if __name__ == "__main__":
    main()
