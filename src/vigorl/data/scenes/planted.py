"""Solutions of the made world's training questions with planted errors, and what a critic says."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Size
from vigorl.core.media import FileImage, ImageView
from vigorl.core.protocols import Looking
from vigorl.core.records import TaskRecord
from vigorl.data.flaws import Flawed, set_overlap
from vigorl.data.scenes.draw import Sign, scene_size
from vigorl.data.scenes.questions import asked_signs
from vigorl.data.scenes.taught import scene_of
from vigorl.data.scenes.teacher import ScriptedTeacher, TeacherSettings
from vigorl.data.scenes.world import MadeWorld


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedWorld:
    """Looks at another sign than the one that is asked about; a `data.flaws.Flaws`.

    An error is an asked sign that no look shows, while the solution answers for it. A critique
    names them: "The red disc was not looked at." The better one names all and nothing else, the
    worse one another set, by how little it has in common with theirs.

    Attributes:
        world: The made world that the run asks about.
        tool: The zoom that solutions call.
        right_frac: Share of solutions without an error, 0 to 1; in the paper each has 1 to 5.
        view: Size in pixels at which the model sees a whole picture.
    Raises:
        ConfigError: The data is no made world, or a share out of its range.
    """

    world: MadeWorld
    tool: Looking
    right_frac: float = 0.5
    view: int = 112
    teacher: TeacherSettings = field(default_factory=TeacherSettings)

    def __post_init__(self) -> None:
        if not isinstance(self.world, MadeWorld) or self.world.variant.names_boxes:
            raise ConfigError(
                "pairs.flaws knows the signs of the made world alone, looked at by points: set "
                "data=made_world, or a source of your own (vigorl.data.flaws.Flaws)"
            )
        if not 0 <= self.right_frac <= 1:
            raise ConfigError(f"pairs.flaws.right_frac must be in [0, 1], got {self.right_frac}")

    def of(self, task: TaskRecord) -> Flawed:
        world, rng = self.world, random.Random(f"{self.world.seed}/{task.id}/flaws")
        scene = scene_of(world, task)
        asked = asked_signs(task, scene)
        sets = [*_subsets(asked)]
        wrong = () if rng.random() < self.right_frac else rng.choice(sets[1:])
        image = ImageView(
            FileImage(task.images[0]), scene_size(world.scene), Size(self.view, self.view)
        )
        solution = ScriptedTeacher(self.teacher, tool=self.tool).flawed_trace(
            task, scene, image, rng, wrong=wrong
        )
        worse = rng.choice([one for one in sets if set(one) != set(wrong)])
        overlap = set_overlap([s.name for s in worse], [s.name for s in wrong])
        return Flawed(solution, better=critique(wrong), worse=critique(worse), overlap=overlap)


def critique(missed: Iterable[Sign]) -> str:
    """What a critic says who finds that these signs were not looked at."""
    said = " ".join(f"The {sign.name} was not looked at." for sign in missed)
    return said or "Each sign was looked at."


def _subsets(signs: Sequence[Sign]) -> Iterable[tuple[Sign, ...]]:
    """The empty one first."""
    return chain.from_iterable(combinations(signs, n) for n in range(len(signs) + 1))
