import pytest

from tests.builders import answer_turn, rollout, task
from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box, Point, Size
from vigorl.data.scenes.redraw import GROUND, RenderReward, draw_chart, draw_objects, likeness

SIGNS = task(
    targets=(Box(190, 70, 210, 90), Box(290, 270, 310, 290)),
    tags={"labels": "red disc; blue square"},
    options=(),
)
RIGHT = "red disc at (50, 20); blue square at (75, 70)"


def scene(answer: str) -> float:
    return RenderReward()(rollout(answer_turn(answer), task=SIGNS))


def chart(answer: str) -> float:
    bars = task(answer="apples: 3; pears: 6", options=())
    return RenderReward(kind="chart")(rollout(answer_turn(answer), task=bars))


def test_the_same_drawing_is_worth_all_and_another_less():
    assert scene(RIGHT) == 1.0
    assert scene("nothing") == 0.0
    assert scene("red disc at (10, 100)") == 0.0
    half = scene("red disc at (50, 20)")
    assert scene("green disc at (50, 20)") < half < 1
    assert scene(f"{RIGHT}; pink disc at (10, 100)") < 1  # what is not there costs
    assert half < scene("red disc at (50, 20); blue square at (77, 70)") < 1


def test_a_chart_is_compared_bar_by_bar():
    assert chart("pears: 6; apples: 3") == 1.0
    assert chart("") == 0.0
    assert 0 < chart("apples: 3") < chart("apples: 3; pears: 5") < 1
    assert chart("apples: 3; pears: 6; plums: 4") < 1
    assert chart("apples: many") == 0.0


def test_what_is_drawn():
    image = draw_objects([("a blue square", Point(10, 10))], size=Size(40, 40))
    assert (image.getpixel((10, 10)), image.getpixel((39, 39))) == ((40, 80, 220), GROUND)
    bars = draw_chart({"a": 5.0}, names=("a",), top=10.0)  # half of 168 px
    assert [bars.getpixel((112, y)) == GROUND for y in (80, 88)] == [True, False]
    assert likeness(image, image) == 1.0
    bare = draw_objects([], size=Size(4, 4))
    assert likeness(bare, bare) == 1.0


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ConfigError, match="kind must be one of scene, chart, got 'map'"):
        RenderReward(kind="map")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="needs bars such as 'apples: 3; pears: 5'"):
        RenderReward(kind="chart")(rollout())
