"""One question in three forms, from easy to hard: yes or no, options, open (Curr-ReFT)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vigorl.core.errors import ConfigError
from vigorl.core.records import TaskRecord
from vigorl.data.scenes.draw import STRIPES, Scene
from vigorl.data.scenes.questions import YES_NO, ask_attribute
from vigorl.data.scenes.variants.variant import Variant

FORMS = (YES_NO, "options", "open")


@dataclass(frozen=True, kw_only=True)
class Forms(Variant):
    """A stage of a curriculum asks in one of them. Chance is 1/2, 1/4, and for open questions as
    much as the answers are few; the tag "form" says which it is.

    Attributes:
        forms: Which are asked, evenly likely.
        has_references: Open questions come with a text that hedges, "vertical or rising", half of
            which is true: tags "reference", "facts" and "false_facts", for rewards that pay what is
            better than a reference.
    """

    forms: Sequence[str] = FORMS
    has_references: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "forms", tuple(self.forms))
        if not self.forms or not set(self.forms) <= set(FORMS):
            raise ConfigError(f"forms must be some of {list(FORMS)}, got {list(self.forms)}")

    def ask(
        self, scene: Scene, *, rng: random.Random, comparison_frac: float, id: str, image: str
    ) -> TaskRecord:
        task, form = ask_attribute(scene, id=id, image=image), rng.choice(self.forms)
        tags = {"form": form}
        if form == "open":
            return replace(task, options=(), tags=tags | self._reference(task, rng))
        names = f"{', '.join(STRIPES[:-1])} or {STRIPES[-1]}"
        if form == "options":
            question = f"{task.question.removesuffix('?')}, {names}?"
            return replace(task, question=question, tags=tags)
        said = rng.choice([task.answer, rng.choice([s for s in STRIPES if s != task.answer])])
        return replace(
            task,
            question=f"Do the stripes on the {scene.signs[0].name} run {said}?",
            answer="yes" if said == task.answer else "no",
            options=("yes", "no"),
            category=YES_NO,
            tags=tags,
        )

    def _reference(self, task: TaskRecord, rng: random.Random) -> dict[str, str]:
        if not self.has_references:
            return {}
        false = [one for one in STRIPES if one != task.answer]
        said = [task.answer, rng.choice(false)]
        rng.shuffle(said)
        reference = {"reference": " or ".join(said)}
        return reference | {"facts": task.answer, "false_facts": "; ".join(false)}
