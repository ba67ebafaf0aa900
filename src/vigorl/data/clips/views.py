"""The made world as a scene with cameras: an overview, and what each camera sees, as pictures.

Cameras stand in a grid over the scene, counted row by row from the upper left, from 1; picture 0 is
the overview, from which a sign's colour and shape can be read and its stripes cannot. A camera
turns to the sign that is nearest to it and shows it close; each sign has one that shows it. Some
cameras are blocked and show a grey wall. So where the sign stands in the overview tells which
camera to ask for; where that one is blocked, or has turned to the twin, another one sees the sign.

    ROOT/views/test-00000.views     the list of a scene's pictures (`data.video.ViewsFile`)
    ROOT/views/test-00000/*.png     the pictures

The tag "cameras" says which of them show the asked sign.
Source: the task of PhysVLM-AVR, arXiv:2510.21111, there in a simulator with moves of the camera.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated

from PIL import Image

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Point
from vigorl.core.media import GREY, VIEWS_ENDING
from vigorl.core.ranges import Range, check_ranges
from vigorl.core.records import TaskRecord
from vigorl.data.clips.draw import Side, close_up
from vigorl.data.clips.teacher import Footage
from vigorl.data.clips.world import FilmedWorld
from vigorl.data.scenes.draw import Scene, SceneSettings, Sign, draw_scene
from vigorl.data.scenes.questions import ask_attribute

CAMERAS = "cameras"
CATEGORY = "views"


@dataclass(frozen=True, kw_only=True)
class ViewSettings:
    """How hard the scenes are.

    Attributes:
        grid: Cameras in a row, and rows.
        blocked_frac: How likely a camera is blocked, if another one shows its sign.
        side_px: Side of each picture; a camera shows as many pixels of the scene, in full detail.
        scene: What is seen.
    Raises:
        ConfigError: A number out of its range, or more signs than cameras.
    """

    grid: Annotated[int, Range(ge=2, le=8)] = 4
    blocked_frac: Annotated[float, Range(ge=0, le=1)] = 0.25
    side_px: Side = 112
    scene: SceneSettings = field(default_factory=SceneSettings)

    def __post_init__(self) -> None:
        check_ranges(self, "data.views")
        if self.scene.num_signs > self.grid**2:
            raise ConfigError(
                f"data.views.grid={self.grid}: {self.grid**2} cameras cannot show "
                f"{self.scene.num_signs} signs"
            )


@dataclass(frozen=True, slots=True)
class Views:
    """A drawn scene and what each camera sees of it; a `data.clips.teacher.Footage`.

    Attributes:
        settings: Of its drawing.
        scene: The first sign is the one that is asked about.
        seen: Per camera the sign that it shows, None where it is blocked.
    """

    settings: ViewSettings
    scene: Scene
    seen: tuple[Sign | None, ...]

    @property
    def fps(self) -> float:
        """Of a list of views."""
        return 1.0

    @property
    def num_frames(self) -> int:
        """The overview and all cameras."""
        return 1 + len(self.seen)

    @property
    def side_px(self) -> int:
        return self.settings.side_px

    def shown(self, number: int) -> Sign | None:
        """The sign that a picture shows close."""
        return self.seen[number - 1] if number else None

    def in_frame(self, sign: Sign) -> Point:
        """Where a sign is in the overview, its pixels."""
        scale = self.side_px / self.settings.scene.side_px
        return Point(sign.center.x * scale, sign.center.y * scale)

    def start_of(self, sign: Sign) -> int:
        """The camera nearest to a sign of those that show it."""
        return min(
            (i for i, seen in enumerate(self.seen, start=1) if seen == sign),
            key=lambda i: place_of(self.settings, i).distance(sign.center),
        )

    def expected_at(self, sign: Sign) -> int:
        """The camera nearest to a sign."""
        return nearest_camera(self.settings, sign.center)

    def pictures(self) -> list[Image.Image]:
        """All of them in order."""
        side = self.side_px
        whole = self.scene.image.resize((side, side), Image.Resampling.BICUBIC)
        wall = Image.new("RGB", (side, side), GREY)
        return [
            whole,
            *(close_up(self.scene, sign, side_px=side) if sign else wall for sign in self.seen),
        ]


def draw_views(settings: ViewSettings, *, seed: int) -> Views:
    """The scene of a seed, and what its cameras see.

    Raises:
        ConfigError: The signs do not fit on the scene.
    """
    scene = draw_scene(settings.scene, seed=seed)
    rng = random.Random(f"{seed}/cameras")
    return Views(settings, scene, _seen(settings, scene.signs, rng))


def place_of(settings: ViewSettings, camera: int) -> Point:
    """Where a camera stands, in pixels of the scene; from 1."""
    row, column = divmod(camera - 1, settings.grid)
    cell = settings.scene.side_px / settings.grid
    return Point((column + 0.5) * cell, (row + 0.5) * cell)


def nearest_camera(settings: ViewSettings, point: Point) -> int:
    """The camera in whose cell a place of the scene lies."""
    cell = settings.scene.side_px / settings.grid
    column, row = (min(int(one / cell), settings.grid - 1) for one in (point.x, point.y))
    return 1 + row * settings.grid + column


def _seen(
    settings: ViewSettings, signs: Sequence[Sign], rng: random.Random
) -> tuple[Sign | None, ...]:
    """Each camera's sign: the nearest one, but every sign has a camera; then some are blocked."""
    places = [place_of(settings, i + 1) for i in range(settings.grid**2)]
    seen = [_nearest(signs, place) for place in places]
    kept = set[int]()
    for sign in signs:  # the nearest camera that no sign before it needs
        own = [i for i, one in enumerate(seen) if one == sign and i not in kept]
        free = own or [i for i in range(len(seen)) if i not in kept]
        best = min(free, key=lambda i: places[i].distance(sign.center))
        seen[best] = sign
        kept.add(best)
    order = list(range(len(seen)))
    rng.shuffle(order)
    blocked = set[int]()
    for i in order:
        others = [j for j, one in enumerate(seen) if one == seen[i] and j not in {i} | blocked]
        if others and rng.random() < settings.blocked_frac:
            blocked.add(i)
    return tuple(None if i in blocked else sign for i, sign in enumerate(seen))


def _nearest(signs: Sequence[Sign], place: Point) -> Sign:
    return min(signs, key=lambda sign: sign.center.distance(place))


@dataclass(frozen=True, kw_only=True)
class MadeViews(FilmedWorld):
    """Scenes as lists of views.

    Attributes:
        views: How hard they are.
    """

    views: ViewSettings = field(default_factory=ViewSettings)

    def drawn(self, seed: int) -> Views:
        return draw_views(self.views, seed=seed)

    def _settings(self) -> dict[str, object]:
        return {"views": asdict(self.views)}

    def _filmed(self, footage: Footage, folder: Path, id: str) -> TaskRecord:
        assert isinstance(footage, Views)
        path = folder / "views" / f"{id.replace('/', '-')}{VIEWS_ENDING}"
        write_views(footage, path)
        return ask_views(footage, id=id, path=str(path))


def write_views(views: Views, path: Path) -> None:
    """The list and the pictures that it names; cameras that see the same share a file."""
    (folder := path.with_suffix("")).mkdir(parents=True, exist_ok=True)
    signs = views.scene.signs
    kinds = ["overview", *(f"sign{signs.index(one)}" if one else "wall" for one in views.seen)]
    for kind, picture in dict(zip(kinds, views.pictures(), strict=True)).items():
        picture.save(folder / f"{kind}.png", compress_level=1)
    path.write_text(json.dumps([f"{folder.name}/{kind}.png" for kind in kinds]))


def ask_views(views: Views, *, id: str, path: str) -> TaskRecord:
    """How the stripes of the sign with the near twin run."""
    asked = views.scene.signs[0]
    task = ask_attribute(views.scene, id=id, image=path)
    showing = (str(i) for i in range(views.num_frames) if views.shown(i) == asked)
    return replace(task, targets=(), category=CATEGORY, tags={CAMERAS: " ".join(showing)})
