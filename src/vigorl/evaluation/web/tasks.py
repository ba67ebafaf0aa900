"""Tasks of VisualWebArena, from its own config files (`test_classifieds.raw.json` ...), each one
JSON list:

    {"task_id": 0, "sites": ["classifieds"], "intent": "Find me the cheapest blue kayak.",
     "start_url": "__CLASSIFIEDS__", "storage_state": "./.auth/classifieds_state.json",
     "image": null, "intent_template_id": 0, "overall_difficulty": "medium",
     "eval": {"eval_types": ["url_match"], "reference_url": "__CLASSIFIEDS__/index.php?page=item",
              "url_note": "EXACT"}, ...}

`__CLASSIFIEDS__` and its like stand for addresses that the user gives. Of the released rows 309
have no "image" at all, 39 no "reference_answers", one says "mediun" and one "hrad".
Source: web-arena-x/visualwebarena@89f5af2, config_files/vwa.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from vigorl.core.errors import DataError
from vigorl.core.records import TaskRecord
from vigorl.data.faults import STRICT, Rules
from vigorl.data.sources.files import collect, item_rows
from vigorl.data.sources.rows import Row
from vigorl.evaluation.web.checks import (
    Check,
    PageImages,
    ProgramHtml,
    Required,
    StringMatch,
    UrlMatch,
    Where,
)
from vigorl.evaluation.web.score import EpisodeScore
from vigorl.evaluation.web.site_functions import Call, read_call
from vigorl.evaluation.web.text_rules import OR, is_value

_PLACEHOLDER = re.compile(r"__([A-Z][A-Z_]*?)__")
_DIFFICULTIES = {"mediun": "medium", "hrad": "hard"}
_LISTS = ("must_include", "must_exclude", "one_of", "required_values")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebTask:
    """One thing to do on websites.

    Attributes:
        record: The question; its answer is what the file checks, with placeholders.
        start_urls: Of the tabs that it starts with.
        sites: Whose state it may depend on or change.
        checks: All must pass.
        storage_state: Name of the file with the cookies of who has logged in; "" for nobody.
        must_log_in: Whether it cannot be done otherwise.
        must_reset: Whether it wants the site as it was.
        view: "width" or "height" where it wants another than the usual.
        geolocation: As Playwright takes it.
    """

    record: TaskRecord
    start_urls: tuple[str, ...]
    sites: tuple[str, ...]
    checks: tuple[Check, ...]
    storage_state: str = ""
    must_log_in: bool = False
    must_reset: bool = False
    view: Mapping[str, int]
    geolocation: Any = None

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def needs_judge(self) -> bool:
        """Whether it can never be passed without one."""
        return any(check.needs_judge for check in self.checks)


def read_web_tasks(
    path: Path, *, root: Path, sites: Mapping[str, str], rules: Rules = STRICT
) -> Sequence[WebTask]:
    """The tasks of one config file whose sites all have an address; how many others there are is
    logged.

    Args:
        path: The file.
        root: Where its picture names start.
        sites: Addresses without a slash at the end, by names such as "classifieds".
        rules: What becomes of bad rows.
    Raises:
        DataError: With file and item: a missing key or picture, or a check that is not known.
    """
    rows: list[Row | DataError] = []
    missing = Counter[str]()
    for row in item_rows(path, image_root=root):
        absent = isinstance(row, Row) and _sites_of(row) - sites.keys()
        if absent:
            missing[", ".join(sorted(absent))] += 1
        else:
            rows.append(row)
    for names, count in missing.items():
        _LOG.warning("%s: %d tasks left out: data.sites has no %s", path, count, names)
    return collect(rows, partial(_task, sites=sites), rules=rules)


def _sites_of(row: Row) -> set[str]:
    text = json.dumps([row.values.get("start_url"), row.values.get("eval")])
    return {name.lower() for name in _PLACEHOLDER.findall(text)}


def _task(row: Row, *, sites: Mapping[str, str]) -> WebTask:
    plain, filled = row, replace(row, values=_filled(row.values, sites))
    state = row.values.get("storage_state") or ""
    home = PurePosixPath(state).stem.removesuffix("_state")
    names = row.texts("sites")
    if not names:
        row.fail('"sites" is empty')
    home = home or names[0]
    record = TaskRecord(
        id=f"{home}/{_whole(row, 'task_id')}",
        question=row.text("intent"),
        answer=json.dumps(plain.values.get("eval"), ensure_ascii=False, sort_keys=True),
        images=tuple(row.picture(name) for name in _pictures(row)),
        scorer=EpisodeScore(),
        category=home,
        cluster=f"{home}/{_whole(row, 'intent_template_id')}",
        tags={key: _difficulty(row, key) for key in ("reasoning", "visual", "overall")},
        source=row.source,
    )
    checks = _checks(filled)
    return WebTask(
        record=row.checked(record),
        start_urls=tuple(filled.text("start_url").split(" |AND| ")),
        sites=tuple(sorted({*names, *_sites_of(row)})),
        checks=checks,
        storage_state=PurePosixPath(state).name,
        must_log_in=row.values.get("require_login") is True,
        must_reset=row.values.get("require_reset") is True,
        view=row.values.get("viewport_size") or {},
        geolocation=row.values.get("geolocation"),
    )


def _filled(values: Mapping[str, Any], sites: Mapping[str, str]) -> dict[str, Any]:
    def address(match: re.Match[str]) -> str:
        return sites.get(match[1].lower(), match[0])

    return json.loads(_PLACEHOLDER.sub(address, json.dumps(values)))


def _pictures(row: Row) -> Sequence[str]:
    found = row.values.get("image")
    names = [found] if isinstance(found, str) else found or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        row.fail(f'"image" must be null, a path or a list of paths, got {found!r:.80}')
    return names


def _difficulty(row: Row, key: str) -> str:
    said = row.text(f"{key}_difficulty", default="")
    return _DIFFICULTIES.get(said, said)


def _whole(row: Row, key: str) -> int:
    number = row.values.get(key)
    if not isinstance(number, int):
        row.fail(f'"{key}" must be a whole number, got {number!r:.40}')
    return number


def _checks(row: Row) -> tuple[Check, ...]:
    found = row.values.get("eval")
    if not isinstance(found, dict):
        row.fail('"eval" must be an object')
    inner = replace(row, values=found)
    readers: dict[str, Callable[[Row], list[Check]]] = {
        "string_match": _string_match,
        "url_match": _url_match,
        "program_html": _program_html,
        "page_image_query": _page_images,
    }
    checks: list[Check] = []
    for kind in inner.texts("eval_types"):
        if kind not in readers:
            row.fail(f'"eval_types": {kind!r:.40} is none of {", ".join(readers)}')
        checks += readers[kind](inner)
    if not checks:
        row.fail('"eval" checks nothing')
    return tuple(checks)


def _string_match(row: Row) -> list[Check]:
    wanted = row.values.get("reference_answers")
    return [StringMatch(_required(row, wanted, reason=row.text("string_note", default="")))]


def _url_match(row: Row) -> list[Check]:
    note = row.text("url_note", default="EXACT")
    if note not in ("EXACT", "GOLD in PRED"):
        row.fail(f'"url_note" must be EXACT or GOLD in PRED, got {note!r:.40}')
    urls = tuple(row.text("reference_url").split(OR))
    if not all(urls):
        row.fail('"reference_url" is empty')
    return [UrlMatch(urls, is_part=note == "GOLD in PRED")]


def _program_html(row: Row) -> list[Check]:
    return [
        ProgramHtml(
            Where(_call(row, one.text("url"))),
            _locator(one),
            _required(one, one.values.get("required_contents"), any_is_enough=True),
        )
        for one in _objects(row, "program_html")
    ]


def _page_images(row: Row) -> list[Check]:
    checks: list[Check] = []
    for one in _objects(row, "page_image_query"):
        questions = [
            (qa.text("question"), qa.text("answer")) for qa in _objects(one, "eval_vqa", least=0)
        ]
        wanted = one.text("eval_fuzzy_image_match", default="")
        pictures = tuple(_picture(one, name) for name in wanted.split(OR)) if wanted else ()
        if not questions and not pictures:
            row.fail("a page_image_query without eval_vqa and eval_fuzzy_image_match")
        threshold = one.values.get("ssim_threshold", 0.8)
        where = Where(_call(one, one.text("eval_image_url")))
        selector = one.text("eval_image_class")
        checks.append(PageImages(where, selector, tuple(questions), pictures, float(threshold)))
    return checks


def _picture(row: Row, name: str) -> str:
    return name if name.startswith("http") else row.picture(name)


def _objects(row: Row, key: str, *, least: int = 1) -> list[Row]:
    found = row.values.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        row.fail(f'"{key}" must be a list of objects')
    if len(found) < least:
        row.fail(f'"{key}" is empty')
    return [replace(row, values=one) for one in found]


def _locator(row: Row) -> str | Call:
    locator = row.text("locator").strip()
    known = ("document.", "[...document.", "lambda:", "func:")
    if locator and not locator.startswith(known):
        row.fail(f'"locator" must be empty or begin with {", ".join(known)}, got {locator!r:.60}')
    return _call(row, locator)


def _call(row: Row, text: str) -> str | Call:
    if not text.startswith("func:"):
        return text
    try:
        return read_call(text)
    except ValueError as error:
        row.fail(str(error))


def _required(row: Row, wanted: Any, *, reason: str = "", any_is_enough: bool = False) -> Required:
    if not isinstance(wanted, dict) or not wanted:
        row.fail(f"nothing is required, got {wanted!r:.60}")
    rules = {name: _wanted(row, name, value) for name, value in wanted.items()}
    return Required(rules, reason, any_is_enough)


def _wanted(row: Row, name: str, value: Any) -> tuple[str, ...]:
    """The texts of a rule: one, or a list; " |OR| " parts those of `fuzzy_match`."""
    if name not in (*_LISTS, "exact_match", "fuzzy_match"):
        row.fail(f"there is no rule {name!r:.40} for texts")
    texts = [value] if isinstance(value, str) and name not in _LISTS else value
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        row.fail(f'"{name}" must be {"a list of texts" if name in _LISTS else "a text"}')
    if name == "fuzzy_match":
        texts = [part for text in texts for part in text.split(OR)]
    if name == "required_values":
        for text in texts:
            is_value("0", text)  # a ValueError says what it must be
    return tuple(texts)
