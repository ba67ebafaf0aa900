"""VisualWebArena: 910 things to do on three websites, in a real browser (ACL 2024,
arXiv:2401.13649).

A question is an episode of up to 30 steps, right when the state that it leaves passes the
benchmark's checks. The sites are the user's to start (docs/web.md); the tasks of sites without an
address are left out, and so are the 25 that only a judge can decide, where there is none. Quoted by
the share of tasks done; beside it stands the share by rules alone, as if the judge never agreed.
Tasks of one template are a cluster.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from vigorl.core.errors import ConfigError
from vigorl.core.protocols import Engine
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout
from vigorl.evaluation.asking import Asked, Asking
from vigorl.evaluation.benchmarks.benchmark import Benchmark
from vigorl.evaluation.web.judge import WebJudge
from vigorl.evaluation.web.questions import is_step_of
from vigorl.evaluation.web.score import EpisodeScore
from vigorl.evaluation.web.settings import (
    BrowserSettings,
    EpisodeLimits,
    SiteReset,
    WebSettings,
)
from vigorl.evaluation.web.tasks import WebTask, read_web_tasks
from vigorl.rollout.environment import Environment

TRAINED_ON = "trained_on"
_ICAL_STEP = re.compile(r"images/([a-z]+)_(\d+)/")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class VisualWebArena(Benchmark):
    """VisualWebArena, or any tasks of its form.

    Attributes:
        files_pattern: Of the tasks, from the download's folder.
        sites: Addresses by name; None has no such site.
        states: Folder of the files with cookies, such as `classifieds_state.json`; None: nobody can
            log in.
        resets: See `WebSettings`.
        screens: Folder for the screenshots.
        browser: How pages are shown.
        steps: When an episode is stopped.
        judge: For what rules cannot decide.
        at_once: Episodes that are open at the same time.
        share_sites: Whether two of them may be on the same site; the benchmark's sites have one
            user each, so there they would meet in one cart.
        with_texts: Whether prompts list the elements' texts too; ViGoRL's do not.
        trained_on: ICAL's planning_examples.json, whose tasks are tagged `trained_on`: "yes", for a
            model that has learned from them.
    """

    in_episodes: ClassVar[bool] = True
    files_pattern: str = "config_files/vwa/test_*.raw.json"
    sites: Mapping[str, str | None]
    states: str | None = None
    resets: Mapping[str, SiteReset] = field(default_factory=dict)
    screens: str
    browser: BrowserSettings = field(default_factory=BrowserSettings)
    steps: EpisodeLimits = field(default_factory=EpisodeLimits)
    judge: WebJudge | None = None
    at_once: int = 1
    share_sites: bool = False
    with_texts: bool = False
    trained_on: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, url in self.sites.items():
            if url is not None and urlsplit(url).scheme not in ("http", "https"):
                raise ConfigError(f"data.sites.{name}={url!r} must begin with http:// or https://")
        if self.at_once < 1:
            raise ConfigError(f"data.at_once must be at least 1, got {self.at_once}")

    def tasks(self) -> Sequence[TaskRecord]:
        return [task.record for task in self.web_tasks.values()]

    @cached_property
    def web_tasks(self) -> Mapping[str, WebTask]:
        """All that can be done here, by id.

        Raises:
            ConfigError: No site has an address, or a file with cookies is missing.
        """
        if not self._addresses:
            raise ConfigError(
                "data.sites has no address: start the sites (docs/web.md) and say "
                "data.sites.classifieds=http://HOST:9980, or reddit, shopping, wikipedia"
            )
        found = [
            task
            for file in self.files(self.files_pattern)
            for task in read_web_tasks(
                file, root=self.folder, sites=self._addresses, rules=self.rules
            )
        ]
        self._check_states(found)
        asked = [task for task in found if self.judge is not None or not task.needs_judge]
        if len(asked) < len(found):
            _LOG.warning(
                "%d tasks left out: only data.judge can decide them", len(found) - len(asked)
            )
        seen = self._trained_on
        tagged = (_tagged(task, was_seen=task.id in seen) for task in asked)
        return {task.id: task for task in tagged}

    def ask(
        self,
        engine: Engine,
        environment: Environment,
        tasks: Sequence[TaskRecord],
        asking: Asking,
    ) -> Asked:
        """Play every task; the last steps are what is judged.

        Raises:
            ConfigError: Playwright or a browser is missing, or a site does not answer.
        """
        try:
            from vigorl.evaluation.web.play import play
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"{error}: the browser is driven by it; pip install playwright"
            ) from error
        episodes = play(
            engine,
            environment,
            [self.web_tasks[task.id] for task in tasks],
            self._web_settings(),
            asking,
        )
        rollouts = [step for steps in episodes for step in steps]
        judged: list[int] = []
        for steps in episodes:
            judged.append((judged[-1] if judged else -1) + len(steps))
        return Asked(rollouts, judged)

    def question_of(self, rollout: Rollout) -> TaskRecord:
        step = rollout.task
        task = self.web_tasks.get(step.id)
        if task is None or not is_step_of(task.record, step):
            return step
        return task.record

    def remark(self, rollout: Rollout) -> str:
        scorer = rollout.task.scorer
        return str(scorer) if isinstance(scorer, EpisodeScore) else ""

    def extras(self, rollout: Rollout) -> Mapping[str, float]:
        scorer = rollout.task.scorer
        return scorer.numbers if isinstance(scorer, EpisodeScore) else {}

    def settings(self) -> dict[str, Any]:
        found = super().settings()
        found["browser"] = {k: v for k, v in found["browser"].items() if k != "executable"}
        return found | {"judge": self.judge and self.judge.model}

    @property
    def _addresses(self) -> dict[str, str]:
        return {name: url.rstrip("/") for name, url in self.sites.items() if url}

    @property
    def _trained_on(self) -> set[str]:
        """Ids of tasks, from the names of ICAL's pictures: ".../images/reddit_28/5.png"."""
        if self.trained_on is None:
            return set()
        try:
            text = Path(self.trained_on).read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"data.trained_on={self.trained_on!r}: {error.strerror}") from error
        return {f"{site}/{number}" for site, number in _ICAL_STEP.findall(text)}

    def _check_states(self, tasks: Sequence[WebTask]) -> None:
        if self.states is None:
            need = [task.id for task in tasks if task.must_log_in]
            if need:
                raise ConfigError(
                    f"{len(need)} tasks, such as {need[0]}, need someone who has logged in: "
                    "data.states=FOLDER of the files that the benchmark's prepare.sh writes"
                )
            return
        names = {task.storage_state for task in tasks if task.storage_state}
        absent = sorted(name for name in names if not (Path(self.states) / name).is_file())
        if absent:
            raise ConfigError(
                f"data.states={self.states!r} has no {absent[0]}; the benchmark's prepare.sh "
                "writes it (docs/web.md)"
            )

    def _web_settings(self) -> WebSettings:
        return WebSettings(
            sites=self._addresses,
            screens=Path(self.screens),
            browser=self.browser,
            limits=self.steps,
            judge=self.judge,
            states=None if self.states is None else Path(self.states),
            resets=self.resets,
            at_once=self.at_once,
            share_sites=self.share_sites,
            with_texts=self.with_texts,
        )


def _tagged(task: WebTask, *, was_seen: bool) -> WebTask:
    tags = {**task.record.tags, TRAINED_ON: "yes" if was_seen else "no"}
    return replace(task, record=replace(task.record, tags=tags))
