"""What each image token of a view shows: the exercise that teaches a tiny vision tower to see
before the model can talk.

A vision tower trained only through the words of traces learns where a thing is long after what it
is. With a label on every token (which sign's middle lies in it, where that is in the whole picture,
which way its stripes run) it takes minutes.
"""

from __future__ import annotations

from collections.abc import Sequence

from vigorl.core.geometry import Box
from vigorl.core.media import ImageView, TextFrame
from vigorl.data.scenes.draw import COLOURS, SHAPES, STRIPES, Sign

IGNORE = -100  # torch's cross_entropy skips it
NAMES = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)
NOTHING = len(NAMES)  # the class of a token without a sign

CLASSES = {
    "name": NOTHING + 1,
    "x_tens": 12,
    "x_ones": 10,
    "y_tens": 12,
    "y_ones": 10,
    "stripes": len(STRIPES),
}


def token_labels(
    signs: Sequence[Sign], view: ImageView, *, tokens: Sequence[Box]
) -> dict[str, list[int]]:
    """One label per image token for each of CLASSES; IGNORE where there is none.

    `tokens` are what each of them covers, in pixels of the view (`Sizing.token_boxes`).

    A whole picture gives names and positions (tens and ones of the pixel where the sign is, or
    hundreds and tens of its permille: the digits that matter where a trace writes it); its stripes
    cannot be seen. A crop gives names and stripes.
    """
    labels = {kind: [IGNORE] * len(tokens) for kind in CLASSES}
    labels["name"] = [NOTHING] * len(tokens)
    in_pixels = view.in_frame(TextFrame.PIXELS)
    for sign in signs:
        if not view.region.covers(sign.panel):
            continue
        local = in_pixels.to_text(sign.center)
        for token, box in enumerate(tokens):
            if box.left <= local.x < box.right and box.top <= local.y < box.bottom:
                _label(labels, token, sign, view)
    return labels


def _label(labels: dict[str, list[int]], token: int, sign: Sign, view: ImageView) -> None:
    labels["name"][token] = NAMES.index(sign.name)
    if view.box is not None:
        labels["stripes"][token] = STRIPES.index(sign.stripes)
        return
    place, step = view.to_text(sign.center), 1 if view.frame is TextFrame.PIXELS else 10
    labels["x_tens"][token], labels["x_ones"][token] = divmod(int(place.x) // step, 10)
    labels["y_tens"][token], labels["y_ones"][token] = divmod(int(place.y) // step, 10)
