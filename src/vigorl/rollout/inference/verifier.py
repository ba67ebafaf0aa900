"""After each look somebody says whether to look on or to answer.

Source: VTS-V, arXiv:2506.07235; Open-DataFlow/vts-v 3539506 `src/verifier.py`, which goes on until
the score of its verifier moves by less than a threshold. There the verifier is a DPO-trained model
and its score a norm of log-probability differences; here the score is the probability that the
policy gives the answer that it would give now, or a judge says yes or no.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from vigorl.core.ranges import NotNegative, Share, ShareAboveZero, check_ranges
from vigorl.core.rollout import Rollout
from vigorl.core.trace import IMAGE_SLOT, text_of
from vigorl.rollout.inference.choice import drawn
from vigorl.rollout.inference.rule import InferenceRule, Ruling
from vigorl.rollout.judge import Judge, JudgePrompt

if TYPE_CHECKING:
    from vigorl.rollout.dialog import Dialog
    from vigorl.rollout.environment import Environment

_ASKED = """\
{pictures}{question}

Somebody looks at parts of the first picture, one after the other; the parts come behind it. So far:
{said}

Has enough been seen to answer the question for certain? Reply with YES or NO alone."""
_YES = re.compile(r"\W*yes\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Verifier(InferenceRule):
    """Ends a dialog that has seen enough; one that answers of itself is not sent on.

    Attributes:
        eps: It is enough once the answer's probability moves by less than this from one look to the
            next; 0 never ends a dialog so.
        least: And is at least this high: one that stays at nothing says nothing.
        enough: Or once it is at least this high; None asks for no height.
        judge: Says yes or no instead; None: the policy's own answers are weighed.
    """

    eps: NotNegative = 0.05
    least: Share = 0.5
    enough: ShareAboveZero | None = 0.9
    judge: Judge | None = None

    def __post_init__(self) -> None:
        check_ranges(self, "inference")

    def settings(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("eps", "least", "enough")}
        return {"rule": "Verifier", **({"chooser": "judge"} if self.judge else own)}

    def sampled(self, environment: Environment) -> Environment:
        return environment.stopping_by(self)

    def rulings(
        self, groups: Sequence[Sequence[Rollout]], replies: Sequence[Rollout | None]
    ) -> list[Ruling]:
        return [Ruling(0, _seen(group[0])) for group in groups]

    def consult(self, dialog: Dialog) -> Future[bool] | None:
        """See `StopRule`."""
        if self.judge is None:
            return None
        reply, verdict = self.judge.submit(_prompt(dialog)), Future[bool]()
        reply.add_done_callback(partial(_pass_on, verdict))
        return verdict

    def is_enough(self, scores: Sequence[float]) -> bool:
        """See `StopRule`."""
        if self.enough is not None and scores[-1] >= self.enough:
            return True
        if len(scores) < 2 or scores[-1] < self.least:
            return False
        return abs(scores[-1] - scores[-2]) < self.eps


def _pass_on(verdict: Future[bool], reply: Future[str]) -> None:
    error = reply.exception()
    if error is not None:
        verdict.set_exception(error)
    else:
        verdict.set_result(bool(_YES.match(reply.result())))


def _prompt(dialog: Dialog) -> JudgePrompt:
    said = "\n".join(text_of((turn.text, turn.observation)) for turn in dialog.turns)
    question = dialog.task.question.replace(IMAGE_SLOT, "").strip()
    text = _ASKED.format(
        pictures=f"{IMAGE_SLOT}\n" * len(dialog.views),
        question=question,
        said=said.replace(IMAGE_SLOT, "(a part)"),
    )
    return JudgePrompt(text, partial(drawn, dialog.views))


def _seen(one: Rollout) -> str:
    found = one.probes
    if "rule_checks" not in found:
        return "answered before it was asked"
    ending = "the rule ended it" if found["rule_stopped"] else "it answered of itself"
    score = f", answer's probability {found['rule_score']:.2f}" if "rule_score" in found else ""
    return f"{found['rule_checks']:.0f} checks{score}: {ending}"
