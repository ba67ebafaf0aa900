"""FLOPs of a vision-language model's passes by formula: two for each weight of a matrix product and
each position that it is applied to, and four for each pair of positions that attention compares, in
each layer and number of a query.

    forward = 2 (W tokens + H scored + V patches) + 4 (a pairs + states) + the tower's attention
    update  = forward + the gradients of activations (as much again) and of the weights that learn

The head counts where it is asked, at scored positions. Pairs are all of a sequence, a causal mask
notwithstanding, which is the convention of PaLM (arXiv:2204.02311, appendix B) and of
`torch.utils.flop_counter`. Left out: norms, activations, softmax, embeddings, the optimizer, and
whatever a checkpointed layer computes twice: what a model needs, not what a program does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Of the matrix products of one part.

    Attributes:
        num: All of them.
        num_trained: Those that learn.
        num_first: Those that are multiplied with data, which needs no gradient.
    """

    num: int
    num_trained: int = 0
    num_first: int = 0

    @property
    def num_in_update(self) -> int:
        """How often a forward and a backward pass multiply by one, over all of them."""
        return 2 * self.num - self.num_first + self.num_trained


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFlops:
    """What of a model costs FLOPs.

    Attributes:
        layers: Of the language model's layers, adapters included; applied to every token.
        head: Applied to scored tokens.
        tower: Applied to every patch.
        merger: Applied to every picture token.
        query_width: Heads x width of a head, summed over the layers with keys and values.
        state: Numbers of the states of linear attention, summed over layers.
        tower_width: As `query_width`, over the tower's layers that see a whole picture.
        window_width: Over those that see a window.
        window: Patches per side of a window; 0 where there are none.
        patches_per_token: Merged into one picture token.
        is_tower_trained: Its passes have gradients; else its forward pass counts alone.
    """

    layers: Weights
    head: Weights
    tower: Weights
    merger: Weights
    query_width: int
    state: int = 0
    tower_width: int
    window_width: int = 0
    window: int = 0
    patches_per_token: int = 4
    is_tower_trained: bool = False

    def text_forward(self, load: Load) -> float:
        """Of the language model."""
        products = self.layers.num * load.tokens + self.head.num * load.scored
        return 2 * products + 4 * (self.query_width * load.pairs + self.state * load.tokens)

    def text_update(self, load: Load) -> float:
        """Of its forward and backward pass."""
        products = self.layers.num_in_update * load.tokens
        products += self.head.num_in_update * load.scored
        return 2 * products + 12 * (self.query_width * load.pairs + self.state * load.tokens)

    def tower_forward(self, load: Load) -> float:
        products = self.tower.num * load.patches
        products += self.merger.num * load.patches / self.patches_per_token
        return 2 * products + 4 * self._compared(load)

    def tower_update(self, load: Load) -> float:
        """Of the forward pass alone where nothing of it learns."""
        if not self.is_tower_trained:
            return self.tower_forward(load)
        products = self.tower.num_in_update * load.patches
        products += self.merger.num_in_update * load.patches / self.patches_per_token
        return 2 * products + 12 * self._compared(load)

    def _compared(self, load: Load) -> float:
        return self.tower_width * load.patch_pairs + self.window_width * load.window_pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a pass reads; loads add up.

    Attributes:
        tokens: Positions of sequences, padding left out.
        pairs: Sum over sequences of their length squared.
        scored: Positions whose next token is scored.
        patches: Of the pictures that go through the tower.
        patch_pairs: Sum over pictures, or pieces of them, of their patches squared.
        window_pairs: Sum over windows.
    """

    tokens: float = 0
    pairs: float = 0
    scored: float = 0
    patches: float = 0
    patch_pairs: float = 0
    window_pairs: float = 0

    def __add__(self, other: Load) -> Load:
        names = [one.name for one in fields(Load)]
        return Load(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def __mul__(self, times: float) -> Load:
        return Load(**{one.name: times * getattr(self, one.name) for one in fields(Load)})


def text_load(lengths: Iterable[float], *, scored: float) -> Load:
    """Of sequences by their lengths, pictures expanded."""
    lengths = list(lengths)
    return Load(tokens=sum(lengths), pairs=sum(n * n for n in lengths), scored=scored)


def picture_load(grids: Iterable[tuple[int, int, int]], *, window: int) -> Load:
    """Of pictures.

    Args:
        grids: Pieces, and patch rows and columns of each.
        window: `ModelFlops.window`; windows begin at the upper left corner.
    """
    patches = pairs = window_pairs = 0
    for pieces, rows, columns in grids:
        patches += pieces * rows * columns
        pairs += pieces * (rows * columns) ** 2
        # (r c)^2 over all windows of r x c patches is the product of two sums
        window_pairs += pieces * _squares(rows, window) * _squares(columns, window)
    return Load(patches=patches, patch_pairs=pairs, window_pairs=window_pairs)


def _squares(side: int, window: int) -> int:
    if not window:
        return 0
    return side // window * window**2 + (side % window) ** 2
