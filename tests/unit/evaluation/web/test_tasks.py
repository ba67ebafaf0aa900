"""Config files in the benchmark's form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vigorl.core.errors import DataError
from vigorl.evaluation.web.checks import (
    PageImages,
    ProgramHtml,
    Required,
    StringMatch,
    UrlMatch,
    Where,
)
from vigorl.evaluation.web.site_functions import Call
from vigorl.evaluation.web.tasks import WebTask, read_web_tasks

SITES = {"classifieds": "http://ads:9980", "shopping": "http://shop:7770"}


def row(evaluation: Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    checks = {"eval_types": ["string_match"], "reference_answers": {"exact_match": "5"}}
    return {
        "sites": ["classifieds"],
        "task_id": 3,
        "require_login": True,
        "storage_state": "./.auth/classifieds_state.json",
        "start_url": "__CLASSIFIEDS__",
        "intent": "Find it.",
        "require_reset": False,
        "eval": checks if evaluation is None else evaluation,
        "reasoning_difficulty": "hrad",
        "visual_difficulty": "mediun",
        "overall_difficulty": "easy",
        "intent_template_id": 7,
    } | fields


def read(folder: Path, *rows: dict[str, Any], sites: Mapping[str, str] = SITES) -> list[WebTask]:
    (folder / "tasks.raw.json").write_text(json.dumps(rows))
    return read_web_tasks(folder / "tasks.raw.json", root=folder, sites=sites)


def test_a_task_keeps_its_placeholders_in_the_record_alone(tmp_path: Path):
    start = "__CLASSIFIEDS__/a |AND| __SHOPPING__/b"
    (task,) = read(tmp_path, row(start_url=start, viewport_size={"width": 430}))
    record = task.record
    assert (record.id, record.category, record.cluster) == (
        "classifieds/3", "classifieds", "classifieds/7",
    )  # fmt: skip
    assert dict(record.tags) == {"reasoning": "hard", "visual": "medium", "overall": "easy"}
    assert (record.question, record.images) == ("Find it.", ())
    assert task.start_urls == ("http://ads:9980/a", "http://shop:7770/b")
    assert task.sites == ("classifieds", "shopping")
    assert (task.storage_state, task.must_log_in) == ("classifieds_state.json", True)
    assert (task.must_reset, task.view, task.needs_judge) == (False, {"width": 430}, False)

    other = read(tmp_path, row(start_url=start), sites=SITES | {"shopping": "http://x"})
    assert other[0].record.answer == record.answer  # the same question wherever the sites are


def test_tasks_of_sites_without_an_address_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    rows = (
        row(),
        row(task_id=4, start_url="__REDDIT__/f/all"),
        row(task_id=5, start_url="__REDDIT__"),
    )
    assert [task.id for task in read(tmp_path, *rows)] == ["classifieds/3"]
    assert "2 tasks left out: data.sites has no reddit" in caplog.text


@pytest.mark.parametrize(
    ("image", "num"), [(None, 0), ("absent", 0), ("a.png", 1), (["a.png", "b.png"], 2)]
)
def test_an_image_is_none_one_or_several(tmp_path: Path, image: Any, num: int):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    fields = {} if image == "absent" else {"image": image}
    (task,) = read(tmp_path, row(**fields))
    assert len(task.record.images) == num


def test_every_kind_of_check_is_read(tmp_path: Path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    evaluation = {
        "eval_types": ["string_match", "url_match", "program_html", "page_image_query"],
        "reference_answers": {"must_include": ["a |OR| b", "c"], "fuzzy_match": "N/A"},
        "string_note": "Nobody sells it.",
        "reference_url": "__CLASSIFIEDS__/x |OR| y",
        "url_note": "GOLD in PRED",
        "program_html": [
            {
                "url": "func:reddit_get_post_url('__last_url__')",
                "locator": "func:get_query_text(__page__, \".a 'b'\")",
                "required_contents": {"fuzzy_match": "so |OR| thus"},
            },
            {
                "url": "last",
                "locator": "[...document.images].length",
                "required_contents": {"required_values": ["> 1 |OR| == 0"]},
            },
        ],
        "page_image_query": [
            {
                "eval_image_url": "__SHOPPING__/item",
                "eval_image_class": ".photo",
                "eval_vqa": [{"question": "A bear?", "answer": "yes"}],
                "eval_fuzzy_image_match": "a.png |OR| __SHOPPING__/b.png",
                "ssim_threshold": 0.9,
            }
        ],
    }
    (task,) = read(tmp_path, row(evaluation))
    assert task.needs_judge
    assert task.checks == (
        StringMatch(
            Required(
                {"must_include": ("a |OR| b", "c"), "fuzzy_match": ("N/A",)}, "Nobody sells it."
            )
        ),
        UrlMatch(("http://ads:9980/x", "y"), is_part=True),
        ProgramHtml(
            Where(Call("reddit_get_post_url", ("__last_url__",))),
            Call("get_query_text", (".a 'b'",)),
            Required({"fuzzy_match": ("so", "thus")}, any_is_enough=True),
        ),
        ProgramHtml(
            Where("last"),
            "[...document.images].length",
            Required({"required_values": ("> 1 |OR| == 0",)}, any_is_enough=True),
        ),
        PageImages(
            Where("http://shop:7770/item"),
            ".photo",
            (("A bear?", "yes"),),
            (str(tmp_path / "a.png"), "http://shop:7770/b.png"),
            0.9,
        ),
    )


HTML = {"url": "last", "locator": "", "required_contents": {"must_include": ["a"]}}


def html(**fields: Any) -> dict[str, Any]:
    return row({"eval_types": ["program_html"], "program_html": [HTML | fields]})


def answers(**rules: Any) -> dict[str, Any]:
    return row({"eval_types": ["string_match"], "reference_answers": rules})


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row(image="absent.png"), "picture 'absent.png' is not in"),
        (row(image=5), '"image" must be null, a path or a list of paths, got 5'),
        (row(task_id="3"), '"task_id" must be a whole number'),
        (row(intent=" "), "the question is empty"),
        (row(sites=[]), '"sites" is empty'),
        (row([]), '"eval" must be an object'),
        (row({"eval_types": []}), '"eval" checks nothing'),
        (row({"eval_types": ["luck"]}), "'luck' is none of string_match, url_match"),
        (row({"eval_types": ["string_match"]}), "nothing is required, got None"),
        (row({"eval_types": ["url_match"], "reference_url": ""}), '"reference_url" is empty'),
        (row({"eval_types": ["program_html"], "program_html": []}), '"program_html" is empty'),
        (answers(must_include="a"), '"must_include" must be a list of texts'),
        (answers(sounds_like=["a"]), "there is no rule 'sounds_like'"),
        (html(locator="page.click()"), '"locator" must be empty or begin with document.'),
        (html(locator="func:rm('/')"), "there is no function 'rm' of the benchmark here"),
        (html(url="func:__import__('os').system('x')"), "is no call such as func:NAME"),
        (html(required_contents={"required_values": ["5"]}), "'5' is no relation"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, bad: dict[str, Any], message: str):
    with pytest.raises(DataError, match=r"tasks\.raw\.json: .*") as caught:
        read(tmp_path, row(), bad)
    assert message in str(caught.value)


SHARED = Path(__file__).resolve().parents[5] / "shared/data/benchmarks/visualwebarena"


@pytest.mark.skipif(not SHARED.is_dir(), reason="no real sample data beside this checkout")
def test_the_real_rows_are_read():
    sites = SITES | {"reddit": "http://forum:9999"}
    tasks = read_web_tasks(SHARED / "tasks.raw.json", root=SHARED, sites=sites)
    assert [task.id for task in tasks] == ["classifieds/0", "reddit/20", "shopping/351"]
    assert [len(task.record.images) for task in tasks] == [0, 1, 1]
    assert tasks[0].checks == (UrlMatch(("http://ads:9980/index.php?page=item&id=4799",)),)
    (bought,) = tasks[2].checks
    assert isinstance(bought, ProgramHtml)
    assert bought.where == Where(Call("shopping_get_latest_order_url", ()))
