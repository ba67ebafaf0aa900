"""What a teacher who knows the scenes says to the made world's own training questions."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.geometry import Size
from vigorl.core.media import FileImage, ImageView
from vigorl.core.protocols import Looking
from vigorl.core.records import TaskRecord, TraceRecord
from vigorl.data.scenes.draw import Scene, scene_size
from vigorl.data.scenes.teacher import ScriptedTeacher, TeacherSettings
from vigorl.data.scenes.world import MadeWorld


@dataclass(frozen=True, slots=True, kw_only=True)
class TaughtWorld:
    """The scripted teacher's solutions; a `data.answers.Answers`. A question's scene is drawn again
    where its solution is asked for.

    Attributes:
        world: The made world that the run asks about.
        tool: The zoom that solutions call.
        teacher: How hasty the teacher is.
        view: Size in pixels at which the model sees a whole picture: the frame of the coordinates.
    Raises:
        ConfigError: The data is no made world.
    """

    world: MadeWorld
    tool: Looking
    teacher: TeacherSettings = field(default_factory=TeacherSettings)
    view: int = 112

    def __post_init__(self) -> None:
        if not isinstance(self.world, MadeWorld):
            raise ConfigError(
                "answers=teacher knows the made world alone: set answers=file and its path, or "
                "data=made_world"
            )

    def check(self, tasks: Iterable[TaskRecord]) -> None:
        for task in tasks:
            _index(task)

    def of(self, task: TaskRecord) -> TraceRecord:
        world, size = self.world, Size(self.view, self.view)
        scene = scene_of(world, task)
        image = ImageView(FileImage(task.images[0]), scene_size(world.scene), size)
        teacher = ScriptedTeacher(
            self.teacher, tool=self.tool, names_boxes=world.variant.names_boxes
        )
        return teacher.zoom_trace(task, scene, image, random.Random(f"{world.seed}/{task.id}"))


def scene_of(world: MadeWorld, task: TaskRecord) -> Scene:
    """The scene of one of the world's training questions, drawn again.

    Raises:
        DataError: It is another question.
    """
    return world.train_scene(_index(task))


def _index(task: TaskRecord) -> int:
    found = re.fullmatch(r"task-(\d+)", Path(task.images[0]).stem if task.images else "")
    if found is None:
        raise DataError(
            f"no solution of {task.id!r}: it is no training question of the made world",
            path=task.source,
        )
    return int(found[1])
