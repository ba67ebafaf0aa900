"""Two critiques of one solution, after the same dialog, crops included."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.unit.rollout.world import World
from vigorl.core.errors import ConfigError
from vigorl.core.records import TaskRecord, TraceRecord
from vigorl.core.trace import Step, ToolCall, Trace
from vigorl.data.flaws import Flawed, set_overlap
from vigorl.training.critic_pairs import CriticPairs


@dataclass
class Misled:
    """Looks away and answers wrongly."""

    world: World

    def of(self, task: TaskRecord) -> Flawed:
        call = ToolCall("search_coordinate", {"coordinate": [90, 90]})
        steps = (Step("The disc is at (90, 90).", call), Step("I see it."))
        solution = TraceRecord(task, Trace(steps, "blue"))
        return Flawed(solution, "The disc was not looked at.", "Each was looked at.")


def test_critiques_are_learned_from_after_the_same_dialog(world: World) -> None:
    pairs = CriticPairs(flaws=Misled(world), pairs_per_update=1, micro_batch_size=1, ask="Wrong?")
    ((chosen, rejected),) = pairs.read([world.task()], world.environment())
    texts = []
    for one in (chosen, rejected):
        assert len(one.views) == 2  # the picture and the crop
        first = one.loss_mask.index(1)
        assert all(one.loss_mask[first:])
        texts.append(world.codec.decode(one.token_ids[first:]))
        asked = world.codec.decode(one.token_ids[:first])
        assert "<answer> blue </answer>" in asked
        assert asked.index("Wrong?") > asked.index("<answer> blue </answer>")
    assert [text.partition(".")[0] for text in texts] == [
        "The disc was not looked at",
        "Each was looked at",
    ]
    assert (
        chosen.token_ids[: chosen.loss_mask.index(1)]
        == rejected.token_ids[: rejected.loss_mask.index(1)]
    )
    with pytest.raises(ConfigError, match="0 training questions do not fill one optimizer batch"):
        pairs.read([], world.environment())


def test_the_overlap_of_what_is_named_and_what_is_wrong() -> None:
    assert set_overlap([], []) == set_overlap(["a", "b"], ["b", "a"]) == 1.0
    assert set_overlap(["a"], ["a", "b"]) == 0.5
    assert set_overlap(["c"], []) == set_overlap(["c"], ["a"]) == 0.0
