"""Policies of the small shop's tasks: what each would do, element by element.

They read the prompt as any policy does: the objective, how much has been done, and the numbers of
the elements that they look for by their tag and text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from vigorl.core.protocols import GenerationRequest
from vigorl.core.trace import render_answer_turn
from vigorl.data.encoding import ChatCodec

Steps = Sequence[str]
_ELEMENT = re.compile(r"\{(.+?)\}")
_SEARCH = ("type {INPUT} [kettle]", "click {A:Blue kettle}")
RIGHT: Mapping[str, Steps] = {
    "cheapest blue kettle": ("type {INPUT} [kettle]", "click {A:Blue travel kettle}", "stop []"),
    "price of the red mug": (
        "tab_focus [0]", "type {INPUT} [red mug] [0]", "click {BUTTON:Search}", "click {A:Red mug}",
        "stop [It costs 12.50 dollars.]",
    ),
    "phone number": ("click {A:About}", "scroll [down]", "stop [555-0147]"),
    "Put the blue kettle": (*_SEARCH, "click {BUTTON:Add to cart}", "stop"),
    "Put two green mugs": (
        "goto [__SHOPPING__/item/M-2]", "click {BUTTON:Add to cart}", "go_back", "go_back",
        "go_forward", "click {BUTTON:Add to cart}", "stop",
    ),
    "Send the message": (
        "click {A:Contact}", "type {INPUT:2} [Ada] [0]", "type {TEXTAREA} [wrong] [0]",
        "clear {TEXTAREA}", "type {TEXTAREA} [Do you have [tea]?] [0]", "click {BUTTON:Send}",
        "stop",
    ),
    "Show the green mugs": ("type {INPUT} [mug]", "type {SELECT} [green]", "stop"),
    "purple teapot": ("type {INPUT} [teapot]", "stop [N/A]"),
    "item in the picture": ("type {INPUT} [bowl]", "click {A:Green bowl}", "stop"),
    "Order the red kettle": (
        "hover {DIV:More}", "new_tab", "goto [__SHOPPING__/item/K-2]", "click {BUTTON:Add to cart}",
        "click {BUTTON:Place order}", "stop",
    ),
}  # fmt: skip
WRONG: Mapping[str, Steps] = {
    "cheapest blue kettle": ("goto [__SHOPPING__/item/K-1]", "stop"),
    "price of the red mug": ("stop [112.50 dollars]",),
    "phone number": ("stop [555-0148]",),
    "Put the blue kettle": ("goto [__SHOPPING__/item/K-1]", "stop"),
    "Put two green mugs": ("goto [__SHOPPING__/item/M-2]", "click {BUTTON:Add to cart}", "stop"),
    "Send the message": ("click {A:Contact}", "type {TEXTAREA} [tea] [0]", "stop"),
    "Show the green mugs": ("type {INPUT} [mug]", "stop"),
    "purple teapot": ("stop [There is one for 20 dollars.]",),
    "item in the picture": ("goto [__SHOPPING__/item/M-2]", "stop"),
    "Order the red kettle": (
        "goto [__SHOPPING__/item/K-1]", "click {BUTTON:Add to cart}", "click {BUTTON:Place order}",
        "stop",
    ),
}  # fmt: skip


def scripted(
    plans: Mapping[str, Steps], codec: ChatCodec, *, shop: str
) -> Callable[[GenerationRequest], str]:
    """A script that goes on with the plan whose words stand in the objective."""

    def script(request: GenerationRequest) -> str:
        prompt = codec.decode(list(request.prompt_ids))
        objective = prompt.partition("OBJECTIVE:")[2].partition("\n")[0]
        steps = next(steps for words, steps in plans.items() if words in objective)
        done = prompt.partition("PREVIOUS ACTIONS:")[2].partition("IMAGE:")[0]
        step = steps[len(re.findall(r"^\d+\. ", done, re.MULTILINE))]
        action = _ELEMENT.sub(lambda match: _number(match[1], prompt), step)
        return render_answer_turn("It is there.", action.replace("__SHOPPING__", shop))

    return script


def _number(wanted: str, prompt: str) -> str:
    """Of the element "TAG", "TAG:text", or "TAG:n" for the n-th of its tag."""
    tag, _, text = wanted.partition(":")
    found = re.findall(rf"^\[(\d+)\] \[{tag}\] \[(.*)\]$", prompt, re.MULTILINE)
    if text.isdecimal():
        return f"[{found[int(text) - 1][0]}]"
    return f"[{next(number for number, said in found if not text or said.startswith(text))}]"
