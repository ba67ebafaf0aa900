"""Each rule on candidates that are small enough to count by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.builders import answer_turn, rollout, task, turn
from tests.unit.rollout.fake_judge import FakeJudge
from tests.unit.rollout.world import ANSWER, World
from vigorl.core.entropy_control import EntropyControl
from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box
from vigorl.core.protocols import SamplingParams
from vigorl.core.rollout import Rollout
from vigorl.core.scoring import NumberMatch, PointInBox
from vigorl.evaluation.rescoring import rescore
from vigorl.rollout.engines.entropy import EntropyTrack
from vigorl.rollout.engines.sampling import Sampler
from vigorl.rollout.engines.scripted import ScriptedEngine, by_turn
from vigorl.rollout.inference.choice import Choice
from vigorl.rollout.inference.entropy import Entropy
from vigorl.rollout.inference.majority import Majority
from vigorl.rollout.inference.medoid import Medoid
from vigorl.rollout.inference.rule import ask_by_rule, recorded_answers

OPEN: dict[str, Any] = {"options": ()}
NUMBER: dict[str, Any] = {"options": (), "answer": "7", "scorer": NumberMatch()}
POINT: dict[str, Any] = {"options": (), "scorer": PointInBox(Box(0, 0, 448, 448))}


def group(*answers: str | None, **fields: Any) -> list[Rollout]:
    """One rollout per answer; None is none."""
    about = task(**fields)
    turns = [turn("no tags") if one is None else answer_turn(one) for one in answers]
    return [rollout(one, task=about, group="g", index=i) for i, one in enumerate(turns)]


@pytest.mark.parametrize(
    ("candidates", "chosen", "saw"),
    [
        (group("blue", "red", "red"), 1, '"red" 2, "blue" 1'),
        (group("blue", "red", "red", "blue"), 0, '"blue" 2, "red" 2'),  # the first of as many
        (group("blue", "(A)", "Red."), 1, '"(A)" 2, "blue" 1'),  # A is red
        (group(None, None, "red"), 2, '"red" 1, no answer 2'),  # silence has no vote
        (group(None, None), 0, "no answer at all"),
        (group("A  cat.", "a dog", "a cat", **OPEN), 0, '"A cat." 2, "a dog" 1'),
        (group("3", "2", "2.0", **NUMBER), 1, '"2" 2, "3" 1'),  # whatever is right
        (group("many", "some", "many", **NUMBER), 0, '"many" 2, "some" 1'),  # no numbers: as texts
        (group("(1, 1)", "(2, 2)", "(2, 2)", **POINT), 1, '"(2, 2)" 2, "(1, 1)" 1'),  # all right
    ],
)
def test_a_majority(candidates: list[Rollout], chosen: int, saw: str) -> None:
    (ruling,) = Majority().rulings([candidates], [None])
    assert (ruling.chosen, ruling.saw) == (chosen, saw)
    assert len(ruling.marks) == len(candidates)


@pytest.mark.parametrize(
    ("answers", "chosen"),
    [
        (("(90, 90)", "(10, 10)", "(12, 10)", "(20, 10)"), 2),  # 3 near each; it is in the middle
        (("(90, 90)", "(10, 10)", None, "off"), 0),  # alone all of them: the first
        ((None, "(200, 5)"), 0),  # no point on the picture
    ],
)
def test_a_medoid(answers: tuple[str | None, ...], chosen: int) -> None:
    (ruling,) = Medoid().rulings([group(*answers, **POINT)], [None])
    assert ruling.chosen == chosen
    with pytest.raises(ConfigError, match="answers that are points; 'disc' is judged by Text"):
        Medoid().check([task()])


@pytest.mark.parametrize(
    ("reply", "chosen", "words", "fell_back"),
    [
        ("red", 1, 'chosen: "red"', 0.0),
        ("(B)", 1, 'chosen: "red"', 0.0),  # the second that was proposed
        ("green", 0, "chose none, the majority stands", 1.0),
        (None, 0, "chose none, the majority stands", 1.0),
    ],
)
def test_a_choice(reply: str | None, chosen: int, words: str, fell_back: float) -> None:
    candidates = group("blue", "red", "blue")
    said = rollout(turn("no tags") if reply is None else answer_turn(reply))
    (ruling,) = Choice().rulings([candidates], [said])
    assert (ruling.chosen, ruling.saw) == (chosen, f'"blue" 2, "red" 1; {words}')
    assert ruling.marks[0] == {"rule_fell_back": fell_back}


def test_letters_are_proposed_as_what_they_name() -> None:
    candidates = group("(B)", "A", "b")  # of red and blue
    (ruling,) = Choice().rulings([candidates], [rollout(answer_turn("A"))])
    assert ruling.chosen == 0  # the first that was proposed, which is B of the question
    asked: list[str] = []
    judge = FakeJudge(lambda prompt: asked.append(prompt.text) or "red")
    (ruling,) = Choice(judge=judge).rulings([candidates], [None])
    assert ruling.chosen == 1
    assert "(A) blue\n(B) red" in asked[0]


def test_the_policy_is_shown_what_differs_and_nothing_else(world: World) -> None:
    environment = world.environment(temperature=0.0)
    candidates = group("blue", "red", "blue", images=(world.picture,))
    dialog = Choice().asks(candidates, environment=environment)
    assert dialog is not None
    assert (dialog.task, dialog.group) == (candidates[0].task, "g, choice")
    assert dialog.next_request().sampling.temperature == 0.0
    assert not environment.prompt.options  # and yet they are listed
    shown = world.codec.decode(dialog.next_request().prompt_ids)
    assert "(A) blue\n(B) red" in shown
    assert Choice().asks(group("red", "red", None), environment=environment) is None
    judged = Choice(judge=FakeJudge(lambda prompt: "B"))
    assert judged.asks(candidates, environment=environment) is None


def test_a_judge_is_asked_where_answers_differ() -> None:
    asked: list[str] = []

    def reply(prompt: Any) -> str:
        asked.append(prompt.text)
        return "(B)"

    groups = [group("blue", "red", "blue"), group("red", "red", "red"), group(None, None, None)]
    found = Choice(judge=FakeJudge(reply)).rulings(groups, [None] * 3)
    assert [one.chosen for one in found] == [1, 0, 0]
    assert found[1].saw == '"red" 3: nothing to choose'
    (text,) = asked
    assert text.startswith("<image>\nWhat colour is the disc?")
    assert "(A) blue\n(B) red" in text


def test_of_what_is_recorded_the_answers_are_found_again() -> None:
    six = group("blue", "red", "red", "red", "blue", "red")
    environment: Any = None
    asked = ask_by_rule(lambda dialogs: six, Majority(num_answers=3), [], environment=environment)
    assert [asked.rollouts[i].answer for i in asked.chosen] == ["red", "red"]
    assert recorded_answers(asked.rollouts) == [(1, 0), (3, 1)]  # two answers to one question
    assert [one.answers for one in rescore(asked.rollouts)] == [("red", "red")]
    assert recorded_answers(six) == [(i, one.index) for i, one in enumerate(six)]


def test_entropy_turns_narrow_once_it_has_peaked() -> None:
    control = EntropyControl(high=2.0, low=0.5, smoothing=0.0, patience=2)
    track = EntropyTrack(control, 2, torch.device("cpu"))
    flat, sharp = torch.tensor([0.5, 0.5]), torch.tensor([0.9, 0.1])
    steps = [(sharp, flat), (flat, sharp), (sharp, flat), (sharp, flat)]
    found = [track.factors(torch.stack(step).log()).tolist() for step in steps]
    # the first row peaks at its second token, the second at its first and stays as high
    assert found == [[2.0, 2.0], [2.0, 2.0], [2.0, 0.5], [0.5, 0.5]]
    track.select(torch.tensor([1]))
    assert track.factors(flat.log()[None]).tolist() == [0.5]


def test_a_control_of_ones_samples_what_none_samples() -> None:
    logits, noise = torch.randn(3, 11), torch.rand(3, dtype=torch.float64)
    params, banned = [SamplingParams(8)] * 3, torch.zeros(11, dtype=torch.bool)
    ones = EntropyControl(high=1.0, low=1.0)
    plain, same = Sampler(params, banned=banned), Sampler(params, banned=banned, entropy=ones)
    for one, other in zip(plain.sample(logits, noise), same.sample(logits, noise), strict=True):
        assert torch.equal(one, other)


def test_an_engine_without_a_hold_on_its_logits_is_refused_by_name(world: World) -> None:
    engine = ScriptedEngine(by_turn([ANSWER]), world.codec)
    with pytest.raises(ConfigError, match="which ScriptedEngine does not give: set engine=hf"):
        Entropy().attach(engine)
