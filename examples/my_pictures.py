"""My own pictures and questions, in V*Bench's layout: a folder per category, and in it NAME.png
beside NAME.json.

    python examples/my_pictures.py my_pictures
    python -m vigorl.train data=vstar_folder data.root=my_pictures data.categories=[dots]
    python -m vigorl.evaluate data=vstar_folder data.root=my_pictures data.categories=[dots]

The first line writes 80 pictures, each with a large shape and a dot that is too small to see
without a zoom; put your own files there instead. Half of the questions are trained on, a quarter is
watched, a quarter judged (data.val_frac, data.test_frac); data.as_benchmark=true judges on all.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw

COLOURS = ("red", "green", "blue", "yellow")
SIDE, RADIUS = 448, 6  # pixels


def write_question(folder: Path, number: int) -> None:
    """One picture and its question. The right option comes first: the reader shuffles them."""
    rng = random.Random(number)
    right, other = rng.sample(COLOURS, 2)
    picture = Image.new("RGB", (SIDE, SIDE), "gray")
    canvas = ImageDraw.Draw(picture)
    x, y = (rng.randrange(20, SIDE - 20) for _ in range(2))
    canvas.ellipse((100, 100, 300, 300), fill=other)
    dot = (x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS)
    canvas.ellipse(dot, fill=right, outline="black")
    picture.save(folder / f"{number:03}.png")
    question = {
        "question": "Which colour is the small dot?",
        "options": [right, *(colour for colour in COLOURS if colour != right)],
        "target_object": ["small dot"],
        "bbox": [[dot[0], dot[1], 2 * RADIUS, 2 * RADIUS]],  # x, y, width, height in the file
    }
    (folder / f"{number:03}.json").write_text(json.dumps(question))


if __name__ == "__main__":
    dots = Path(sys.argv[1]) / "dots"
    dots.mkdir(parents=True, exist_ok=True)
    for i in range(80):
        write_question(dots, i)
