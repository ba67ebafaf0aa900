"""Questions about a scene, as task records: one sign's stripes (one zoom), or two signs compared
(two zooms).

Guessing is right in a quarter of the first kind and in a sixteenth of the second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vigorl.core.records import TaskRecord
from vigorl.core.scoring import Scorer
from vigorl.data.scenes.draw import STRIPES, Scene, Sign

ATTRIBUTE, COMPARISON = "direct_attributes", "comparison"
CATEGORIES = (ATTRIBUTE, COMPARISON)  # of which V*Bench's layout has a folder each
LIST = "list"  # answered by "red disc: vertical; blue square: rising"
YES_NO = "yes_no"  # "Do the stripes on the red disc run vertical?"
BETWEEN = "between"  # "How do the stripes between the red disc and the blue square run?"
BOXES = "boxes"  # answered by boxes, "(44, 14), (56, 26); (9, 70), (22, 83)"


def ask_attribute(scene: Scene, *, id: str, image: str) -> TaskRecord:
    """Which way the stripes of the sign with the near twin run; a look at the twin gives no
    hint.
    """
    target = scene.signs[0]
    question = f"How do the stripes on the {target.name} run?"
    return _ask_stripes(target, question, id=id, image=image, category=ATTRIBUTE)


def _ask_stripes(target: Sign, question: str, *, id: str, image: str, category: str) -> TaskRecord:
    return TaskRecord(
        id=id,
        question=question,
        answer=target.stripes,
        images=(image,),
        options=STRIPES,
        targets=(target.panel,),
        category=category,
    )


def comparison_answer(first: str, second: str) -> str:
    """Both stripes, in the order of the question."""
    return f"{first} and {second}"


def pick_compared(scene: Scene) -> tuple[Sign, Sign]:
    """The two signs that a comparison asks about: the one with the near twin, and the last one
    drawn.
    """
    return scene.signs[0], scene.signs[-1]


def ask_comparison(scene: Scene, *, id: str, image: str) -> TaskRecord:
    """How the stripes of two signs run, side by side.

    Stripes are drawn independently, so each of the sixteen answers is equally likely, and looking
    at only one of the two signs leaves four of them open.
    """
    first, second = pick_compared(scene)
    return TaskRecord(
        id=id,
        question=f"Compare the stripes on the {first.name} and the {second.name}.",
        answer=comparison_answer(first.stripes, second.stripes),
        images=(image,),
        options=tuple(comparison_answer(a, b) for a in STRIPES for b in STRIPES),
        targets=(first.panel, second.panel),
        category=COMPARISON,
    )


def between(scene: Scene) -> tuple[Sign, Sign, Sign]:
    """Of a scene that has a middle: one end, which has the near twin, the other end, the middle."""
    return scene.signs[0], scene.signs[2], scene.signs[3]


def ask_between(scene: Scene, *, id: str, image: str) -> TaskRecord:
    """How the stripes of a sign run that is named by where it stands alone."""
    first, last, middle = between(scene)
    question = f"How do the stripes between the {first.name} and the {last.name} run?"
    return _ask_stripes(middle, question, id=id, image=image, category=BETWEEN)


def ask_list(
    signs: Sequence[Sign],
    question: str,
    *,
    id: str,
    image: str,
    scorer: Scorer,
    tags: Mapping[str, str],
) -> TaskRecord:
    """An open question that is answered by the stripes of several signs, in their order."""
    return TaskRecord(
        id=id,
        question=question,
        answer=list_answer(signs, [sign.stripes for sign in signs]),
        images=(image,),
        scorer=scorer,
        targets=tuple(sign.panel for sign in signs),
        category=LIST,
        tags=tags,
    )


def list_answer(signs: Sequence[Sign], stripes: Sequence[str]) -> str:
    """Items of a name and what is said of it, as list scorers and rewards read them."""
    return "; ".join(f"{sign.name}: {one}" for sign, one in zip(signs, stripes, strict=True))


def asked_signs(task: TaskRecord, scene: Scene) -> tuple[Sign, ...]:
    """The signs that a question asks about, in its order."""
    at = {sign.center: sign for sign in scene.signs}
    return tuple(at[target.center] for target in task.targets)


def conclude(task: TaskRecord, asked: Sequence[Sign], stripes: Sequence[str]) -> str:
    """The answer of one who believes that the stripes of the asked signs run so."""
    if task.category == LIST:
        return list_answer(asked, stripes)
    if task.category == YES_NO:
        return "yes" if task.question.endswith(f" {stripes[0]}?") else "no"
    return comparison_answer(*stripes) if task.category == COMPARISON else stripes[0]
