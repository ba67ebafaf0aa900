"""The probes of papers' rewards and gates, on a scripted engine: what they ask, what they find."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import pytest

from tests import builders
from tests.unit.rollout.world import ANSWER, ZOOM, World
from vigorl.core.errors import ConfigError
from vigorl.core.media import GREY, Fill
from vigorl.core.protocols import GenerationRequest
from vigorl.core.records import TaskRecord
from vigorl.core.trace import FINAL_THOUGHT, open_answer, open_call, render_answer_turn
from vigorl.data.checklists import TaggedChecklist
from vigorl.rollout.collector import build_dialogs, collect
from vigorl.rollout.engines.scripted import ScriptedEngine, turn_number
from vigorl.rollout.judge import JudgePrompt
from vigorl.rollout.probes.caption_answer import CaptionAnswer
from vigorl.rollout.probes.checklist import Checklist
from vigorl.rollout.probes.critique import Critique, LookCritic
from vigorl.rollout.probes.facts_judge import FactsJudge
from vigorl.rollout.probes.probe import Probe, Schedule, Taught, ask_probes
from vigorl.rollout.probes.tool_need import ToolNeed

FIRST_THOUGHT = "Something is at (50, 20)."  # that of ZOOM
THE_REST = "the rest"  # of ZOOM, as far as it was not put into the policy's mouth
BLUE = render_answer_turn("It is the disc.", "blue")


class Probed:
    """Rollouts that look once and answer "red", probed; the probe's requests with their texts."""

    def __init__(
        self,
        world: World,
        probe: Probe,
        replies: dict[str, str],
        *,
        task: TaskRecord | None = None,
        own: Sequence[str] = (ZOOM, ANSWER),
        group_size: int = 1,
    ) -> None:
        self.requests: list[GenerationRequest] = []
        self.texts: list[str] = []
        self.taught: list[Taught] = []

        def reply(request: GenerationRequest) -> str:
            if request.id.count("/") == 3:  # val/task/0/turn
                return own[turn_number(request) - 1]
            self.requests.append(request)
            self.texts.append(world.codec.decode(request.prompt_ids))
            said = next(text for name, text in replies.items() if name in request.id)
            if said != THE_REST:
                return said
            given = max(i for i in range(len(ZOOM)) if self.texts[-1].endswith(ZOOM[:i]))
            return ZOOM[given:]

        engine, environment = ScriptedEngine(reply, world.codec), world.environment()
        dialogs = build_dialogs(
            environment, [task or world.task()], group_size=group_size, phase="val", run_seed=0
        )
        alone = collect(engine, dialogs, phase="val").rollouts
        self.rollouts = ask_probes(
            lambda asked: collect(engine, asked, phase="val, probes").rollouts,
            [probe],
            alone,
            environment=environment,
            taught=self.taught,
        )
        assert [replace(one, probes={}) for one in self.rollouts] == alone

    @property
    def found(self) -> list[dict[str, float]]:
        return [dict(one.probes) for one in self.rollouts]


def test_a_description_answers_without_the_picture(world: World) -> None:
    first = Probed(world, CaptionAnswer(), {"caption_answer": " red </answer>"})
    assert first.found == [{"caption_answer": 1.0}]
    assert first.texts[0].endswith(open_answer(FIRST_THOUGHT))
    assert "The colour of disc?" in first.texts[0]
    assert first.requests[0].views == ()
    assert first.requests[0].sampling.temperature == 0.0
    last = Probed(
        world,
        CaptionAnswer(thought="last", picture="grey"),
        {"caption_answer": " blue </answer>"},
    )
    assert last.found == [{"caption_answer": 0.0}]
    assert last.texts[0].endswith(open_answer("It is the disc."))
    (shown,) = last.rollouts[0].prompt_views
    assert last.requests[0].views == (shown.edited(Fill(rgb=GREY)),)
    assert Probed(world, CaptionAnswer(), {}, own=["no tags"]).found == [{}]
    with pytest.raises(ConfigError, match="one of first, last"):
        CaptionAnswer(thought="middle")


def test_a_call_is_forced_and_forbidden(world: World) -> None:
    replies = {
        "need_without": " blue </answer>",
        "need_with/0/1": THE_REST,
        "need_with/0/2": ANSWER,
    }
    asked = Probed(world, ToolNeed(num_each=1), replies, group_size=2)
    assert asked.found == [{"tool_need_with": 1.0, "tool_need_without": 0.0}, {}]
    texts = dict(zip((one.id for one in asked.requests), asked.texts, strict=True))
    opened = texts["val/disc/tool_need_with/0/1"].partition(open_call(FIRST_THOUGHT))[2]
    assert opened.startswith('\n{"name": "search_coordinate"')
    assert not any(map(str.isdigit, opened))  # the place is the policy's
    assert texts["val/disc/tool_need_without/0/1"].endswith(open_answer(FIRST_THOUGHT))
    after = next(one for one in asked.requests if one.id.endswith("with/0/2"))
    assert after.views == asked.rollouts[0].views  # it looked, and went on
    assert {one.sampling.temperature for one in asked.requests} == {1.0}
    seeds = {one.seed for one in asked.requests if one.id.endswith("/1")}
    assert len(seeds) == 2
    silent = Probed(world, ToolNeed(), replies, own=["no tags"])
    assert any(text.endswith(open_answer(FINAL_THOUGHT)) for text in silent.texts)
    with pytest.raises(ConfigError, match="num_each must be a whole number from 1 on"):
        ToolNeed(num_each=0)


@pytest.mark.parametrize(
    ("said", "share"), [("1. red\n2) round", 1.0), ("red", 0.5), ("round\nred", 0.0), ("", 0.0)]
)
def test_a_checklist_in_one_prompt(world: World, said: str, share: float) -> None:
    task = replace(world.task(), tags={"checklist": "Which colour? => red; Which shape? => round"})
    probe = Checklist(items=TaggedChecklist(), coef=0.1)
    asked = Probed(world, probe, {"checklist_0": f"{said}</answer>"}, task=task, group_size=2)
    assert [(one.asked, one.coef, one.scored.reward.total) for one in asked.taught] == [
        (0, 0.1, share),
        (1, 0.1, share),
    ]
    assert len({one.scored.rollout.group for one in asked.taught}) == 1
    assert asked.found == [{"checklist": share}] * 2
    assert "\n1. Which colour?\n2. Which shape?" in asked.texts[0]
    assert asked.texts[0].endswith("<answer>")
    assert len({one.seed for one in asked.requests}) == 2
    assert Probed(world, probe, {}).found == [{}]  # a task without a list


def test_a_checklist_of_questions_by_themselves(world: World) -> None:
    task = replace(world.task(), tags={"checklist": "Red? => yes; Green? => no"})
    replies = {"checklist_0/0/1": ZOOM, "checklist_0/0/2": render_answer_turn("So.", "yes")}
    replies |= {"checklist_1": render_answer_turn("So.", "yes")}
    asked = Probed(world, Checklist(items=TaggedChecklist(), one_prompt=False), replies, task=task)
    assert asked.found == [{"checklist": 0.5}]
    assert len(asked.requests) == 3
    assert asked.taught == []  # without a coefficient


def test_a_second_answer_after_a_critique(world: World) -> None:
    away = builders.call_text(90, 90)
    replies = {"critique/0/3": ZOOM, "critique/0/4": ANSWER}
    asked = Probed(world, Critique(critic=LookCritic()), replies, own=[away, BLUE])
    assert asked.found == [{"critique_score": 1.0, "critique_gain": 1.0}]
    said = "<observation>\nNo look shows what is asked about. It is at (50, 20).\n</observation>"
    assert said in asked.texts[0]
    assert asked.texts[0].index(BLUE) < asked.texts[0].index(said)
    lucky = Probed(world, Critique(critic=LookCritic()), {"critique": BLUE}, own=[away, ANSWER])
    assert lucky.found == [{"critique_score": 0.0, "critique_gain": -1.0}]
    assert Probed(world, Critique(critic=LookCritic()), replies).found == [{}]  # nothing to say
    assert LookCritic(says_where=False)(asked.rollouts[0]) == "No look shows what is asked about."


@dataclass
class Says:
    """A judge by heart; None is no reply."""

    replies: list[str]
    prompts: list[str] = field(default_factory=list)

    def submit(self, prompt: JudgePrompt) -> Future[str]:
        self.prompts.append(prompt.text)
        future: Future[str] = Future()
        future.set_result(self.replies[len(self.prompts) - 1])
        return future


def test_a_judge_says_which_facts_are_stated(world: World) -> None:
    judge = Says(["2", "no idea", "none"])
    prompt = "F:\n{facts}\nT:\n{thoughts}"
    task = replace(world.task(), tags={"facts": "red; round"})
    probe = FactsJudge(judge, prompt=prompt)
    asked = Probed(world, probe, {}, task=task, group_size=3)
    assert asked.found == [{"facts_judge": 0.5}, {}, {"facts_judge": 0.0}]
    assert judge.prompts[0].startswith("F:\n1. red\n2. round\nT:\nSomething is at (50, 20).")
    some = Probed(
        world,
        FactsJudge(Says(["1"]), prompt=prompt, schedule=Schedule(num_rollouts=1)),
        {},
        task=task,
        group_size=2,
    )
    assert some.found == [{"facts_judge": 0.5}, {}]
    with pytest.raises(ConfigError, match=r"must have \{thoughts\}"):
        FactsJudge(judge, prompt="{facts}")
