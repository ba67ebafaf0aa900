"""One of several sampled answers, as the policy itself or a judge chooses.

Source: the form of GTA1's test-time scaling, arXiv:2507.05791 (proposals, then a model that picks
one), and of HYDRA's controller, arXiv:2403.12884. The words are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

from PIL import Image

from vigorl.core.media import ImageView
from vigorl.core.rollout import Rollout
from vigorl.core.scoring.text import option_index
from vigorl.data.prompts import lettered
from vigorl.rollout.inference.majority import SeveralSamples, parties_of, written
from vigorl.rollout.inference.rule import Ruling
from vigorl.rollout.judge import Judge, JudgePrompt, ask_judge
from vigorl.rollout.seeds import derive_seed
from vigorl.rollout.tools.remade import shown_part

if TYPE_CHECKING:
    from vigorl.rollout.dialog import Dialog
    from vigorl.rollout.environment import Environment

_ASKED = """\
{pictures}{question}

Several answers were proposed:
{answers}

Look at the picture and reply with the letter of the one that is right, alone."""


@dataclass(frozen=True, kw_only=True)
class Choice(SeveralSamples):
    """The policy is asked the question once more, as it is without a rule, with the different
    answers of its samples as the options; a judge is shown picture, question and these answers.

    Where all samples agree nobody is asked. A reply that chooses none of them leaves the majority's
    answer; `rule_fell_back` then is 1.

    Attributes:
        judge: Chooses; None: the policy.
    """

    judge: Judge | None = None

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"chooser": "judge" if self.judge else "policy"}

    def asks(self, group: Sequence[Rollout], *, environment: Environment) -> Dialog | None:
        parties = parties_of(group)
        if self.judge is not None or len(parties) < 2:
            return None
        task, first = group[0].task, group[0]
        shown = replace(task, options=_answers(group, parties))
        seed = derive_seed("choice", first.group, *(one.index for one in group))
        group_name = f"{first.group}, choice"
        listing = environment.listing_options()
        dialog = listing.start(shown, group=group_name, index=first.index, seed=seed)
        dialog.task = task  # judged, and gone on with after a kill, as its question
        return dialog

    def rulings(
        self, groups: Sequence[Sequence[Rollout]], replies: Sequence[Rollout | None]
    ) -> list[Ruling]:
        parties = [parties_of(group) for group in groups]
        said = [None if one is None else one.answer for one in replies]
        if self.judge is not None:
            said = self._judged(groups, parties)
        pairs = zip(groups, parties, said, strict=True)
        return [_chosen(group, of_group, reply) for group, of_group, reply in pairs]

    def _judged(
        self, groups: Sequence[Sequence[Rollout]], parties: Sequence[Sequence[Sequence[int]]]
    ) -> list[str | None]:
        assert self.judge is not None
        asked = [i for i, one in enumerate(parties) if len(one) > 1]
        prompts = [_prompt(groups[i][0], _answers(groups[i], parties[i])) for i in asked]
        said: list[str | None] = [None] * len(groups)
        for i, reply in zip(asked, ask_judge(self.judge, prompts), strict=True):
            said[i] = reply
        return said


def _answers(group: Sequence[Rollout], parties: Sequence[Sequence[int]]) -> tuple[str, ...]:
    """What they say, of the first that letters can name. A letter says its option's text, for it
    would name another one here.
    """
    options = group[0].task.options
    said = [group[party[0]].answer or "" for party in parties[: len(ascii_uppercase)]]
    found = [option_index(one, options) for one in said]
    return tuple(
        one if index is None else options[index] for one, index in zip(said, found, strict=True)
    )


def _chosen(
    group: Sequence[Rollout], parties: Sequence[Sequence[int]], reply: str | None
) -> Ruling:
    if not parties:
        return Ruling(0, "no answer at all")
    saw = written(group, parties)
    if len(parties) == 1:
        return Ruling(parties[0][0], f"{saw}: nothing to choose")
    found = None if reply is None else option_index(reply, _answers(group, parties))
    chosen = max(parties, key=len) if found is None else parties[found]
    words = "chose none, the majority stands" if found is None else "chosen: "
    words += "" if found is None else f'"{group[chosen[0]].answer}"'
    marks = [{"rule_fell_back": float(found is None)}] * len(group)
    return Ruling(chosen[0], f"{saw}; {words}", marks)


def _prompt(one: Rollout, answers: Sequence[str]) -> JudgePrompt:
    views = one.prompt_views
    text = _ASKED.format(
        pictures="<image>\n" * len(views),
        question=_plain(one.task.question),
        answers=_plain(lettered(answers)),
    )
    return JudgePrompt(text, partial(drawn, views))


def drawn(views: Sequence[ImageView]) -> list[Image.Image]:
    """Pictures as the policy sees them; from any thread."""
    return [shown_part(view).resize((view.size.width, view.size.height)) for view in views]


def _plain(text: str) -> str:
    return text.replace("<image>", "").strip()
