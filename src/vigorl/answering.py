"""`vigorl.ask`: a model answers a question about one picture, and what it looked at can be seen.

    answer = vigorl.ask(run, "street.png", "What does the sign say?", ["STOP", "YIELD"])
    answer.text, answer.confidence, answer.rollout.turns
    answer                    # in a notebook: the picture, its looks, what each showed

For many questions one `asker` keeps the model in memory: `vigorl.ask(asker, ...)`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from vigorl.api import Config, config_for, inside
from vigorl.asking.asker import Asker, ask_picture, check_picture, confidence
from vigorl.asking.deciding import decide
from vigorl.asking.shared_engine import SharedEngine
from vigorl.build import build_engine, build_parts, build_rule, check_settings, prepare_process
from vigorl.core.rollout import Rollout
from vigorl.data.images import ImageStore
from vigorl.data.sources.pictures import Pictures
from vigorl.data.sources.rows import Row
from vigorl.pages.picture import rollout_picture
from vigorl.results import Model, TrainingRun

Picture = str | os.PathLike[str] | Image.Image | bytes
prepare_process()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered.

    Attributes:
        text: Its answer; None where it gave none.
        confidence: Mean probability of the tokens of its last turn, in (0, 1]; None where the
            engine knows none.
        rollout: All of the dialog.
        ruling: What a rule of inference saw and chose; "" without one.
    """

    text: str | None
    confidence: float | None
    rollout: Rollout
    _images: ImageStore = field(repr=False)
    ruling: str = ""

    def picture(self) -> Image.Image:
        """The picture with its looks on it, and what each showed."""
        return rollout_picture(self.rollout, self._images)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.picture().save(buffer, "png")
        return buffer.getvalue()

    def __str__(self) -> str:
        return self.text or "no answer"


@contextmanager
def asker(
    model: Config | TrainingRun | Model | str | os.PathLike[str], *overrides: str, tool: Any = None
) -> Iterator[Asker]:
    """A model that is kept in memory for several questions: `with vigorl.asker(run) as policy`.

    Args:
        model: See `vigorl.evaluate`.
        overrides: Such as "env=question_zoom", or "scale=..." of a larger model.
        tool: In place of the env's.
    Raises:
        VigorlError: In one line.
    """
    cfg = config_for(model, "evaluate", overrides, {} if tool is None else {"tool": tool})
    with inside(cfg, "evaluate") as settings:
        check_settings(settings)
        parts = build_parts(settings)
        samples = build_engine(settings, parts)
        rule = build_rule(settings, samples)
        engine = SharedEngine(samples)
    try:
        yield Asker(str(settings.model.path), engine, parts.environment, rule)
    finally:
        engine.close()


def ask(
    model: Asker | Config | TrainingRun | Model | str | os.PathLike[str],
    picture: Picture,
    question: str,
    options: Sequence[str] = (),
    *,
    on_text: Callable[[str], None] | None = None,
) -> Answer:
    """Answer a question about a picture, greedily or by the asker's rule of inference.

    Args:
        model: As of `asker`, or one.
        picture: A file, its bytes, or a PIL picture.
        question: Not empty.
        options: To choose from; none where the question is open.
        on_text: Called with the text of the coming turn as it grows, and with "" at its end; of an
            answer that is chosen among several, turn by turn once it is.
    Raises:
        VigorlError: In one line: no such picture, no such model, an empty question.
    """
    if not isinstance(model, Asker):
        with asker(model) as opened:
            return ask(opened, picture, question, options, on_text=on_text)
    path = _file(picture)
    check_picture(path)
    task = ask_picture(path, question, options=options)
    if model.decides:
        found = decide(model, task)
        if on_text is not None:
            for turn in found.talk.turns:
                on_text(turn.text)
                on_text("")
        last, rollout = found.talk.turns[-1], found.rollouts[found.chosen]
        return Answer(rollout.answer, confidence(last), rollout, model.images, found.saw)
    talk = model.open(task)
    for text in talk.go_on():
        if on_text is not None:
            on_text(text)
    return Answer(talk.answer, confidence(talk.turns[-1]), talk.rollout, model.images)


def _file(picture: Picture) -> str:
    """Where a picture is; one that is in memory is written to the user's cache."""
    if isinstance(picture, str | os.PathLike):
        return os.fspath(picture)
    row = Row({"picture": picture}, Path("picture"))
    return Pictures(is_beside=False).files(row, "picture")[0]
