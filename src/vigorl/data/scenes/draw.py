"""Draw one picture of the made world: a wide, cluttered scene with a few small striped signs.

From afar a sign shows its colour and its shape. Which way its stripes run is lost as soon as the
picture is shrunk to a quarter of its side: they repeat every 4 pixels, fade out towards the edge of
their panel, so that no rim betrays them, and carry a grain that drowns what little a resampling
filter lets through. Only a zoom, cut from the original, shows them
(`benchmarks/single_look_ceiling.py` measures how much is lost).

The light changes smoothly over the scene (sky to ground, left to right), as it does in most
photographs; a vision tower can read from the colours roughly where in the picture it is.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box, Point, Size

COLOURS = {
    "red": (214, 40, 40),
    "green": (44, 160, 60),
    "blue": (40, 80, 220),
    "yellow": (240, 210, 40),
    "pink": (236, 90, 190),
    "white": (245, 245, 245),
}
SHAPES = ("disc", "square")
STRIPES = ("vertical", "horizontal", "rising", "falling")
STRIPE_PERIOD_PX = 4
PANEL_PX = 28  # side of the striped panel, a multiple of the period
STRIPE_CONTRAST = 80  # grey levels to both sides of the middle, where stripes are strongest
GRAIN = 8.0  # standard deviation of each pixel of a panel, grey levels
RADIUS_PX = {"disc": 22, "square": 26}  # half of a sign's width
REACH_PX = 26  # half of the widest sign
LARGE = 4  # a large sign is drawn at this scale: shrunk to a quarter it looks as others in a zoom


@dataclass(frozen=True, slots=True)
class SceneSettings:
    """How hard the made world is.

    Attributes:
        side_px: Side of the square picture, original pixels.
        num_signs: Signs per picture, 2 to 12.
        has_near_miss: The asked sign has a twin of the same colour and the other shape close by.
        near_miss_px: Nearest and farthest distance of the twin, original pixels.
        num_clutter: Muted shapes in the background.
        num_occluders: Muted strokes over the rims of signs (never over the stripes).
        margin_px: Signs keep this far from the left and upper border, and 6 px more from the
            others.
    """

    side_px: int = 448
    num_signs: int = 5
    has_near_miss: bool = True
    near_miss_px: tuple[float, float] = (80.0, 110.0)
    num_clutter: int = 60
    num_occluders: int = 6
    margin_px: int = 44

    def __post_init__(self) -> None:
        object.__setattr__(self, "near_miss_px", tuple(self.near_miss_px))  # a config gives a list
        if not 2 <= self.num_signs <= len(COLOURS) * len(SHAPES):
            raise ConfigError(f"num_signs must be 2 to 12, got {self.num_signs}")
        if self.near_miss_px[0] < 3 * REACH_PX:
            raise ConfigError(
                f"near_miss_px must start at {3 * REACH_PX} or more, or two signs touch; "
                f"got {self.near_miss_px}"
            )
        if self.side_px < 4 * self.margin_px + REACH_PX * self.num_signs:
            raise ConfigError(f"side_px={self.side_px} is too small for {self.num_signs} signs")


@dataclass(frozen=True, slots=True)
class Sign:
    """One sign: what it looks like from afar, what only a zoom shows (`stripes`), and where it is
    (original pixels).

    Attributes:
        is_large: It is drawn at scale `LARGE`, and its stripes can be read without a zoom: they
            repeat every 16 pixels, about an ordinary panel in its middle for those who zoom.
    """

    colour: str
    shape: str
    stripes: str
    center: Point
    is_large: bool = False

    @property
    def name(self) -> str:
        return f"{self.colour} {self.shape}"

    @property
    def panel(self) -> Box:
        """The striped panel, ORIGINAL frame: what a zoom must hold to answer."""
        half = PANEL_PX // 2
        return Box(
            self.center.x - half, self.center.y - half, self.center.x + half, self.center.y + half
        )

    @property
    def box(self) -> Box:
        """The whole sign, ORIGINAL frame."""
        return self.box_at(self.center)

    def box_at(self, center: Point) -> Box:
        """The box that the sign would have there."""
        half = RADIUS_PX[self.shape] * (LARGE if self.is_large else 1)
        return Box(center.x - half, center.y - half, center.x + half, center.y + half)


@dataclass(frozen=True, slots=True)
class Scene:
    """A drawn picture and what is on it; `signs[0]` is the one whose twin is near."""

    image: Image.Image
    signs: tuple[Sign, ...]


def draw_scene(
    settings: SceneSettings,
    *,
    seed: int,
    photographs: Sequence[Image.Image] = (),
    is_large: bool = False,
    has_middle: bool = False,
    stripes: Mapping[str, str] | None = None,
) -> Scene:
    """Draw the scene of a seed; the same seed and settings give the same pixels.

    Args:
        settings: How hard it is.
        seed: Decides everything.
        photographs: Real pictures to draw on instead of the plain clutter; one is picked and
            cropped per scene.
        is_large: The first sign is large.
        has_middle: The fourth sign stands halfway between the first and the third, to the pixel.
        stripes: How those of the first sign run, by its colour; None leaves it to chance.
    Raises:
        ConfigError: The signs do not fit on the picture.
    """
    rng = random.Random(seed)
    image = (
        _photo_ground(rng, settings, photographs) if photographs else _plain_ground(rng, settings)
    )
    canvas = ImageDraw.Draw(image)
    signs = _choose_signs(rng, settings, is_large=is_large, has_middle=has_middle)
    if stripes:
        signs = (replace(signs[0], stripes=stripes[signs[0].colour]), *signs[1:])
    for sign in signs:
        _draw_sign(canvas, sign)
    for _ in range(settings.num_occluders):
        _draw_occluder(canvas, rng, rng.choice(signs))
    for sign in signs:
        phase = rng.randrange(STRIPE_PERIOD_PX)
        if sign.is_large:
            far = _panel(sign.stripes, phase, grain_seed=rng.getrandbits(32), scale=LARGE)
            half = far.width // 2
            image.paste(far, (int(sign.center.x) - half, int(sign.center.y) - half))
        panel = _panel(sign.stripes, phase, grain_seed=rng.getrandbits(32))
        image.paste(panel, (int(sign.panel.left), int(sign.panel.top)))
    return Scene(image, signs)


def scene_size(settings: SceneSettings) -> Size:
    return Size(settings.side_px, settings.side_px)


def _choose_signs(
    rng: random.Random, settings: SceneSettings, *, is_large: bool, has_middle: bool
) -> tuple[Sign, ...]:
    colour, shape = rng.choice(list(COLOURS)), rng.choice(SHAPES)
    looks = [(colour, shape)]
    if settings.has_near_miss:
        looks.append((colour, SHAPES[1 - SHAPES.index(shape)]))
    others = [(c, s) for c in COLOURS for s in SHAPES if c != colour]
    rng.shuffle(others)
    looks += others[: settings.num_signs - len(looks)]
    centers = _place(rng, settings, len(looks), is_large=is_large, has_middle=has_middle)
    first, *rest = (
        Sign(c, s, rng.choice(STRIPES), p) for (c, s), p in zip(looks, centers, strict=True)
    )
    return (replace(first, is_large=is_large), *rest)


def _place(
    rng: random.Random, settings: SceneSettings, count: int, *, is_large: bool, has_middle: bool
) -> list[Point]:
    low, high = settings.margin_px, settings.side_px - settings.margin_px - 6
    apart, apart_from_large = 3 * REACH_PX, (LARGE + 2) * REACH_PX
    inset = LARGE * REACH_PX - settings.margin_px if is_large else 0
    for _ in range(1000):
        centers: list[Point] = []
        for _ in range(60 * count):
            if len(centers) == count:
                return centers
            if not centers and is_large:
                x, y = (rng.randrange(low + inset, high - inset) for _ in range(2))
            elif len(centers) == 1 and settings.has_near_miss and not is_large:
                angle, distance = rng.uniform(0, 2 * math.pi), rng.uniform(*settings.near_miss_px)
                x = round(centers[0].x + distance * math.cos(angle))
                y = round(centers[0].y + distance * math.sin(angle))
            elif len(centers) == 3 and has_middle:
                first, third = centers[0], centers[2]
                x, y = (first.x + third.x) // 2, (first.y + third.y) // 2
            else:
                x, y = rng.randrange(low, high), rng.randrange(low, high)
            candidate = Point(x, y)
            if (
                low <= x < high
                and low <= y < high
                and all(candidate.distance(c) >= apart for c in centers)
                and not (is_large and centers and candidate.distance(centers[0]) < apart_from_large)
            ):
                centers.append(candidate)
    raise ConfigError(
        f"{count} signs do not fit on {settings.side_px} px; lower num_signs or margin_px"
    )


def _draw_sign(canvas: ImageDraw.ImageDraw, sign: Sign) -> None:
    scale = LARGE if sign.is_large else 1
    x, y, r = sign.center.x, sign.center.y, RADIUS_PX[sign.shape] * scale
    fill, rim = COLOURS[sign.colour], (20, 20, 20)
    draw = canvas.ellipse if sign.shape == "disc" else canvas.rectangle
    draw((x - r, y - r, x + r, y + r), fill=fill, outline=rim, width=2 * scale)


def _draw_occluder(canvas: ImageDraw.ImageDraw, rng: random.Random, sign: Sign) -> None:
    angle = rng.uniform(0, 2 * math.pi)
    x, y = sign.center.x + REACH_PX * math.cos(angle), sign.center.y + REACH_PX * math.sin(angle)
    end = (x + rng.randrange(-30, 31), y + rng.randrange(-30, 31))
    grey = rng.randrange(70, 150)
    canvas.line((x, y, *end), fill=(grey, grey, grey), width=rng.randrange(2, 5))


def _panel(stripes: str, phase: int, *, grain_seed: int, scale: int = 1) -> Image.Image:
    side = PANEL_PX * scale
    grain = np.random.default_rng(grain_seed).normal(0.0, GRAIN, (side, side))
    grey = np.clip(np.kron(clean_panel(stripes, phase), np.ones((scale, scale))) + grain, 0, 255)
    return Image.fromarray(grey.astype(np.uint8), "L").convert("RGB")


@cache
def clean_panel(stripes: str, phase: int) -> np.ndarray:
    """[PANEL_PX, PANEL_PX] grey levels: stripes under a Hann window, so that they end nowhere."""
    rows, columns = np.mgrid[0:PANEL_PX, 0:PANEL_PX]
    across = {
        "vertical": columns,
        "horizontal": rows,
        "rising": rows + columns,
        "falling": rows - columns,
    }
    is_white = (across[stripes] + phase) % STRIPE_PERIOD_PX < STRIPE_PERIOD_PX // 2
    fade = np.hanning(PANEL_PX + 2)[1:-1]
    return 128 + STRIPE_CONTRAST * np.where(is_white, 1, -1) * np.outer(fade, fade)


@cache
def _light(side_px: int) -> Image.Image:
    """Light from the right, sky above, ground below."""
    ramp = Image.linear_gradient("L").resize((side_px, side_px))
    rising = [60 + 130 * level // 255 for level in range(256)]
    red, blue = ramp.rotate(90).point(rising), ramp.point(rising[::-1])
    return Image.merge("RGB", (red, Image.new("L", (side_px, side_px), 120), blue))


def _plain_ground(rng: random.Random, settings: SceneSettings) -> Image.Image:
    image = _light(settings.side_px).copy()
    canvas = ImageDraw.Draw(image)
    pixels = image.load()
    assert pixels is not None
    for _ in range(settings.num_clutter):
        x, y, s = (
            rng.randrange(settings.side_px),
            rng.randrange(settings.side_px),
            rng.randrange(4, 18),
        )
        shade = rng.randrange(-35, 36)
        below: Any = pixels[x, y]  # (red, green, blue)
        colour = tuple(min(max(c + shade + rng.randrange(-8, 9), 0), 255) for c in below)
        kind = rng.random()
        if kind < 0.35:
            canvas.ellipse((x - s, y - s, x + s, y + s), fill=colour)
        elif kind < 0.7:
            canvas.rectangle((x - s, y - s // 2, x + s, y + s // 2), fill=colour)
        else:
            end = (x + rng.randrange(-40, 41), y + rng.randrange(-40, 41))
            canvas.line((x, y, *end), fill=colour, width=rng.randrange(1, 4))
    return image


def _photo_ground(
    rng: random.Random, settings: SceneSettings, photographs: Sequence[Image.Image]
) -> Image.Image:
    photo = rng.choice(photographs)
    side = rng.randint(min(photo.size) // 2, min(photo.size))
    left, top = rng.randint(0, photo.width - side), rng.randint(0, photo.height - side)
    size = (settings.side_px, settings.side_px)
    return photo.convert("RGB").resize(
        size, Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)
    )
