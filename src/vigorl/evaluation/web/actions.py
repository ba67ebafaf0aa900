"""The actions of VisualWebArena as text: read, compared, and told again.

    click [7]   hover [7]   clear [7]   type [7] [red shoes] [1]   press [Control+a]
    scroll [down]   goto [http://...]   new_tab   tab_focus [0]   close_tab   go_back   go_forward
    stop [answer]

ViGoRL uses five of them: click, type, scroll, go_back and stop. `type` presses Enter behind the
text unless its last argument is 0. Only the argument that is a text may hold brackets.
Source: web-arena-x/visualwebarena@89f5af2, browser_env/actions.py (create_id_based_action,
is_equivalent) and run.py (early_stop).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

MAX_TYPED = 2000  # characters; a policy may write without end


class Verb(StrEnum):
    """What is done."""

    CLICK = "click"
    HOVER = "hover"
    CLEAR = "clear"
    TYPE = "type"
    PRESS = "press"
    SCROLL = "scroll"
    GOTO = "goto"
    NEW_TAB = "new_tab"
    TAB_FOCUS = "tab_focus"
    CLOSE_TAB = "close_tab"
    GO_BACK = "go_back"
    GO_FORWARD = "go_forward"
    STOP = "stop"


ON_ELEMENTS = (Verb.CLICK, Verb.HOVER, Verb.CLEAR, Verb.TYPE)
_BARE = (Verb.NEW_TAB, Verb.CLOSE_TAB, Verb.GO_BACK, Verb.GO_FORWARD)
_NUMBER = r" ?\[ ?(\d{1,6}) ?\]"
_FORMS = {
    **dict.fromkeys((Verb.CLICK, Verb.HOVER, Verb.CLEAR, Verb.TAB_FOCUS), _NUMBER),
    Verb.TYPE: _NUMBER + r" ?\[(.+?)\](?: ?\[ ?([01]) ?\])?",
    Verb.PRESS: r" ?\[(.+)\]",
    Verb.SCROLL: r" ?\[? ?(up|down) ?\]?",
    Verb.GOTO: r" ?\[(.+)\]",
    Verb.STOP: r"(?: ?\[(.*)\])?",
    **dict.fromkeys(_BARE, r"(?: ?\[ ?\])?"),
}  # fmt: skip
_READERS = {verb: re.compile(verb + form, re.DOTALL) for verb, form in _FORMS.items()}


@dataclass(frozen=True, slots=True)
class Action:
    """One action.

    Attributes:
        verb: What is done.
        number: Of the element, or of the tab (from 0); None where the verb has none.
        text: What is typed, pressed, gone to or answered; "up" or "down" of a scroll.
        enter: Whether Enter is pressed behind what is typed.
    """

    verb: Verb
    number: int | None = None
    text: str = ""
    enter: bool = False

    def repeats(self, other: Action) -> bool:
        """Whether both are the same to the benchmark, which compares elements by their number
        alone, whatever is typed and on whatever page.
        """
        if self.verb in ON_ELEMENTS:
            return (self.verb, self.number) == (other.verb, other.number)
        return (self.verb, self.number, self.text) == (other.verb, other.number, other.text)

    def told(self, element: str = "") -> str:
        """How later prompts tell of it, an element by its tag and text, such as "[A] [Cart]"."""
        if self.verb in ON_ELEMENTS:
            typed = f" [{self.text}]" if self.verb is Verb.TYPE else ""
            return f"{self.verb} {element or f'[{self.number}]'}{typed}"
        argument = self.text if self.number is None else str(self.number)
        return f"{self.verb} [{argument}]" if argument else str(self.verb)


def parse_action(text: str) -> Action | None:
    """Read one action; None when the text is anything else.

    Back quotes around it are no part of it. Case counts in texts, not in verbs.

    >>> parse_action("type [7] [size [L]] [0]")
    Action(verb=<Verb.TYPE: 'type'>, number=7, text='size [L]', enter=False)
    """
    text = text.strip().strip("`").strip()
    head = re.match(r"[A-Za-z_]+", text)
    name = head[0].lower() if head else ""
    if name not in _READERS or len(text) > MAX_TYPED:
        return None
    verb = Verb(name)
    if verb is Verb.SCROLL:
        text = text.lower()
    match = _READERS[verb].fullmatch(verb + text[len(name) :])
    if match is None:
        return None
    found = match.groups()
    if verb is Verb.TYPE:
        return Action(verb, int(found[0]), found[1], enter=found[2] != "0")
    if verb in (*ON_ELEMENTS, Verb.TAB_FOCUS):
        return Action(verb, int(found[0]))
    return Action(verb, text=(found[0] or "").strip() if found else "")


def is_stuck(actions: Sequence[Action | None], *, max_unreadable: int, max_repeats: int) -> str:
    """Why an episode must end after these actions, in words; "" when it may go on.

    Args:
        actions: In order; None for one that could not be read.
        max_unreadable: So many in a row end it.
        max_repeats: So many equal ones in a row end it; of typing into one element, so many in all.
    """
    if not actions:
        return ""
    if len(actions) >= max_unreadable and not any(actions[-max_unreadable:]):
        return "unreadable"
    last = actions[-1]
    if last is None:
        return ""
    recent = actions if last.verb is Verb.TYPE else actions[-max_repeats:]
    same = sum(one is not None and one.repeats(last) for one in recent)
    return "repeated" if same >= max_repeats else ""
