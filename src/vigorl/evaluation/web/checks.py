"""What an episode must have achieved, as VisualWebArena's config files say it; all must pass.

    string_match      the answer: exact_match, must_include, must_exclude, one_of, required_values,
                      fuzzy_match (a judge; "N/A" is a task that cannot be done)
    url_match         the last page's address, EXACT or "GOLD in PRED"
    program_html      what a script or a function finds on a page, by the rules of string_match
    page_image_query  what the pictures of a page show (a judge), or whether one is a given picture

Where the benchmark's code does what its config files cannot have meant, this does what they say:
the address is the one at the end of the episode, whatever page another check has opened since; of
several rules for one text each must hold, not the first alone; and an episode that was stopped has
no answer, where there a text such as "Early stop: Same action for 5 times" is searched for words.
Source: web-arena-x/visualwebarena@89f5af2, evaluation_harness/evaluators.py.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urljoin

from PIL import Image

from vigorl.evaluation.web.judge import WebJudge
from vigorl.evaluation.web.page import Episode, PageError, Tab
from vigorl.evaluation.web.similarity import structural_similarity
from vigorl.evaluation.web.site_functions import Call
from vigorl.evaluation.web.text_rules import clean, includes, is_exact, is_value

NOT_ACHIEVABLE = "N/A"
_PICTURES = """(selector) => {
  const roots = selector ? [...document.querySelectorAll(selector)] : [document];
  return roots
    .flatMap((root) => root.tagName === 'IMG' ? [root] : [...root.querySelectorAll('img')])
    .map((picture) => picture.getAttribute('src')).filter(Boolean);
}"""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an episode ended.

    Attributes:
        intent: What was asked for.
        answer: What it has stopped with; "" where it has not, or without an answer.
        url: Of the last page.
        episode: Its tabs, still open.
        shop: Address of the shopping site; "" where there is none.
        judge: For what rules cannot decide; None where there is none.
    """

    intent: str
    answer: str
    url: str
    episode: Episode
    shop: str = ""
    judge: WebJudge | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a check is passed, and whether it would be if a judge never said yes."""

    is_met: bool
    by_rules: bool

    @classmethod
    def all_of(cls, verdicts: Iterable[Verdict]) -> Verdict:
        """Of several checks at once; none is passed in vain, so all are made."""
        found = list(verdicts)
        return cls(all(one.is_met for one in found), all(one.by_rules for one in found))

    @classmethod
    def ruled(cls, is_met: bool) -> Verdict:
        return cls(is_met, is_met)

    @classmethod
    def judged(cls, is_met: bool) -> Verdict:
        return cls(is_met, by_rules=False)


class Check(ABC):
    """One thing to check; a frozen dataclass."""

    @abstractmethod
    def verdict(self, ending: Ending) -> Verdict:
        """Look.

        Raises:
            PageError: A page that the check opens does not load.
            EngineError: The judge does not reply.
        """

    @property
    def needs_judge(self) -> bool:
        """Whether it can never be passed without one."""
        return False


@dataclass(frozen=True, slots=True)
class Required:
    """What a text must be or hold.

    Attributes:
        rules: Texts by the name of the rule.
        reason: Why the task cannot be done, where "N/A" is the right answer.
        any_is_enough: Whether one of several texts of `fuzzy_match` is enough.
    """

    rules: Mapping[str, tuple[str, ...]]
    reason: str = ""
    any_is_enough: bool = False

    def verdict(self, text: str, ending: Ending) -> Verdict:
        rules = self.rules.items()
        return Verdict.all_of(self._of(name, wanted, text, ending) for name, wanted in rules)

    @property
    def needs_judge(self) -> bool:
        return self.rules.get("fuzzy_match", (NOT_ACHIEVABLE,)) != (NOT_ACHIEVABLE,)

    def _of(self, name: str, wanted: Sequence[str], text: str, ending: Ending) -> Verdict:
        match name:
            case "exact_match":
                return Verdict.ruled(all(is_exact(text, one) for one in wanted))
            case "must_include":
                return Verdict.ruled(all(includes(text, one) for one in wanted))
            case "must_exclude":
                return Verdict.ruled(not any(includes(text, one) for one in wanted))
            case "one_of":
                return Verdict.ruled(any(clean(one) in clean(text) for one in wanted))
            case "required_values":
                return Verdict.ruled(all(is_value(text, one) for one in wanted))
            case _:
                return self._fuzzy(wanted, text, ending)

    def _fuzzy(self, wanted: Sequence[str], text: str, ending: Ending) -> Verdict:
        judge, question = ending.judge, ending.intent
        if wanted == (NOT_ACHIEVABLE,):
            if is_exact(text, NOT_ACHIEVABLE) or judge is None or not text:
                return Verdict.ruled(is_exact(text, NOT_ACHIEVABLE))
            is_same = judge.is_same_reason(text, reference=self.reason, question=question)
            return Verdict.judged(is_same)
        if judge is None or not text:
            return Verdict.ruled(False)
        same = [judge.is_same_answer(text, reference=one, question=question) for one in wanted]
        return Verdict.judged(any(same) if self.any_is_enough else all(same))


@dataclass(frozen=True, slots=True)
class StringMatch(Check):
    """The answer."""

    required: Required

    def verdict(self, ending: Ending) -> Verdict:
        return self.required.verdict(ending.answer, ending)

    @property
    def needs_judge(self) -> bool:
        return self.required.needs_judge


@dataclass(frozen=True, slots=True)
class UrlMatch(Check):
    """The last page's address.

    Attributes:
        urls: Each is enough.
        is_part: Whether it is enough to be a part of the address.
    """

    urls: tuple[str, ...]
    is_part: bool = False

    def verdict(self, ending: Ending) -> Verdict:
        found, wanted = _plain_url(ending.url), list(map(_plain_url, self.urls))
        return Verdict.ruled(
            any(one in found for one in wanted) if self.is_part else found in wanted
        )


@dataclass(frozen=True, slots=True)
class Where:
    """A page to check: the last one, an address, or a function that names one."""

    url: str | Call

    def tab(self, ending: Ending) -> Tab:
        url = self.url
        if isinstance(url, Call):
            url = url.on(None, last_url=ending.url, shop=ending.shop)
        return ending.episode.front if url == "last" else ending.episode.beside(url)


@dataclass(frozen=True, slots=True)
class ProgramHtml(Check):
    """What is found on a page.

    Attributes:
        where: The page.
        locator: A script, a function, or "" for all of the page's HTML.
        required: What must be found.
    """

    where: Where
    locator: str | Call
    required: Required

    def verdict(self, ending: Ending) -> Verdict:
        tab = self.where.tab(ending)
        found = self._found(tab, ending)
        return Verdict.ruled(False) if found is None else self.required.verdict(found, ending)

    @property
    def needs_judge(self) -> bool:
        return self.required.needs_judge

    def _found(self, tab: Tab, ending: Ending) -> str | None:
        """None where a script of the form "lambda:" finds nothing, which no rule is met by."""
        if not self.locator:
            return tab.content()
        try:
            if isinstance(self.locator, Call):
                return self.locator.on(tab, last_url=ending.url, shop=ending.shop)
            if self.locator.startswith("lambda:"):
                value = tab.evaluate(self.locator.removeprefix("lambda:").strip())
                return None if value in (None, "", 0, False) else str(value)
            return str(tab.evaluate(f"() => {self.locator}"))
        except PageError:  # the page is another one
            return None if str(self.locator).startswith("lambda:") else ""


@dataclass(frozen=True, slots=True)
class PageImages(Check):
    """What the pictures on a page show.

    Attributes:
        where: The page.
        selector: Of the elements whose pictures count; "" for all of the page's.
        questions: Question and answer; one picture must have the answer.
        pictures: Addresses or files; one picture of the page must be like one of them.
        threshold: How like, as structural similarity.
    """

    where: Where
    selector: str
    questions: tuple[tuple[str, str], ...] = ()
    pictures: tuple[str, ...] = ()
    threshold: float = 0.8

    def verdict(self, ending: Ending) -> Verdict:
        tab = self.where.tab(ending)
        found = [urljoin(tab.url, one) for one in tab.evaluate(_PICTURES, self.selector)]
        files = [file for file in map(partial(_fetched, ending), found) if file is not None]
        if not files:
            return Verdict.ruled(False)
        judge = ending.judge
        verdicts = [
            Verdict.judged(judge is not None and judge.sees(a, question=q, pictures=files))
            for q, a in self.questions
        ]
        if self.pictures:
            verdicts.append(Verdict.ruled(self._is_like(files, ending)))
        return Verdict.all_of(verdicts)

    @property
    def needs_judge(self) -> bool:
        return bool(self.questions)

    def _is_like(self, files: Sequence[bytes], ending: Ending) -> bool:
        wanted = [_opened(_content(one, ending)) for one in self.pictures]
        return any(
            structural_similarity(_opened(file), one) > self.threshold
            for one in wanted
            for file in files
        )


def _fetched(ending: Ending, url: str) -> bytes | None:
    """A picture file; None where it is not there, or no picture that can be decoded."""
    try:
        file = ending.episode.fetch(url)
        _opened(file)
    except (PageError, OSError, ValueError, Image.DecompressionBombError):
        return None
    return file


def _content(name: str, ending: Ending) -> bytes:
    return ending.episode.fetch(name) if name.startswith("http") else Path(name).read_bytes()


def _opened(file: bytes) -> Image.Image:
    return Image.open(io.BytesIO(file)).convert("RGB")


def _plain_url(url: str) -> str:
    return url.replace("localhost", "127.0.0.1").removesuffix("/")
