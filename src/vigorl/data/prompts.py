"""What the policy is told before it sees the picture and the question: a system text, and how a
task becomes the user's message. The texts themselves are written by `data.prompt_writer`.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.markup import Dialect
from vigorl.core.media import TextFrame
from vigorl.core.protocols import Tool
from vigorl.core.records import TaskRecord
from vigorl.core.trace import IMAGE_SLOT

OPTIONS = "\nOptions:\n{options}"


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message.

    Attributes:
        role: "system", "user" or "assistant"; "tool" of a reply where the family has such a role.
        text: With `num_images` slots `<image>` where the pictures go.
        num_images: How many of the slots are pictures; anything else that reads `<image>` is an
            error.
        plain: Text behind `text`, in which `<image>` is no slot.
    """

    role: str
    text: str
    num_images: int = 0
    plain: str = ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A system text and the templates of the user message.

    Attributes:
        system: Sent as it is; no template. "" sends no system message.
        question: Template with the field {question}.
        options: Template with the field {options}, put after the question of a multiple-choice
            task; "" leaves the options out.
        option: How one option is written, with the fields {letter} and {text}.
        ending: Put after the question of a task without options.
    Raises:
        ConfigError: A template has an unknown field, lacks its own, or has an unmatched brace.
    """

    system: str
    question: str = "{question}"
    options: str = ""
    option: str = "({letter}) {text}"
    ending: str = ""

    def __post_init__(self) -> None:
        _check_template(self.question, "question")
        if self.options:
            _check_template(self.options, "options")
        _check_template(self.option, "letter", "text")

    def messages(self, task: TaskRecord) -> list[Message]:
        """The chat that asks a task; pictures without a slot in the question come before the text.
        Options are plain text, whatever they read.

        Raises:
            DataError: The question has slots, but not one for each picture.
        """
        text = self.question.format(question=task.question)
        options = ""
        if self.options and task.options:
            options = self.options.format(options=lettered(task.options, form=self.option))
        elif not task.options:
            options = self.ending
        num_slots, num_images = text.count(IMAGE_SLOT), len(task.images)
        if num_slots == 0:
            text = IMAGE_SLOT * num_images + text
        elif num_slots != num_images:
            raise DataError(
                f"{num_slots} {IMAGE_SLOT} slots in the question of {task.id}, "
                f"but {num_images} pictures",
                path=task.source or None,
            )
        if IMAGE_SLOT in options:
            user = Message("user", text, num_images, plain=options)
        else:
            user = Message("user", text + options, num_images)
        return [Message("system", self.system), user] if self.system else [user]

    def write(
        self,
        *,
        tools: Sequence[Tool] = (),
        frame: TextFrame = TextFrame.PIXELS,
        dialect: Dialect | None = None,
        max_calls: int = 1,
    ) -> Prompt:
        """Itself: a fixed text says the same whatever there is to call."""
        return self


def lettered(options: Sequence[str], *, form: str = "({letter}) {text}") -> str:
    """One option per line: "(A) red", "(B) blue".

    Raises:
        DataError: More options than letters.
    """
    if len(options) > len(string.ascii_uppercase):
        raise DataError(f"{len(options)} options, but only 26 letters to name them by")
    return "\n".join(
        form.format(letter=letter, text=option)
        for letter, option in zip(string.ascii_uppercase, options, strict=False)
    )


def _check_template(template: str, *names: str) -> None:
    """Raises ConfigError for a template that has not each of the fields, or has another."""
    about = f"prompt `{names[0]}`"
    try:
        fields = [
            field for _, field, _, _ in string.Formatter().parse(template) if field is not None
        ]
    except ValueError as error:
        raise ConfigError(f"{about}: {error}; write {{{{ for a literal brace") from error
    for field in fields:
        if field not in names:
            raise ConfigError(f"{about}: unknown field {{{field}}}; it has {{{names[0]}}} only")
    for name in names:
        if name not in fields:
            raise ConfigError(f"{about}: the field {{{name}}} is missing")
