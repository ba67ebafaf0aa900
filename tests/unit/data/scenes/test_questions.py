"""All answers of a kind are equally likely; targets are what a zoom must hold."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest
from PIL import Image

from vigorl.core.geometry import Box, Point
from vigorl.core.records import TaskRecord
from vigorl.data.scenes.draw import STRIPES, Scene, SceneSettings, Sign, draw_scene
from vigorl.data.scenes.questions import ask_attribute, ask_comparison, pick_compared

NUM_SCENES = 2000
SMALL = SceneSettings(num_clutter=0, num_occluders=0)  # the questions do not depend on these


@pytest.fixture(scope="module")
def drawn() -> list[Scene]:
    return [draw_scene(SMALL, seed=seed) for seed in range(NUM_SCENES)]


def _compare(scene: Scene, seed: int) -> TaskRecord:
    return ask_comparison(scene, id=str(seed), image="a.png")


def _scene(first: str, last: str) -> Scene:
    signs = (
        Sign("red", "disc", first, Point(100, 100)),
        Sign("red", "square", "rising", Point(180, 100)),
        Sign("blue", "disc", last, Point(300, 300)),
    )
    return Scene(Image.new("RGB", (448, 448)), signs)


def test_an_attribute_question_asks_for_the_first_sign() -> None:
    task = ask_attribute(_scene("vertical", "falling"), id="7", image="a.png")
    assert task.question == "How do the stripes on the red disc run?"
    assert task.answer == "vertical"
    assert task.options == STRIPES
    assert task.targets == (Box(86, 86, 114, 114),)  # the panel: 14 px to each side
    assert (task.id, task.images, task.category) == ("7", ("a.png",), "direct_attributes")


def test_answers_of_attribute_questions_come_up_equally_often(drawn: list[Scene]) -> None:
    answers = Counter(ask_attribute(scene, id="", image="").answer for scene in drawn)
    assert set(answers) == set(STRIPES)
    assert all(abs(n / NUM_SCENES - 0.25) < 0.04 for n in answers.values())


def test_the_sixteen_answers_of_a_comparison_come_up_equally_often(drawn: list[Scene]) -> None:
    answers = Counter(_compare(scene, i).answer for i, scene in enumerate(drawn))
    assert set(answers) == {f"{a} and {b}" for a, b in product(STRIPES, repeat=2)}
    assert all(abs(n / NUM_SCENES - 1 / 16) < 0.02 for n in answers.values())


def test_one_zoom_leaves_four_answers_of_a_comparison_open(drawn: list[Scene]) -> None:
    second = Counter(pick_compared(scene)[1].stripes for scene in drawn if _starts_rising(scene))
    assert set(second) == set(STRIPES)
    assert all(abs(n / second.total() - 0.25) < 0.08 for n in second.values())


def _starts_rising(scene: Scene) -> bool:
    return pick_compared(scene)[0].stripes == "rising"


def test_a_comparison_names_both_signs_and_needs_both_panels() -> None:
    task = _compare(_scene("vertical", "falling"), 0)
    assert task.question == "Compare the stripes on the red disc and the blue disc."
    assert task.answer == "vertical and falling"
    assert task.answer in task.options
    assert len(task.options) == 16
    assert task.targets == (Box(86, 86, 114, 114), Box(286, 286, 314, 314))


def test_targets_lie_on_the_picture(drawn: list[Scene]) -> None:
    for i, scene in enumerate(drawn[:300]):
        picture = Box(0, 0, *scene.image.size)
        assert all(picture.covers(box) for box in _compare(scene, i).targets)
