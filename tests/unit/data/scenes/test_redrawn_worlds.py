"""Worlds whose answers can be drawn again: where every sign is, and how high the bars are."""

import random
from pathlib import Path

import pytest
from PIL import Image

from tests.builders import answer_turn, rollout, view
from vigorl.core.errors import ConfigError
from vigorl.core.rewards.matched_set import MatchedSetReward
from vigorl.core.rewards.scene_list import DescriptionReward
from vigorl.core.rewards.structured import read_items
from vigorl.core.rewards.words import per_target
from vigorl.data.scenes.draw import SceneSettings, draw_scene
from vigorl.data.scenes.redraw import RenderReward, bars_of, draw_chart
from vigorl.data.scenes.teacher import pointing_trace
from vigorl.data.scenes.variants.charts import Charts
from vigorl.data.scenes.variants.pointing import Pointing
from vigorl.data.scenes.world import MadeWorld


def test_the_exercise_that_the_start_knows_is_worth_all():
    scene = draw_scene(SceneSettings(num_clutter=0, num_occluders=0), seed=5)
    task = Pointing().ask(scene, rng=random.Random(0), comparison_frac=1.0, id="a", image="a.png")
    assert len(per_target(task, "labels", "x")) == len(task.targets) == len(scene.signs)
    trace = pointing_trace(scene, view(), random.Random(1), id="b").trace
    one = rollout(answer_turn(trace.answer, think=trace.steps[0].think), task=task)
    assert one.score == 1.0
    assert DescriptionReward(where="thoughts")(one) == 1.0
    points = MatchedSetReward(kind="points", where="thoughts")(one)
    drawn = RenderReward(where="thoughts")(one)
    assert points > 0.95  # a place of the text is four pixels wide
    assert 0.9 < drawn < 1

    first, *rest = scene.signs
    short = rollout(answer_turn(think=f"The {first.name} is at (0, 0). {len(rest)}"), task=task)
    assert DescriptionReward(where="thoughts")(short) == 0.0


def test_a_chart_that_is_read_right_is_the_picture_again(tmp_path: Path):
    few = {"num_train": 3, "num_val": 1, "num_test": 1}
    world = MadeWorld(root=str(tmp_path), variant=Charts(), **few)
    world.prepare()
    for task in world.load().train_tasks:
        one = rollout(answer_turn(task.answer), task=task)
        assert one.score == RenderReward(kind="chart")(one) == 1.0
        bars = bars_of(read_items(task.answer))
        with Image.open(task.images[0]) as drawn:
            assert drawn.convert("RGB") == draw_chart(bars, names=tuple(bars), top=10)
    with pytest.raises(ConfigError, match=r"data\.variant\.num_bars must be the fewest"):
        Charts(num_bars=(3, 2))
