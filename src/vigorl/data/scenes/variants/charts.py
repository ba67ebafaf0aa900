"""Bar charts instead of scenes: what is read off them can be drawn again and compared."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from vigorl.core.errors import ConfigError
from vigorl.core.records import TaskRecord
from vigorl.core.scoring import ItemsMatch, Scorer
from vigorl.data.scenes.draw import Scene, SceneSettings
from vigorl.data.scenes.redraw import draw_chart
from vigorl.data.scenes.variants.variant import Variant

FRUITS = ("apples", "pears", "plums", "figs", "limes", "dates")
TOP = 10  # value at the upper edge


@dataclass(frozen=True, slots=True)
class Chart(Scene):
    """A drawn chart and its bars, by name from the left."""

    bars: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Charts(Variant):
    """How high the bars of a chart are, from 1 to 9: "apples: 3; pears: 5".

    The question names the bars from the left and the value at the top, since nothing is written in
    the picture; the tag "top" is that value.

    Attributes:
        num_bars: Fewest and most bars, 1 to 6.
    """

    num_bars: tuple[int, int] = (2, 4)

    def __post_init__(self) -> None:
        object.__setattr__(self, "num_bars", tuple(self.num_bars))
        if len(self.num_bars) != 2 or not 1 <= self.num_bars[0] <= self.num_bars[1] <= len(FRUITS):
            raise ConfigError(
                f"data.variant.num_bars must be the fewest and the most bars, 1 to {len(FRUITS)}, "
                f"got {list(self.num_bars)}"
            )

    @property
    def scorer(self) -> Scorer:
        return ItemsMatch()

    def draw(
        self,
        settings: SceneSettings,
        *,
        seed: int,
        split: str,
        photographs: Sequence[Image.Image] = (),
    ) -> Chart:
        """The chart of a seed, without signs; settings of scenes and photographs are of no use."""
        rng = random.Random(f"{seed}/chart")
        names = rng.sample(FRUITS, rng.randint(*self.num_bars))
        bars = {name: rng.randint(1, TOP - 1) for name in names}
        return Chart(draw_chart(bars, names=names, top=TOP), (), bars)

    def ask(
        self, scene: Scene, *, rng: random.Random, comparison_frac: float, id: str, image: str
    ) -> TaskRecord:
        """All bars of a chart that `draw` has drawn."""
        assert isinstance(scene, Chart)
        names = ", ".join(scene.bars)
        return TaskRecord(
            id=id,
            question=f"The bars are {names} from the left, {TOP} is the top. How high is each?",
            answer="; ".join(f"{name}: {value}" for name, value in scene.bars.items()),
            images=(image,),
            category="chart",
            tags={"top": str(TOP)},
        )
