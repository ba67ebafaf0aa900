"""Episodes on the small shop, in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.door import settings
from tests.unit.rollout.world import World, world
from tests.web_site.policies import RIGHT, WRONG, Steps, scripted
from tests.web_site.shop import Shop
from vigorl.core.errors import ConfigError
from vigorl.core.protocols import Engine
from vigorl.core.rewards.recipes import single_turn_reward
from vigorl.core.rollout import ScoredRollout
from vigorl.data.encoding import ChatCodec
from vigorl.evaluate import run_evaluation
from vigorl.evaluation.answers import AnswerLog
from vigorl.evaluation.benchmarks.visualwebarena import VisualWebArena
from vigorl.evaluation.report import EvaluationReport
from vigorl.evaluation.runner import evaluate
from vigorl.evaluation.web.score import EpisodeScore
from vigorl.evaluation.web.settings import BrowserSettings, EpisodeLimits, SiteReset
from vigorl.rollout.engines.scripted import ScriptedEngine
from vigorl.rollout.recorder import read_rollouts

pytest.importorskip("playwright", reason="playwright, which drives the browser, is not installed")
if BrowserSettings().program is None:
    pytest.skip("there is no chromium or google-chrome on PATH", allow_module_level=True)

__all__ = ["world"]
pytestmark = pytest.mark.slow
HERE = Path(__file__).resolve().parents[1] / "web_site"
BROWSER = BrowserSettings(width=640, height=480, quiet_s=0.1)
Played = tuple[EvaluationReport, list[ScoredRollout]]


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with Shop() as shop:
        yield shop


class Counts:
    """What was said of the progress."""

    def __init__(self) -> None:
        self.said: list[tuple[int, int]] = []

    def add(self, num_done: int, num_all: int) -> None:
        self.said.append((num_done, num_all))


def benchmark(shop: Shop, folder: Path, **fields: Any) -> VisualWebArena:
    fields = {
        "name": "shop", "root": str(HERE), "download": "", "files_pattern": "tasks.raw.json",
        "sites": {"shopping": shop.url}, "screens": str(folder / "screens"), "browser": BROWSER,
        "at_once": 4, "share_sites": True, "with_texts": True,
        "resets": {"shopping": SiteReset(url=f"{shop.url}/reset", fields={"token": "open"})},
    } | fields  # fmt: skip
    return VisualWebArena(**fields)


def played(
    bench: VisualWebArena,
    world: World,
    plans: Mapping[str, Steps],
    *,
    shop: Shop,
    limit: int | None = None,
    **more: Any,
) -> Played:
    """By a policy that goes by plans."""
    script = scripted(plans, world.codec, shop=shop.url)
    engine = ScriptedEngine(script, world.codec, delay=lambda r: r.seed % 3, shuffle_seed=0)
    seen: list[ScoredRollout] = []
    report = evaluate(
        engine,
        world.environment(tools=[], max_turns=1, temperature=0.0),
        bench.tasks()[:limit],
        single_turn_reward(),
        name="web",
        on_scored=seen.append,
        benchmark=bench,
        **more,
    )
    return report, seen


@pytest.fixture(scope="module")
def right(world: World, shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Played:
    return played(benchmark(shop, tmp_path_factory.mktemp("right")), world, RIGHT, shop=shop)


def test_the_right_policy_does_all_tasks(shop: Shop, right: Played) -> None:
    report, steps = right
    assert {one.id: one.score for one in report.questions} == {
        f"shopping/{i}": 1.0 for i in range(10)
    }
    assert [one.extras["steps"] for one in report.questions] == [
        float(len(plan)) for plan in RIGHT.values()
    ]
    assert {one.extras["impossible"] + one.extras["faults"] for one in report.questions} == {0.0}
    assert len(steps) == sum(map(len, RIGHT.values()))
    assert report.questions[1].answers == ("stop [It costs 12.50 dollars.]",)

    episode = [one.rollout for one in steps if one.rollout.group == "web/shopping/1/0"]
    assert [one.index for one in episode] == [0, 1, 2, 3, 4]
    last = episode[-1].task
    assert last.scorer == EpisodeScore(success=1.0, by_rules=1.0, num_steps=5, end="stopped")
    told = last.question.partition("PREVIOUS ACTIONS: \n")[2]
    assert told == (
        "1. tab_focus [0]\n2. type [INPUT] [] [red mug]\n3. click [BUTTON] [Search]\n"
        "4. click [A] [Red mug]\n\nIMAGE:\n"
    )
    (bowl,) = {one.rollout.prompt_views[1].path for one in steps if "8/0" in one.rollout.group}
    assert bowl == str(HERE / "bowl.png")
    assert shop.num_resets >= 1  # the seventh wants the site as it was


def test_the_wrong_policy_does_none(world: World, shop: Shop, tmp_path: Path) -> None:
    report, _ = played(benchmark(shop, tmp_path), world, WRONG, shop=shop)
    assert [one.score for one in report.questions] == [0.0] * 10
    assert {one.extras["stopped"] - one.extras["faults"] for one in report.questions} == {1.0}


def test_what_is_seen_does_not_depend_on_who_else_plays(
    world: World, shop: Shop, tmp_path: Path, right: Played
) -> None:
    _, crowd = right
    one_by_one = benchmark(shop, tmp_path, at_once=2, share_sites=False)  # there is one site
    _, alone = played(one_by_one, world, RIGHT, shop=shop, limit=2)
    for one, other in zip(alone, crowd, strict=False):
        assert one.rollout.prompt_ids == other.rollout.prompt_ids
        assert one.rollout.turns == other.rollout.turns
        names = [Path(step.rollout.prompt_views[0].path).name for step in (one, other)]
        assert names[0] == names[1]  # by content
    assert len(alone) == 8


def test_episodes_that_a_log_holds_are_not_played_again(
    world: World, shop: Shop, tmp_path: Path
) -> None:
    bench, asked = benchmark(shop, tmp_path), Counts()
    with AnswerLog(tmp_path / "a.jsonl", phase="web", run_seed=0) as log:
        first, _ = played(bench, world, WRONG, shop=shop, limit=2, log=log, on_progress=asked.add)
    assert asked.said == [(0, 2), (1, 2), (2, 2)]
    lines = (tmp_path / "a.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == 3  # two steps and one
    (tmp_path / "a.jsonl").write_text("".join(lines[:-1]))
    again = Counts()
    with AnswerLog(tmp_path / "a.jsonl", phase="web", run_seed=0) as log:
        log.check(bench.tasks(), bench.question_of)
        second, _ = played(bench, world, WRONG, shop=shop, limit=2, log=log, on_progress=again.add)
    assert again.said == [(1, 2), (2, 2)]
    assert first.to_json() == second.to_json()
    edited = [replace(task, answer="{}") for task in bench.tasks()]
    with (
        AnswerLog(tmp_path / "a.jsonl", phase="web", run_seed=0) as log,
        pytest.raises(ConfigError, match="answers the question 'shopping/"),
    ):
        log.check(edited, bench.question_of)


def test_an_episode_that_gets_nowhere_is_stopped(world: World, shop: Shop, tmp_path: Path) -> None:
    plans = {
        "cheapest blue kettle": ["push the button"] * 2,
        "price of the red mug": ["click [99]"] * 2,
        "phone number": ["goto [file:///etc/passwd]", "press [nokey]", "close_tab"],
        "Put the blue kettle": [
            "goto [http://localhost.invalid/]", "goto [http://93.184.216.34/]", "tab_focus [3]"
        ],
    }  # fmt: skip
    steps = EpisodeLimits(max_steps=3, max_unreadable=2, max_repeats=2)
    bench = benchmark(shop, tmp_path, steps=steps)
    report, seen = played(bench, world, plans, shop=shop, limit=4)
    last = [
        next(one.rollout.task for one in reversed(seen) if f"/{number}/" in one.rollout.group)
        for number in range(4)
    ]
    scores = [task.scorer for task in last if isinstance(task.scorer, EpisodeScore)]
    assert [(one.end, one.num_steps) for one in scores] == [
        ("unreadable", 2), ("repeated", 2), ("steps", 3), ("steps", 3)
    ]  # fmt: skip
    assert [one.num_unreadable for one in scores] == [2, 0, 0, 0]
    assert [one.num_impossible for one in scores] == [0, 2, 2, 3]
    assert [one.score for one in report.questions] == [0.0] * 4
    told = [task.question for task in last]
    assert "1. (an action that could not be read" in told[0]
    assert "1. click [99] (not possible: there is no element [99])" in told[1]
    assert "1. goto [file:///etc/passwd] (not possible: an address begins with http" in told[2]
    assert "2. press [nokey] (not possible: " in told[2]
    assert told[3].count("(not possible: Page.goto: net::ERR_NAME_NOT") == 2  # no other host


def test_a_site_that_is_down_is_said_before_anything_is_asked(
    world: World, shop: Shop, tmp_path: Path
) -> None:
    bench = benchmark(shop, tmp_path, sites={"shopping": "http://127.0.0.1:9"})
    with pytest.raises(ConfigError, match=r"task shopping/0: http://127.0.0.1:9 does not load.*up"):
        played(bench, world, {"": ["stop"]}, shop=shop, limit=1)


def right_policy(*, codec: ChatCodec, shop: str, **_: Any) -> Engine:
    return ScriptedEngine(scripted(RIGHT, codec, shop=shop), codec)


def test_the_door_plays_records_and_shows_episodes(shop: Shop, tmp_path: Path) -> None:
    shutil.copytree(HERE, tmp_path / "tasks", ignore=shutil.ignore_patterns("*.py"))
    browser = [f"data.browser.{key}" for key in ("width=640", "height=480", "quiet_s=0.1")]
    cfg = settings(
        tmp_path, "benchmark=visualwebarena", f"data.root={tmp_path}/tasks",
        "data.files_pattern=*.raw.json", f"data.sites.shopping={shop.url}", "data.with_texts=true",
        "data.share_sites=true", *browser, f"paths.run={tmp_path}/run", "limit=3",
        "limits.max_new_tokens=400", "limits.max_response_tokens=400",
        "engine._target_=tests.integration.test_web_episodes.right_policy",
        f"+engine.shop='{shop.url}'",
        door="evaluate", small=["num_threads=1", "trainer.accelerator=cpu"],
    )  # fmt: skip
    report = run_evaluation(cfg)
    assert report.accuracy.value == report.benchmark["by rules alone"].value == 1.0
    assert report.accuracy.num_questions == 3
    recorded = [one.scored.rollout for one in read_rollouts(tmp_path / "run/rollouts.jsonl")]
    assert {one.score for one in recorded} == {1.0}
    assert all(Path(one.prompt_views[0].path).is_file() for one in recorded)
    page = (tmp_path / "run/rollouts.html").read_text()
    assert page.count('<section class="group"') == 3
    assert page.count("✓ done") == 6  # in the list and above its steps
    assert page.count("stopped after") == 6
    assert page.count('alt="the screen at step') == len(recorded)
