"""Four answers, equally likely, whichever kind is asked; targets are what a zoom must hold."""

from __future__ import annotations

import random
from collections import Counter

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
    return ask_comparison(scene, random.Random(f"{seed}/question"), id=str(seed), image="a.png")


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


def test_each_of_the_four_answers_of_a_comparison_comes_up_equally_often(
    drawn: list[Scene],
) -> None:
    tasks = [_compare(scene, i) for i, scene in enumerate(drawn)]
    places = Counter(task.options.index(task.answer) for task in tasks)
    assert sorted(places) == [0, 1, 2, 3]
    assert all(abs(n / NUM_SCENES - 0.25) < 0.04 for n in places.values())


def test_one_zoom_leaves_two_answers_of_a_comparison_open(drawn: list[Scene]) -> None:
    """Who has seen only the first sign is right about half of the time, with the best guess."""
    seen: dict[bool, Counter[int]] = {True: Counter(), False: Counter()}
    for i, scene in enumerate(drawn):
        task = _compare(scene, i)
        has_it = f" {scene.signs[0].stripes} " in task.question
        seen[has_it][task.options.index(task.answer)] += 1
    best = sum(counts.most_common(1)[0][1] for counts in seen.values())
    assert best / NUM_SCENES == pytest.approx(0.5, abs=0.04)
    assert set(seen[True]) == {0, 2}  # only the first, or both
    assert set(seen[False]) == {1, 3}  # only the second, or neither


def test_the_answer_of_a_comparison_is_true(drawn: list[Scene]) -> None:
    for i, scene in enumerate(drawn[:300]):
        task = _compare(scene, i)
        first, second = pick_compared(scene)
        asked = next(kind for kind in STRIPES if f" {kind} " in task.question)
        truth = (first.stripes == asked, second.stripes == asked)
        position = {(True, False): 0, (False, True): 1, (True, True): 2, (False, False): 3}[truth]
        assert task.answer == task.options[position]


def test_a_comparison_names_both_signs_and_needs_both_panels() -> None:
    task = _compare(_scene("vertical", "vertical"), 0)
    assert task.question == "Which has vertical stripes, the red disc or the blue disc?"
    assert task.options == ("the red disc", "the blue disc", "both", "neither")
    assert task.answer == "both"
    assert task.targets == (Box(86, 86, 114, 114), Box(286, 286, 314, 314))


def test_targets_lie_on_the_picture(drawn: list[Scene]) -> None:
    for i, scene in enumerate(drawn[:300]):
        picture = Box(0, 0, *scene.image.size)
        assert all(picture.covers(box) for box in _compare(scene, i).targets)
