"""My own questions in one file: a line each, with a question, a picture and the right answer.

    python examples/my_file.py my_file
    python -m vigorl.inspect_data data=my_file data.path=my_file/questions.jsonl
    python -m vigorl.train data=my_file data.path=my_file/questions.jsonl

The first line writes 40 pictures and questions.jsonl; put your own there instead (CSV, TSV, Parquet
or a saved Hugging Face data set as well). The second says what is in it, every row that cannot be
used, and leaves a page; `python -m vigorl.data inspect FILE` is short for it. docs/your_data.md.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw

COLOURS = ("red", "green", "blue", "yellow")

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(40):
        rng = random.Random(number)
        options, x = rng.sample(COLOURS, 4), 10 * number
        picture = Image.new("RGB", (448, 448), "gray")
        ImageDraw.Draw(picture).ellipse((x, 200, x + 12, 212), fill=options[2])
        picture.save(folder / f"{number}.png")
        row = {
            "question": "Which colour is the dot?",
            "image": f"{number}.png",
            "answer": options[2],
            "options": sorted(options),  # leave out what you have not
            "boxes": [x, 200, x + 13, 213],
        }
        lines.append(json.dumps(row))
    (folder / "questions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
