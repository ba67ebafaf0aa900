"""Questions about a scene, as task records: one sign's stripes (one zoom), or two signs compared
(two zooms).

Both kinds have four answers, equally likely, so that guessing is right a quarter of the time
whichever kind is asked, and looking at only one of two compared signs leaves two answers open.
"""

from __future__ import annotations

import random

from vigorl.core.records import TaskRecord
from vigorl.data.scenes.draw import STRIPES, Scene, Sign

ATTRIBUTE, COMPARISON = "direct_attributes", "comparison"
CATEGORIES = (ATTRIBUTE, COMPARISON)


def ask_attribute(scene: Scene, *, id: str, image: str) -> TaskRecord:
    """Which way the stripes of the sign with the near twin run; a look at the twin gives no
    hint.
    """
    target = scene.signs[0]
    return TaskRecord(
        id=id,
        question=f"How do the stripes on the {target.name} run?",
        answer=target.stripes,
        images=(image,),
        options=STRIPES,
        targets=(target.panel,),
        category=ATTRIBUTE,
    )


def comparison_options(first: Sign, second: Sign) -> tuple[str, str, str, str]:
    return (f"the {first.name}", f"the {second.name}", "both", "neither")


def pick_compared(scene: Scene) -> tuple[Sign, Sign]:
    """The two signs that a comparison asks about: the one with the near twin, and the last one
    drawn.
    """
    return scene.signs[0], scene.signs[-1]


def ask_comparison(scene: Scene, rng: random.Random, *, id: str, image: str) -> TaskRecord:
    """Which of two signs has the given stripes: one, the other, both or neither.

    Stripes are drawn independently, so the two agree in a quarter of the scenes; there the answer
    is "both". Elsewhere it is one of the other three at random. Hence each answer comes up a
    quarter of the time.
    """
    first, second = pick_compared(scene)
    options = comparison_options(first, second)
    if first.stripes == second.stripes:
        stripes, answer = first.stripes, options[2]
    else:
        neither = [kind for kind in STRIPES if kind not in (first.stripes, second.stripes)]
        choices = (
            (first.stripes, options[0]),
            (second.stripes, options[1]),
            (rng.choice(neither), options[3]),
        )
        stripes, answer = rng.choice(choices)
    return TaskRecord(
        id=id,
        question=f"Which has {stripes} stripes, the {first.name} or the {second.name}?",
        answer=answer,
        images=(image,),
        options=options,
        targets=(first.panel, second.panel),
        category=COMPARISON,
    )
