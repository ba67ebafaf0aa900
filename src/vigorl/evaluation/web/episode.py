"""One episode: look, ask, act, until the policy stops or a limit is met; then the checks.

Every step is a dialog of its own (`questions`), so it is recorded, rewarded and shown as any other;
the steps of an episode are a group, in order of their index.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vigorl.core.rollout import Rollout
from vigorl.evaluation.web.actions import Action, Verb, is_stuck, parse_action
from vigorl.evaluation.web.browser import Screen, Session
from vigorl.evaluation.web.checks import Ending, Verdict
from vigorl.evaluation.web.judge import WebJudge
from vigorl.evaluation.web.marks import kept, listed
from vigorl.evaluation.web.page import PageError
from vigorl.evaluation.web.questions import UNREADABLE, step_question
from vigorl.evaluation.web.score import End, EpisodeScore
from vigorl.evaluation.web.settings import EpisodeLimits
from vigorl.evaluation.web.tasks import WebTask
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment
from vigorl.rollout.seeds import derive_seed

_MAX_LISTED = 15_360  # characters of elements' texts, as the benchmark cuts them


class WebEpisode:
    """The state of one episode.

    Args:
        task: What is to be done.
        session: Its tabs, freshly opened.
        environment: Of the dialogs.
        limits: When it is stopped.
        group: Names it among all.
        seed: Of its noise.
        screens: Folder for the screenshots, named by their content.
        with_texts: Whether the prompt lists the elements' texts too.
    """

    def __init__(
        self,
        task: WebTask,
        session: Session,
        environment: Environment,
        *,
        limits: EpisodeLimits,
        group: str,
        seed: int,
        screens: Path,
        with_texts: bool = False,
    ) -> None:
        self.task, self.session, self.group = task, session, group
        self._env, self._limits, self._seed = environment, limits, seed
        self._screens, self._with_texts = screens, with_texts
        self._actions: list[Action | None] = []
        self._told: list[str] = []
        self._steps: list[Rollout] = []
        self._num_impossible = 0
        self._screen: Screen | None = None
        self._fault = ""
        self.end = End.NONE

    def start(self) -> Dialog:
        """The first step.

        Raises:
            PageError: Nothing can be seen.
        """
        return self._dialog(self.session.look())

    def after(self, rollout: Rollout) -> Dialog | None:
        """Do what a step says; the next step, or None where this was the last."""
        self._steps.append(rollout)
        action = parse_action(rollout.answer or "")
        self._actions.append(action)
        if action is not None and action.verb is Verb.STOP:
            self.end = End.STOPPED
            return None
        try:
            self._told.append(self._done(action))
            self.end = self._limit()
            return None if self.end else self._dialog(self.session.look())
        except PageError as fault:
            self.end, self._fault = End.FAULT, str(fault)
            return None

    def finish(self, *, shop: str, judge: WebJudge | None) -> list[Rollout]:
        """Make the checks; the steps, each with what the episode came to.

        Raises:
            EngineError: The judge does not reply.
        """
        last = self._actions[-1]
        answer = last.text if last is not None and last.verb is Verb.STOP else ""
        ending = Ending(
            self.task.record.question, answer, self.session.url, self.session, shop, judge
        )
        verdict = self._verdict(ending)
        score = EpisodeScore(
            success=float(verdict.is_met),
            by_rules=float(verdict.by_rules),
            num_steps=len(self._actions),
            num_unreadable=self._actions.count(None),
            num_impossible=self._num_impossible,
            end=self.end,
            fault=self._fault,
        )
        return [replace(step, task=replace(step.task, scorer=score)) for step in self._steps]

    def _verdict(self, ending: Ending) -> Verdict:
        try:
            return Verdict.all_of(check.verdict(ending) for check in self.task.checks)
        except PageError as fault:
            self._fault = self._fault or str(fault)
            return Verdict.ruled(False)

    def _done(self, action: Action | None) -> str:
        """Carry an action out; how it is told."""
        if action is None or self._screen is None:
            return UNREADABLE
        element = self._screen.element(action.number)
        told = action.told(element.told if element else "")
        problem = self.session.act(action, self._screen)
        self._num_impossible += bool(problem)
        return f"{told} (not possible: {problem})" if problem else told

    def _limit(self) -> End:
        limits = self._limits
        stuck = is_stuck(
            self._actions,
            max_unreadable=limits.max_unreadable,
            max_repeats=limits.max_repeats,
        )
        if stuck:
            return End(stuck)
        return End.STEPS if len(self._actions) >= limits.max_steps else End.NONE

    def _dialog(self, screen: Screen) -> Dialog:
        self._screen, number = screen, len(self._actions)
        record = self.task.record
        picture = kept(screen.picture, self._screens)
        task = replace(
            record, question=self._question(screen), images=(str(picture), *record.images)
        )
        seed = derive_seed(self._seed, number)
        return self._env.start(task, group=self.group, index=number, seed=seed)

    def _question(self, screen: Screen) -> str:
        listing = listed(screen.elements)[:_MAX_LISTED] if self._with_texts else ""
        return step_question(
            self.task.record.question,
            num_pictures=len(self.task.record.images),
            previous=self._told,
            listing=listing,
        )
