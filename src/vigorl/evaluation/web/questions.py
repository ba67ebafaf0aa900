"""What a step of an episode asks, in the form of ViGoRL's web rows:

    OBJECTIVE: Put the blue kettle into the cart.

    PREVIOUS ACTIONS:
    1. type [INPUT] [] [kettle]
    2. click [A] [Blue kettle, 24 dollars]

    IMAGE:

The screenshot comes first, for points refer to it; pictures that belong to the task follow the
objective. Elements are told by their text, not by the number of a page that is gone. An action that
could not be read or carried out stands in the list too, with the reason; a policy's own words that
could not be read are never repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vigorl.core.records import TaskRecord
from vigorl.core.trace import IMAGE_SLOT

UNREADABLE = "(an action that could not be read; write one action, such as click [3])"


def step_question(
    objective: str, *, num_pictures: int, previous: Sequence[str], listing: str = ""
) -> str:
    """What a step asks; the form of ViGoRL's web rows.

    Args:
        objective: What is to be done.
        num_pictures: That belong to the objective.
        previous: The actions so far, as they are told.
        listing: The elements' texts; "" leaves them out.
    """
    numbered = "\n".join(f"{i}. {_plain(one)}" for i, one in enumerate(previous, start=1))
    pictures = "".join(f"\nINPUT IMAGE {i}: {IMAGE_SLOT}" for i in range(1, num_pictures + 1))
    seen = f"OBSERVATION:\n{_plain(listing)}\n\n" if listing else ""
    return (
        f"{IMAGE_SLOT}OBJECTIVE: {_plain(objective)}{pictures}\n\n"
        f"{seen}PREVIOUS ACTIONS: \n{numbered or 'None'}\n\nIMAGE:\n"
    )


def is_step_of(task: TaskRecord, step: TaskRecord) -> bool:
    """Whether a step was asked for a task that was then as it is now."""
    asks = f"OBJECTIVE: {_plain(task.question)}\n" in step.question
    as_asked = replace(step, question=task.question, images=step.images[1:], scorer=task.scorer)
    return asks and as_asked == task


def _plain(text: str) -> str:
    """A text of a page or a policy, in which nothing stands for a picture."""
    return text.replace(IMAGE_SLOT, "[image]")
