"""Evaluation through the real environment, collector and a scripted engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests import builders
from tests.unit.rollout.world import ANSWER, ZOOM, World
from vigorl.core.errors import ConfigError, DataError
from vigorl.core.protocols import GenerationRequest
from vigorl.core.rewards.recipes import grounded_zoom_reward
from vigorl.core.rollout import ScoredRollout
from vigorl.core.scoring import ActionMatch
from vigorl.core.trace import render_answer_turn
from vigorl.evaluation.answers import AnswerLog
from vigorl.evaluation.protocols.kit import KitPrompt
from vigorl.evaluation.report import EvaluationReport
from vigorl.evaluation.runner import chance_level, evaluate
from vigorl.rollout.engines.scripted import ScriptedEngine, turn_number
from vigorl.rollout.inference.choice import Choice
from vigorl.rollout.inference.majority import Majority
from vigorl.rollout.inference.rule import CHOSEN, InferenceRule
from vigorl.rollout.probes.crop_noise import CropNoise
from vigorl.rollout.probes.forced_zoom import ForcedZoom
from vigorl.rollout.probes.last_crop_alone import LastCropAlone

WRONG = render_answer_turn("It is (50, 20).", "blue")


def engine_of(world: World, *, right: set[str]) -> ScriptedEngine:
    """Zooms at the disc, then answers right or wrong by "task/index" (or task)."""

    def script(request: GenerationRequest) -> str:
        if turn_number(request) == 1:
            return ZOOM
        if ", choice/" in request.id:
            return ANSWER
        _, task, index, _ = request.id.rsplit("/", 3)
        return ANSWER if {task, f"{task}/{index}"} & right else WRONG

    engine = ScriptedEngine(script, world.codec, delay=lambda r: r.seed % 4, shuffle_seed=0)
    engine.publish([], version=5)
    return engine


def test_one_greedy_rollout_per_task(world: World):
    tasks = [replace(world.task(name), category="odd" if name == "c" else "") for name in "abc"]
    seen: list[ScoredRollout] = []
    report = evaluate(
        engine_of(world, right={"a", "c"}),
        world.environment(temperature=0.0),
        tasks,
        grounded_zoom_reward(),
        name="val",
        on_scored=seen.append,
    )
    assert [(q.id, q.scores, q.answers) for q in report.questions] == [
        ("a", (1.0,), ("red",)),
        ("b", (0.0,), ("blue",)),
        ("c", (1.0,), ("red",)),
    ]
    assert report.accuracy.value == pytest.approx(2 / 3)
    assert report.accuracy.num_clusters == 1  # all on one picture
    assert report.by_category["odd"].value == 1.0
    assert report.chance == 0.5  # two options
    assert report.metrics["rollout/zoom_hit_frac"] == 1.0
    assert report.metrics["rollout/turns_mean"] == 2.0
    assert report.metrics["behaviors/regions_explored_mean"] == 1.0
    assert (report.policy_version, report.temperature, report.name) == (5, 0.0, "val")
    assert [one.rollout.task.id for one in seen] == ["a", "b", "c"]
    assert seen[0].reward.total > seen[1].reward.total


def test_several_rollouts_per_task(world: World):
    report = evaluate(
        engine_of(world, right={"a/0", "a/3", "b"}),
        world.environment(temperature=1.0),
        [world.task("a"), world.task("b")],
        grounded_zoom_reward(),
        num_samples=4,
    )
    assert report.questions[0].scores == (1.0, 0.0, 0.0, 1.0)
    assert report.accuracy.value == pytest.approx((0.5 + 1.0) / 2)
    assert report.num_samples == 4
    assert "avg@4" in report.table()


def test_what_probes_have_asked_is_not_asked_again(world: World, tmp_path: Path):
    def report(engine: ScriptedEngine) -> EvaluationReport:
        with AnswerLog(tmp_path / "answers.jsonl", phase="val", run_seed=0) as log:
            return evaluate(
                engine,
                world.environment(temperature=0.0),
                [world.task("a"), world.task("b")],
                grounded_zoom_reward(),
                name="val",
                faithfulness=[CropNoise(), ForcedZoom(), LastCropAlone()],
                faithfulness_limit=1,
                log=log,
            )

    def never(request: GenerationRequest) -> str:
        raise AssertionError(f"{request.id} was asked again")

    first = report(engine_of(world, right={"a"}))
    engine = ScriptedEngine(never, world.codec)
    engine.publish([], version=5)
    assert report(engine) == first
    found = first.faithfulness
    assert found is not None
    assert {name: one.difference.num_questions for name, one in found.probes.items()} == {
        "crop_noise": 1, "forced_zoom": 1, "last_crop_alone": 1,
    }  # fmt: skip


def test_a_half_right_web_action_is_half_a_point(world: World):
    click = replace(world.task("a"), answer="click [12]", options=(), scorer=ActionMatch())
    answers = {"a": "click [3]", "b": "click [12]", "c": "scroll [up]"}

    def script(request: GenerationRequest) -> str:
        return render_answer_turn("It is (50, 20).", answers[request.id.rsplit("/", 3)[1]])

    report = evaluate(
        ScriptedEngine(script, world.codec),
        world.environment(temperature=0.0),
        [replace(click, id=name) for name in answers],
        grounded_zoom_reward(),
    )
    assert [q.scores for q in report.questions] == [(0.5,), (1.0,), (0.0,)]
    assert report.accuracy.value == report.metrics["rollout/accuracy"] == 0.5
    assert report.chance is None


@pytest.mark.parametrize(
    ("names", "num_samples", "error", "message"),
    [
        ("", 1, DataError, "no task"),
        ("aa", 1, DataError, r"unique.*\['a'\]"),
        ("a", 0, ConfigError, "at least 1"),
        ("a", 2, ConfigError, "no effect at temperature 0"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(
    world: World, names: str, num_samples: int, error: type[Exception], message: str
):
    environment = world.environment(temperature=0.0)
    with pytest.raises(error, match=message):
        evaluate(
            engine_of(world, right=set()),
            environment,
            [world.task(name) for name in names],
            grounded_zoom_reward(),
            num_samples=num_samples,
        )


def test_chance_is_the_share_of_options_that_would_be_judged_right():
    assert chance_level(builders.task(options=("red", "blue", "green", "white"))) == 0.25
    assert chance_level(builders.task(options=())) is None


@pytest.mark.parametrize(("rule", "rollouts"), [(Majority(num_answers=3), 3.0), (Choice(), 5.5)])
def test_a_rule_answers_from_what_is_sampled(
    world: World, tmp_path: Path, rule: InferenceRule, rollouts: float
):
    def report(engine: ScriptedEngine) -> EvaluationReport:
        with AnswerLog(tmp_path / "answers.jsonl", phase="eval", run_seed=0) as log:
            return evaluate(
                engine,
                world.environment(temperature=0.0),
                [world.task("a"), world.task("b")],
                grounded_zoom_reward(),
                inference=rule,
                on_scored=seen.append,
                log=log,
            )

    def never(request: GenerationRequest) -> str:
        raise AssertionError(f"{request.id} was asked again")

    seen: list[ScoredRollout] = []
    first = report(engine_of(world, right={"a/1", "a/2", "b"}))
    assert [one.answers for one in first.questions] == [("red",), ("red",)]
    assert first.questions[1].ruling.startswith(f'"red" {rule.num_candidates}')
    assert [sum(one.rollout.probes.get(CHOSEN, 0) for one in seen)] == [2.0]
    assert first.metrics["inference/rollouts_mean"] == rollouts
    assert first.metrics["inference/best_frac"] == 1.0
    assert first.metrics["rollout/accuracy"] == 1.0  # of the answers alone
    assert first.temperature == 1.0
    assert "tokens per answer" in first.table()
    assert EvaluationReport.from_json(first.to_json()) == first
    engine = ScriptedEngine(never, world.codec)
    engine.publish([], version=5)
    assert report(engine) == first


def test_a_rule_that_chooses_is_refused_where_answers_have_no_tags(world: World) -> None:
    environment = world.environment(temperature=0.0)
    environment.prompt = KitPrompt("")
    with pytest.raises(ConfigError, match="set protocol=vigorl, or leave out inference"):
        evaluate(
            engine_of(world, right=set()), environment, [world.task("a")], grounded_zoom_reward(),
            inference=Majority(),
        )  # fmt: skip


def test_a_report_without_a_rule_says_nothing_of_one(world: World):
    report = evaluate(
        engine_of(world, right={"a"}),
        world.environment(temperature=0.0),
        [world.task("a")],
        grounded_zoom_reward(),
    )
    assert "ruling" not in report.to_json()
    assert "inference" not in report.to_json()
