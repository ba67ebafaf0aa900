import random

from tests.builders import answer_turn, rollout, view
from vigorl.core.rewards.matched_set import MatchedSetReward
from vigorl.core.rewards.scene_list import DescriptionReward
from vigorl.core.rewards.words import per_target
from vigorl.data.scenes.draw import SceneSettings, draw_scene
from vigorl.data.scenes.redraw import RenderReward
from vigorl.data.scenes.teacher import pointing_trace
from vigorl.data.scenes.variants.pointing import Pointing


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
