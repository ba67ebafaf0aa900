"""How episodes are played; what of it a score depends on stands in the benchmark's YAML."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vigorl.core.errors import ConfigError
from vigorl.evaluation.web.judge import WebJudge

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserSettings:
    """How pages are shown.

    Attributes:
        executable: The browser; None takes Chromium or Chrome from PATH, else Playwright's own.
        width: Of the view, in pixels.
        height: Likewise.
        quiet_s: How long nothing must have been loading before a page counts as done.
        timeout_s: Longest wait for one page; what there is by then is looked at.
        only_sites: Whether hosts other than the sites' cannot be reached.
    Raises:
        ConfigError: A value out of range, or an executable that is not there.
    """

    executable: str | None = None
    width: int = 1280
    height: int = 2048
    quiet_s: float = 0.5
    timeout_s: float = 30.0
    only_sites: bool = True

    def __post_init__(self) -> None:
        for key, value in (("width", self.width), ("height", self.height)):
            if not 64 <= value <= 8192:
                raise ConfigError(f"data.browser.{key} must be 64 to 8192, got {value}")
        if not 0 < self.quiet_s < self.timeout_s:
            raise ConfigError(
                f"data.browser.quiet_s must be above 0 and below timeout_s={self.timeout_s}, got "
                f"{self.quiet_s}"
            )
        if self.executable is not None and not Path(self.executable).is_file():
            raise ConfigError(f"data.browser.executable={self.executable!r} is not a file")

    @property
    def program(self) -> str | None:
        """The browser to start; None is Playwright's own."""
        return self.executable or next(filter(None, map(shutil.which, _PROGRAMS)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeLimits:
    """When an episode is stopped; the benchmark's own numbers.

    Attributes:
        max_steps: Actions.
        max_unreadable: Actions in a row that cannot be read.
        max_repeats: Equal actions; see `actions.is_stuck`.
    Raises:
        ConfigError: A number under 1.
    """

    max_steps: int = 30
    max_unreadable: int = 3
    max_repeats: int = 5

    def __post_init__(self) -> None:
        for key in ("max_steps", "max_unreadable", "max_repeats"):
            if getattr(self, key) < 1:
                raise ConfigError(f"data.steps.{key} must be at least 1, got {getattr(self, key)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteReset:
    """A request that brings a site back to its first state.

    Attributes:
        url: Where it is sent, as POST.
        fields: Its form.
    """

    url: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """How episodes are played.

    Attributes:
        sites: Addresses without a slash at the end, by name.
        screens: Folder for the screenshots.
        browser: How pages are shown.
        limits: When an episode is stopped.
        judge: For what rules cannot decide; None leaves it undecided.
        states: Folder of the files with cookies; None: nobody logs in.
        resets: What is sent before a task that wants its site as it was, by the site's name; the
            other sites are the user's to reset.
        at_once: Episodes that are open at the same time.
        share_sites: Whether two of them may be on the same site.
        with_texts: Whether the prompt lists the elements' texts too.
    """

    sites: Mapping[str, str]
    screens: Path
    browser: BrowserSettings
    limits: EpisodeLimits
    judge: WebJudge | None = None
    states: Path | None = None
    resets: Mapping[str, SiteReset]
    at_once: int = 1
    share_sites: bool = False
    with_texts: bool = False
