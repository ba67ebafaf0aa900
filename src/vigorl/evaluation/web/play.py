"""Many episodes through one engine, each in a browser context of its own.

While some episodes wait for their turn to be generated, others look and act; pages are driven one
at a time, in this thread. An episode that is over makes room for the next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

import requests

from vigorl.core.errors import ConfigError
from vigorl.core.protocols import Engine
from vigorl.core.rollout import Rollout
from vigorl.evaluation.asking import Asking
from vigorl.evaluation.web.browser import Browser
from vigorl.evaluation.web.episode import WebEpisode
from vigorl.evaluation.web.page import PageError
from vigorl.evaluation.web.score import EpisodeScore
from vigorl.evaluation.web.settings import WebSettings
from vigorl.evaluation.web.tasks import WebTask
from vigorl.rollout.collector import collect
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment
from vigorl.rollout.seeds import derive_seed

SHOPPING = "shopping"
_LOG = logging.getLogger(__name__)


def play(
    engine: Engine,
    environment: Environment,
    tasks: Sequence[WebTask],
    settings: WebSettings,
    asking: Asking,
) -> list[list[Rollout]]:
    """Play every task; episodes that the log holds whole are not played again.

    Args:
        engine: With nothing in flight.
        environment: Of the steps.
        tasks: Ids unique.
        settings: How.
        asking: How often, and who is told.
    Returns:
        The steps of each episode: those of the first task first.
    Raises:
        ConfigError: No browser, or a site that does not answer.
        EngineError: The engine died, or the judge does not reply.
    """
    phase, log = asking.phase, asking.log
    episodes = [
        (task, f"{phase}/{task.id}/{number}", derive_seed(asking.run_seed, phase, task.id, number))
        for task in tasks
        for number in range(asking.num_samples)
    ]
    done = whole_episodes(log.found) if log is not None else {}

    def finished(steps: list[Rollout]) -> None:
        done[steps[0].group] = steps
        if log is not None:
            for step in steps:
                log.keep(step)
        asking.tell(len(done), len(episodes))

    waiting = [one for one in episodes if one[1] not in done]
    asking.tell(len(done), len(episodes))
    if waiting:
        hosts = [urlsplit(url).hostname or "" for url in settings.sites.values()]
        with Browser(settings.browser, hosts=hosts) as browser:
            stage = _Stage(browser, environment, settings, waiting, finished)
            collect(engine, stage.fill(), phase=phase, then=stage.after)
    return [done[name] for _, name, _ in episodes]


def whole_episodes(found: Mapping[tuple[str, int], Rollout]) -> dict[str, list[Rollout]]:
    """The steps of those episodes of a log that are all there, by group."""
    episodes: dict[str, list[Rollout]] = {}
    for (group, index), first in found.items():
        score = first.task.scorer
        if index == 0 and isinstance(score, EpisodeScore):
            steps = [found.get((group, i)) for i in range(score.num_steps)]
            same = [one for one in steps if one is not None and one.task.scorer == score]
            if len(same) == score.num_steps:
                episodes[group] = same
    return episodes


class _Stage:
    """The episodes that wait, and those that are open."""

    def __init__(
        self,
        browser: Browser,
        environment: Environment,
        settings: WebSettings,
        waiting: list[tuple[WebTask, str, int]],  # with group and seed
        on_done: Callable[[list[Rollout]], None],
    ) -> None:
        self._browser, self._env, self._settings = browser, environment, settings
        self.waiting, self._on_done = waiting, on_done
        self.open: dict[str, WebEpisode] = {}  # by group

    def fill(self) -> list[Dialog]:
        """Open as many episodes as there is room for; their first steps."""
        dialogs: list[Dialog] = []
        while len(self.open) < self._settings.at_once:
            number = next((i for i, one in enumerate(self.waiting) if self._may_open(one[0])), None)
            if number is None:
                break
            dialogs.append(self._start(*self.waiting.pop(number)))
        return dialogs

    def after(self, rollout: Rollout) -> list[Dialog]:
        """What follows a step: the next one, or the beginnings of other episodes."""
        episode = self.open[rollout.group]
        dialog = episode.after(rollout)
        if dialog is not None:
            return [dialog]
        shop = self._settings.sites.get(SHOPPING, "")
        steps = episode.finish(shop=shop, judge=self._settings.judge)
        self.open.pop(rollout.group).session.close()
        self._on_done(steps)
        return self.fill()

    def _may_open(self, task: WebTask) -> bool:
        """Whether no open episode is on one of its sites, where that matters."""
        busy = {site for episode in self.open.values() for site in episode.task.sites}
        return self._settings.share_sites or busy.isdisjoint(task.sites)

    def _start(self, task: WebTask, group: str, seed: int) -> Dialog:
        settings = self._settings
        if task.must_reset:
            self._reset(task)
        states = settings.states if task.storage_state else None
        try:
            session = self._browser.open(
                task.start_urls,
                storage_state=states and states / task.storage_state,
                view=task.view,
                geolocation=task.geolocation,
            )
            episode = WebEpisode(
                task, session, self._env, limits=settings.limits, group=group, seed=seed,
                screens=settings.screens, with_texts=settings.with_texts,
            )  # fmt: skip
            dialog = episode.start()
        except PageError as fault:
            raise ConfigError(f"task {task.id}: {fault}; are data.sites up? docs/web.md") from fault
        self.open[group] = episode
        return dialog

    def _reset(self, task: WebTask) -> None:
        for site in task.sites:
            reset = self._settings.resets.get(site)
            if reset is None:
                _LOG.warning("%s wants %s as it was; data.resets has no %s", task.id, site, site)
                continue
            try:
                requests.post(reset.url, dict(reset.fields), timeout=300).raise_for_status()
            except requests.RequestException as error:
                raise ConfigError(f"data.resets.{site}: it does not answer: {error}") from error
