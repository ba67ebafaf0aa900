"""How much of a sign's stripes a single look at the whole picture gives away.

The made world claims that stripes cannot be read from the picture as the model first sees it, only
from a zoom. Here readers far better placed than the policy try: the position of the sign is GIVEN
to them, and they are trained on nothing else. Four answers, so guessing is right in 25 %.

    logistic regression   linear in the pixels
    MLP                   two hidden layers; may combine pixels, as an eye must that does not know
                          where in their period the stripes start
    templates             draws all 16 panels (4 kinds x 4 phases) on the sign's own colour at the
                          sign's own place, shows them through the same processor, and takes the
                          nearest: about the best that anyone could do

    python benchmarks/single_look_ceiling.py [--train 4000] [--test 1000]

Each reader sees 9 x 9 pixels of the 112 x 112 view around the panel's middle, and for contrast
28 x 28 pixels of the 112-pixel zoom. Pixels come from `ImageStore` with the start model's own
image processor. Left out: readers that have to find the sign first; they can only do worse.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vigorl.core.geometry import Point, Size, zoom_window
from vigorl.core.media import FileImage, ImageView
from vigorl.data.images import ImageStore
from vigorl.data.scenes import draw
from vigorl.data.scenes.draw import STRIPE_PERIOD_PX, STRIPES, SceneSettings, Sign, draw_scene
from vigorl.evaluation.statistics import wilson_interval

ASSETS = Path(draw.__file__).parents[2] / "assets" / "tiny_start"
SCALE = 4  # original pixels per pixel of the whole view
WHOLE, ZOOM = "one look", "zoom"
HALF_PX = {WHOLE: 4, ZOOM: 14}  # of the patch, in pixels of the view


@dataclass(frozen=True)
class Example:
    """A sign and what is seen of it: {view: patch [side, side, 3]}."""

    sign: Sign
    patches: dict[str, np.ndarray]

    @property
    def kind(self) -> int:
        return STRIPES.index(self.sign.stripes)


def see(store: ImageStore, image: Image.Image, sign: Sign, path: Path) -> Example:
    """The sign in the whole view and in a zoom at its middle."""
    size = Size(*image.size)
    whole = ImageView(FileImage(str(path)), size, Size(size.width // SCALE, size.height // SCALE))
    window = zoom_window(sign.center, image=size, side_px=112)
    zoom = ImageView(FileImage(str(path)), size, Size(112, 112), window)
    at_zoom = Point(sign.center.x - window.left, sign.center.y - window.top)
    at_whole = Point(sign.center.x // SCALE, sign.center.y // SCALE)
    places = {WHOLE: (whole, at_whole), ZOOM: (zoom, at_zoom)}
    cut = {
        name: cut_patch(store.image(view), at, HALF_PX[name]) for name, (view, at) in places.items()
    }
    return Example(sign, cut)


def cut_patch(shown: Image.Image, at: Point, half_px: int) -> np.ndarray:
    x, y = int(at.x), int(at.y)
    extra = 1 if half_px == HALF_PX[WHOLE] else 0  # odd around a pixel, even around an edge
    pixels = np.asarray(shown, dtype=np.float32)
    return pixels[y - half_px : y + half_px + extra, x - half_px : x + half_px + extra]


def look_at(store: ImageStore, image: Image.Image, signs: tuple[Sign, ...]) -> list[Example]:
    with tempfile.NamedTemporaryFile(suffix=".bmp") as file:
        image.save(file.name)
        examples = [see(store, image, sign, Path(file.name)) for sign in signs]
    store.originals.clear()  # the next file may get the same name
    return examples


def examples_of(settings: SceneSettings, seeds: range, store: ImageStore) -> list[Example]:
    made: list[Example] = []
    for seed in seeds:
        scene = draw_scene(settings, seed=seed)
        made += look_at(store, scene.image, scene.signs)
    return made


def features(examples: list[Example], view: str) -> np.ndarray:
    """[examples, pixels + 8]: the patch, and where the panel stands in the 4 x 4 px grid."""
    rows = []
    for example in examples:
        center = example.sign.center
        offset = np.zeros(2 * SCALE, dtype=np.float32)
        offset[int(center.x) % SCALE] = offset[SCALE + int(center.y) % SCALE] = 1
        rows.append(np.concatenate([example.patches[view].ravel() / 255, offset]))
    return np.stack(rows)


class Templates:
    """All panels on a sign's own ground at its own place, seen through the same processor."""

    def __init__(self, settings: SceneSettings, store: ImageStore) -> None:
        self.settings, self.store = settings, store
        self.made: dict[tuple[str, str, int, int, str], list[tuple[int, np.ndarray]]] = {}

    def predict(self, example: Example, view: str) -> int:
        sign = example.sign
        key = (
            sign.colour,
            sign.shape,
            int(sign.center.x) % SCALE,
            int(sign.center.y) % SCALE,
            view,
        )
        if key not in self.made:
            for name in (WHOLE, ZOOM):
                self.made[(*key[:4], name)] = []
            for kind, patches in self._draw(sign):
                for name, patch in patches.items():
                    self.made[(*key[:4], name)].append((kind, patch))
        seen = example.patches[view]
        return min(self.made[key], key=lambda one: float(np.square(one[1] - seen).sum()))[0]

    def _draw(self, sign: Sign) -> list[tuple[int, dict[str, np.ndarray]]]:
        side = self.settings.side_px
        middle = side // 2 // SCALE * SCALE
        center = Point(middle + sign.center.x % SCALE, middle + sign.center.y % SCALE)
        made = []
        for kind, stripes in enumerate(STRIPES):
            copy = replace(sign, stripes=stripes, center=center)
            for phase in range(STRIPE_PERIOD_PX):
                image = Image.new("RGB", (side, side), (120, 120, 120))
                draw._draw_sign(draw.ImageDraw.Draw(image), copy)
                clean = draw.clean_panel(stripes, phase)
                panel = Image.fromarray(clean.round().astype(np.uint8)).convert("RGB")
                image.paste(panel, (int(copy.panel.left), int(copy.panel.top)))
                made.append((kind, look_at(self.store, image, (copy,))[0].patches))
        return made


def report(name: str, view: str, right: np.ndarray) -> str:
    low, high = wilson_interval(int(right.sum()), len(right))
    return f"{view:9s} {name:20s} {right.mean():6.1%}   [{low:.1%}, {high:.1%}]   n={len(right)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=int, default=4000, help="scenes; every sign is an example")
    parser.add_argument("--test", type=int, default=1000, help="held-out scenes")
    parser.add_argument("--model", default=str(ASSETS), help="folder with the image processor")
    arguments = parser.parse_args()
    settings = SceneSettings()

    def fresh_store() -> ImageStore:
        return ImageStore.from_pretrained(arguments.model, cache_bytes=4_000_000)

    train = examples_of(settings, range(arguments.train), fresh_store())
    test = examples_of(settings, range(10**6, 10**6 + arguments.test), fresh_store())
    train_kinds, kinds = (np.array([e.kind for e in part]) for part in (train, test))
    readers: dict[str, Callable[[], object]] = {
        "logistic regression": lambda: LogisticRegression(max_iter=2000, C=0.01),
        "MLP": lambda: MLPClassifier((256, 128), early_stopping=True, max_iter=60, random_state=0),
    }
    print(f"{len(train)} signs to train on, {len(test)} held out; guessing is 25.0 %", flush=True)
    templates = Templates(settings, fresh_store())
    for view in (WHOLE, ZOOM):
        guesses = np.array([templates.predict(example, view) for example in test])
        print(report("templates", view, guesses == kinds), flush=True)
        if view == WHOLE:
            confused = np.zeros((4, 4), int)
            np.add.at(confused, (kinds, guesses), 1)
            print(f"          true x said, {', '.join(STRIPES)}: {confused.tolist()}")
    for view in (WHOLE, ZOOM):
        inputs, held_out = features(train, view), features(test, view)
        for name, make in readers.items():
            reader = make_pipeline(StandardScaler(), make())
            reader.fit(inputs, train_kinds)
            print(report(name, view, reader.predict(held_out) == kinds), flush=True)


if __name__ == "__main__":
    main()
