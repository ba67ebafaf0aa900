"""Many episodes through one engine, each in a browser context of its own.

While some episodes wait for their turn to be generated, others look and act; pages are driven one
at a time, in this thread. An episode that is over makes room for the next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import requests

from vigorl.core.errors import ConfigError
from vigorl.core.protocols import Engine
from vigorl.core.rollout import Rollout
from vigorl.evaluation.web.browser import Browser
from vigorl.evaluation.web.episode import WebEpisode
from vigorl.evaluation.web.page import PageError
from vigorl.evaluation.web.settings import WebSettings
from vigorl.evaluation.web.tasks import WebTask
from vigorl.rollout.collector import collect
from vigorl.rollout.environment import Dialog, Environment
from vigorl.rollout.seeds import derive_seed

SHOPPING = "shopping"
_LOG = logging.getLogger(__name__)


def play(
    engine: Engine,
    environment: Environment,
    tasks: Sequence[WebTask],
    settings: WebSettings,
    *,
    num_samples: int,
    phase: str,
    run_seed: int,
    on_done: Callable[[list[Rollout]], None] | None = None,
) -> list[list[Rollout]]:
    """Play every task `num_samples` times.

    Args:
        engine: With nothing in flight.
        environment: Of the steps.
        tasks: Ids unique.
        settings: How.
        num_samples: Episodes per task.
        phase: Names the phase; part of group names and of every seed.
        run_seed: Of the run.
        on_done: Called with the steps of each episode as it ends.
    Returns:
        The steps of each episode: those of the first task first.
    Raises:
        ConfigError: No browser, or a site that does not answer.
        EngineError: The engine died, or the judge does not reply.
    """
    hosts = [urlsplit(url).hostname or "" for url in settings.sites.values()]
    with Browser(settings.browser, hosts=hosts) as browser:
        stage = _Stage(browser, environment, settings, on_done)
        numbers = range(num_samples)
        stage.waiting = [
            (task, f"{phase}/{task.id}/{n}", derive_seed(run_seed, phase, task.id, n))
            for task in tasks
            for n in numbers
        ]
        names = [name for _, name, _ in stage.waiting]
        collect(engine, stage.fill(), phase=phase, then=stage.after)
        return [stage.finished[name] for name in names]


class _Stage:
    """The episodes that wait, are open, and are over."""

    def __init__(
        self,
        browser: Browser,
        environment: Environment,
        settings: WebSettings,
        on_done: Callable[[list[Rollout]], None] | None,
    ) -> None:
        self._browser, self._env, self._settings = browser, environment, settings
        self._on_done = on_done
        self.waiting: list[tuple[WebTask, str, int]] = []
        self.open: dict[str, WebEpisode] = {}  # by group
        self.finished: dict[str, list[Rollout]] = {}  # likewise

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
        self.finished[rollout.group] = steps
        if self._on_done is not None:
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
