"""The model folders that a run can begin with instead of a trained one."""

from __future__ import annotations

from pathlib import Path

from vigorl.core.geometry import Point
from vigorl.core.media import FileImage, ImageView
from vigorl.core.protocols import Looking, Scene
from vigorl.core.records import TaskRecord
from vigorl.core.trace import observation_text
from vigorl.data.images import read_size
from vigorl.data.scenes.draw import STRIPES
from vigorl.data.scenes.labels import NAMES
from vigorl.data.scenes.world import MadeWorld
from vigorl.families.family import TinySettings
from vigorl.models.tiny import make_tiny

ATOMS = (*NAMES, *STRIPES)  # what a trace chooses between: a token each


def make_for_world(
    *, source: MadeWorld, tool: Looking, folder: str, settings: TinySettings, seed: int
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
    traces = source.load().train_traces
    corpus = [f"user\n{_reply(tool, traces[0].task)}", "assistant\n"] * 100
    for record in traces:
        corpus += [f"system\n{record.system or ''}", f"user\n{record.task.question}"]
        corpus += record.trace.turns()
    make_tiny(Path(folder), corpus=corpus, atoms=ATOMS, settings=settings, seed=seed)
    return folder


def _reply(tool: Looking, task: TaskRecord) -> str:
    """What the tool says with a picture."""
    size = read_size(task.images[0])
    image = ImageView(FileImage(task.images[0]), size, size)
    middle = Point(size.width / 2, size.height / 2)
    arguments = tool.arguments_at(middle, image=image)
    return observation_text(tool.open(task).call(arguments, scene=Scene((image,))).parts)
