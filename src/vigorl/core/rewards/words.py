"""What a rollout says, and what the tags of its task list."""

from __future__ import annotations

import re

from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout

_WORD = re.compile(r"\w+")


def thoughts_of(rollout: Rollout) -> str:
    """The thoughts of all turns in order, one line each."""
    return "\n".join(turn.parsed.think for turn in rollout.turns)


def said_by(rollout: Rollout) -> str:
    """Thoughts and answer, without what the environment said."""
    return f"{thoughts_of(rollout)}\n{rollout.answer or ''}"


def words_of(text: str) -> list[str]:
    """Its words in order, in lower case.

    >>> words_of("The Red disc: rising.")
    ['the', 'red', 'disc', 'rising']
    """
    return _WORD.findall(text.lower())


def says(text: str, phrase: str) -> bool:
    """Whether the words of a phrase stand in a text, one after the other.

    >>> says("The Red disc.", "red disc"), says("A reddish disc.", "red disc")
    (True, False)
    """
    wanted = " ".join(words_of(phrase))
    return f" {wanted} " in f" {' '.join(words_of(text))} "


def tag_list(task: TaskRecord, tag: str) -> tuple[str, ...]:
    """What a tag of the task lists, separated by ";"; empty without the tag.

    >>> tag_list(TaskRecord("a", "", "", (), tags={"facts": "red disc; rising"}), "facts")
    ('red disc', 'rising')
    """
    parts = (part.strip() for part in task.tags.get(tag, "").split(";"))
    return tuple(part for part in parts if part)
