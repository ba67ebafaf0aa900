"""Dialogs that are asked after each look whether they have seen enough to answer.

After a turn that leaves room for another, either the policy is made to answer at once, aside, and
the rule weighs that answer, or a judge is shown the dialog. Where it is enough, the policy's answer
aside is the dialog's own, or its coming turn is the forced answer. Nobody sends a dialog on that
has answered of itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Protocol

from vigorl.core.errors import EngineError
from vigorl.core.protocols import Completion, GenerationRequest
from vigorl.core.rollout import Rollout
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.seeds import derive_seed


class StopRule(Protocol):
    """When a dialog has seen enough."""

    def consult(self, dialog: Dialog) -> Future[bool] | None:
        """Whether it is enough, as somebody else says; None: the policy's own answer is weighed.

        Args:
            dialog: Before its coming turn.
        """
        ...

    def is_enough(self, scores: Sequence[float]) -> bool:
        """By the probability of the policy's answer after each look so far, the last one's last."""
        ...


class StoppingDialog(Dialog):
    """A dialog of an environment with a stop rule; its rollout keeps as probes how often it was
    asked (`rule_checks`), what that took (`rule_tokens`), the last answer's probability
    (`rule_score`) and whether the rule ended it (`rule_stopped`).
    """

    _aside: Dialog | None = None
    _verdict: Future[bool] | None = None
    _scores: tuple[float, ...] = ()
    _num_checks = 0
    _num_tokens = 0
    _is_stopped = False

    @property
    def is_being_checked(self) -> bool:
        return self._aside is not None

    @property
    def verdict(self) -> Future[bool] | None:
        return self._verdict

    def fork(self, *, index: int, seed: int) -> StoppingDialog:
        aside = self._aside
        if aside is not None and aside._request is not None:
            raise RuntimeError(f"dialog {self.group}/{self.index} cannot be forked now")
        other = super().fork(index=index, seed=seed)
        assert isinstance(other, StoppingDialog)
        other._aside = None if aside is None else other._answering()
        return other

    def next_request(self) -> GenerationRequest:
        if self._aside is not None:
            return self._aside.next_request()
        if self._verdict is not None:
            is_enough, self._verdict = self._verdict.result(), None
            if is_enough:
                self._is_stopped = True
                self.answer_now()
        return super().next_request()

    def accept(self, completion: Completion) -> None:
        if self._aside is not None:
            self._weigh(completion, self._aside)
            return
        super().accept(completion)
        rule = self._env.stop_rule
        if rule is None or self.is_done or self.is_last_turn:
            return
        self._verdict = rule.consult(self)
        self._num_checks += 1
        if self._verdict is None:
            self._aside = self._answering()

    def take(self, text: str) -> None:
        self._aside = self._verdict = None  # somebody has said to look on
        super().take(text)

    def rollout(self, *, policy_version: int = 0) -> Rollout:
        found = super().rollout(policy_version=policy_version)
        if not self._num_checks:
            return found
        numbers = {
            "rule_checks": float(self._num_checks),
            "rule_stopped": float(self._is_stopped),
            "rule_tokens": float(self._num_tokens),
        }
        numbers |= {"rule_score": self._scores[-1]} if self._scores else {}
        return replace(found, probes={**found.probes, **numbers})

    def _answering(self) -> Dialog:
        """The same, made to answer now."""
        aside = super().fork(index=self.index, seed=derive_seed(self.seed, "rule"))
        assert isinstance(aside, StoppingDialog)
        aside._aside = aside._verdict = None
        aside.group = f"{self.group}/aside"
        aside.answer_now()
        return aside

    def _weigh(self, completion: Completion, aside: Dialog) -> None:
        self._aside = None
        aside.accept(completion)
        last = aside.turns[-1]
        if completion.token_ids and not completion.logprobs:
            raise EngineError(
                "inference=verifier weighs the answers' probabilities, and this engine gives none: "
                "set inference=verifier_judge, or engine=hf or vllm"
            )
        has_answer = last.parsed.answer is not None
        self._scores += (math.exp(sum(completion.logprobs)) if has_answer else 0.0,)
        self._num_tokens += len(completion.token_ids)
        rule = self._env.stop_rule
        if has_answer and rule is not None and rule.is_enough(self._scores):
            self._turns, self.stop_reason = list(aside.turns), aside.stop_reason
            self._num_tokens -= len(completion.token_ids)  # they are the answer's own
            self._is_stopped = True
