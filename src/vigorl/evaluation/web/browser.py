"""A headless Chromium, driven by Playwright: one program, one context of its own per episode.

    with Browser(BrowserSettings(), hosts=["127.0.0.1"]) as browser:
        session = browser.open(["http://127.0.0.1:8000/"])
        screen = session.look()
        problem = session.act(Action(Verb.CLICK, 3), screen)

All of it belongs to the thread that made it. Downloads are refused, and questions that pages ask
(`confirm`) are declined, as in the benchmark's own harness.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from playwright.sync_api import BrowserContext, Page, Request, sync_playwright
from playwright.sync_api import Error as DriverError

from vigorl.core.errors import ConfigError
from vigorl.evaluation.web.actions import ON_ELEMENTS, Action, Verb
from vigorl.evaluation.web.marks import SCRIPT, Element, draw_marks, read_elements
from vigorl.evaluation.web.page import PageError
from vigorl.evaluation.web.settings import BrowserSettings

_ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
_READY = "() => new Promise((done) => setTimeout(() => done(document.readyState), 0))"
_SCROLL = (
    "(sign) => { (document.scrollingElement || document.body).scrollTop += sign * innerHeight }"
)
_KEYS = {
    "ctrl": "Control", "control": "Control", "cmd": "Control", "command": "Control",
    "meta": "Control", "alt": "Alt", "option": "Alt", "shift": "Shift", "enter": "Enter",
    "return": "Enter", "esc": "Escape", "escape": "Escape", "tab": "Tab", "space": " ",
    "del": "Delete", "delete": "Delete", "backspace": "Backspace", "home": "Home", "end": "End",
    "pageup": "PageUp", "pagedown": "PageDown", "page_up": "PageUp", "page_down": "PageDown",
    "up": "ArrowUp", "down": "ArrowDown", "left": "ArrowLeft", "right": "ArrowRight",
    "arrowup": "ArrowUp", "arrowdown": "ArrowDown", "arrowleft": "ArrowLeft",
    "arrowright": "ArrowRight",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Screen:
    """What a page looks like.

    Attributes:
        picture: A PNG file, with the marks.
        elements: In the order of the document.
        url: Of the page.
    """

    picture: bytes
    elements: tuple[Element, ...]
    url: str

    def element(self, number: int | None) -> Element | None:
        """The one of a number; None where there is none."""
        return next((one for one in self.elements if one.number == number), None)


class Browser:
    """A running browser, closed at the end of a `with`.

    Args:
        settings: How pages are shown.
        hosts: Of the sites, without ports.
    Raises:
        ConfigError: It does not start.
    """

    def __init__(self, settings: BrowserSettings, *, hosts: Iterable[str]) -> None:
        self.settings = settings
        arguments: list[str] = [*_ARGUMENTS]
        if settings.only_sites:
            known = "".join(f", EXCLUDE {host}" for host in sorted(set(hosts)))
            arguments.append(f"--host-resolver-rules=MAP * ~NOTFOUND{known}")
        try:
            self._playwright = sync_playwright().start()
        except DriverError as error:  # such as within a notebook's own loop
            raise ConfigError(f"the browser cannot be driven here: {first_line(error)}") from error
        try:
            self._browser = self._playwright.chromium.launch(
                executable_path=settings.program, args=arguments
            )
        except DriverError as error:
            self._playwright.stop()
            raise ConfigError(
                f"no browser starts ({first_line(error)}): install chromium, or run "
                "`playwright install chromium`, or name one by data.browser.executable"
            ) from error

    @property
    def version(self) -> str:
        """Such as "Chromium 150.0.7871.100"."""
        return f"Chromium {self._browser.version}"

    def open(
        self,
        urls: Sequence[str],
        *,
        storage_state: Path | None = None,
        view: Mapping[str, int] | None = None,
        geolocation: Any = None,
    ) -> Session:
        """A context of its own with a tab per URL, the first of them in front.

        Args:
            urls: At least one.
            storage_state: Cookies of someone who has logged in.
            view: "width" or "height" where they differ from the settings'.
            geolocation: As Playwright takes it.
        Raises:
            PageError: A page does not load.
        """
        sizes: Any = {"width": self.settings.width, "height": self.settings.height, **(view or {})}
        context = self._browser.new_context(
            viewport=sizes,
            storage_state=storage_state,
            geolocation=geolocation,
            accept_downloads=False,
            device_scale_factor=1,
        )
        context.set_default_timeout(1000 * self.settings.timeout_s)
        session = Session(context, self.settings)
        for url in urls:
            session.page = context.new_page()
            try:
                session.page.goto(url)
            except DriverError as error:
                session.close()
                raise PageError(f"{url} does not load: {first_line(error)}") from error
            session.settle()
        session.focus(context.pages[0])
        return session

    def close(self) -> None:
        self._browser.close()
        self._playwright.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Session:
    """The tabs of one episode.

    Attributes:
        page: The tab in front.
    """

    page: Page

    def __init__(self, context: BrowserContext, settings: BrowserSettings) -> None:
        self._context, self._settings = context, settings
        self._loading: set[Request] = set()
        self._beside: Page | None = None
        context.on("request", lambda request: self._loading.add(request))
        context.on("requestfinished", lambda request: self._loading.discard(request))
        context.on("requestfailed", lambda request: self._loading.discard(request))

    @property
    def url(self) -> str:
        return self.page.url

    def look(self) -> Screen:
        """What is in view now.

        Raises:
            PageError: Nothing can be seen, twice.
        """
        try:
            return self._look()
        except DriverError:  # it may have gone on to another page meanwhile
            self.settle()
        try:
            return self._look()
        except DriverError as error:
            raise PageError(f"{self.url} cannot be looked at: {first_line(error)}") from error

    def act(self, action: Action, screen: Screen) -> str:
        """Carry out an action on what was seen last, and wait for what comes of it.

        Returns:
            Why it could not be done, in words; "" when it was.
        """
        element = screen.element(action.number)
        if action.verb in ON_ELEMENTS and element is None:
            return f"there is no element [{action.number}]"
        num_tabs = len(self._context.pages)
        try:
            problem = self._do(action, element)
        except DriverError as error:
            problem = first_line(error)
        self.settle()
        tabs = self._context.pages
        if not tabs:
            self.page = self._context.new_page()
        elif len(tabs) > num_tabs or self.page.is_closed():
            self.focus(tabs[-1])
            self.settle()
        return problem

    def focus(self, page: Page) -> None:
        """Bring a tab to the front."""
        self.page = page
        page.bring_to_front()

    @property
    def front(self) -> OpenTab:
        """The tab in front, for a check."""
        return OpenTab(self.page)

    def beside(self, url: str) -> OpenTab:
        """Another page with the same cookies, in a tab that takes the place of the last such one.

        Raises:
            PageError: It does not load.
        """
        if self._beside is None:
            self._beside = self._context.new_page()
        try:
            self._beside.goto(url)
        except DriverError as error:
            raise PageError(f"{url} does not load: {first_line(error)}") from error
        self.settle(self._beside)
        return OpenTab(self._beside)

    def fetch(self, url: str) -> bytes:
        """A file, asked for with the session's cookies.

        Raises:
            PageError: It is not there.
        """
        try:
            reply = self._context.request.get(url, timeout=1000 * self._settings.timeout_s)
        except DriverError as error:
            raise PageError(f"{url} does not load: {first_line(error)}") from error
        if not reply.ok:
            raise PageError(f"{url} does not load: status {reply.status}")
        return reply.body()

    def settle(self, page: Page | None = None) -> None:
        """Wait until nothing has been loading for a while, at most for `timeout_s`."""
        page = page or self.page
        ends_at, quiet_since = time.monotonic() + self._settings.timeout_s, None
        try:
            while time.monotonic() < ends_at and not page.is_closed():
                is_busy = not self._is_ready(page) or bool(self._loading)
                now = time.monotonic()
                quiet_since = None if is_busy else quiet_since or now
                if quiet_since is not None and now - quiet_since >= self._settings.quiet_s:
                    return
                page.wait_for_timeout(20)
        except DriverError:  # it closes just now
            return
        self._loading.clear()  # what never ends is waited for once

    def close(self) -> None:
        self._context.close()

    def _is_ready(self, page: Page) -> bool:
        try:
            return page.evaluate(_READY) == "complete"
        except DriverError:  # on its way to another page
            return False

    def _look(self) -> Screen:
        elements = read_elements(self.page.evaluate(SCRIPT))
        shot = self.page.screenshot(animations="disabled", caret="hide")
        return Screen(draw_marks(shot, elements), elements, self.url)

    def _do(self, action: Action, element: Element | None) -> str:
        page, verb = self.page, action.verb
        if element is not None and verb in ON_ELEMENTS:
            self._do_on(element, action)
        elif verb is Verb.PRESS:
            page.keyboard.press(keys(action.text))
        elif verb is Verb.SCROLL:
            page.evaluate(_SCROLL, -1 if action.text == "up" else 1)
        elif verb is Verb.GOTO:
            if not action.text.startswith(("http://", "https://")):
                return "an address begins with http:// or https://"
            page.goto(action.text)
        elif verb is Verb.GO_BACK:
            page.go_back()
        elif verb is Verb.GO_FORWARD:
            page.go_forward()
        else:
            return self._do_on_tabs(action)
        return ""

    def _do_on(self, element: Element, action: Action) -> None:
        page, at = self.page, element.at
        assert at is not None  # it has a number
        if action.verb is Verb.HOVER:
            page.mouse.move(at.x, at.y)
            return
        page.mouse.click(at.x, at.y)
        if action.verb is Verb.CLEAR:
            page.keyboard.press("Control+A")
            page.keyboard.press("Backspace")
        elif action.verb is Verb.TYPE:
            page.keyboard.type(action.text)
            if action.enter:
                page.keyboard.press("Enter")

    def _do_on_tabs(self, action: Action) -> str:
        tabs = self._context.pages
        if action.verb is Verb.NEW_TAB:
            self.focus(self._context.new_page())
        elif action.verb is Verb.CLOSE_TAB:
            self.page.close()
        elif action.number is not None and action.number < len(tabs):
            self.focus(tabs[action.number])
        else:
            return f"there is no tab {action.number}; the tabs are 0 to {len(tabs) - 1}"
        return ""


@dataclass(frozen=True, slots=True)
class OpenTab:
    """A page to check."""

    page: Page

    @property
    def url(self) -> str:
        return self.page.url

    def content(self) -> str:
        try:
            return self.page.content()
        except DriverError as error:
            raise PageError(f"{self.url} cannot be read: {first_line(error)}") from error

    def evaluate(self, script: str, argument: Any = None) -> Any:
        try:
            return self.page.evaluate(script, argument)
        except DriverError as error:
            raise PageError(f"{self.url}: the script fails: {first_line(error)}") from error


def keys(text: str) -> str:
    """A combination as Playwright names its keys: "ctrl+a" is "Control+a"."""
    parts = [part for part in text.replace(" ", "").split("+") if part] or [text]
    return "+".join(_KEYS.get(part.lower(), part) for part in parts)


def first_line(error: Exception) -> str:
    """What went wrong, without the log that follows it."""
    return str(error).strip().partition("\n")[0][:200]
