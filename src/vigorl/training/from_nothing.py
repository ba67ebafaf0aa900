"""The model folders that a run can begin with instead of a trained one."""

from __future__ import annotations

from pathlib import Path

from vigorl.core.protocols import Tool
from vigorl.core.trace import observation_text
from vigorl.data.scenes.draw import STRIPES
from vigorl.data.scenes.labels import NAMES
from vigorl.data.scenes.world import MadeWorld
from vigorl.models.tiny import TinySettings, make_tiny

ATOMS = (*NAMES, *STRIPES)  # what a trace chooses between: a token each


def make_for_world(
    *, source: MadeWorld, tool: Tool, folder: str, settings: TinySettings, seed: int
) -> str:
    """A tiny model that knows nothing, with a tokenizer made for the traces of a made world.

    Args:
        source: With traces; drawn first where missing.
        tool: The zoom, whose observations the tokenizer should write in few tokens.
        folder: Where the Hugging Face folder goes.
        settings: Sizes.
        seed: Of the weights.
    Returns:
        `folder`.
    """
    source.prepare()
    shown = getattr(tool, "shown", "")
    corpus = [f"user\n{observation_text(shown)}", "assistant\n"] * 100
    for record in source.load().train_traces:
        corpus += [f"system\n{record.system or ''}", f"user\n{record.task.question}"]
        corpus += record.trace.turns()
    make_tiny(Path(folder), corpus=corpus, atoms=ATOMS, settings=settings, seed=seed)
    return folder
