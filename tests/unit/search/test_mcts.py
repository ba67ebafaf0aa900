from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Point
from vigorl.core.search_tree import SearchNode, SearchRollout
from vigorl.search.mcts import Job, JobKind, SearchSettings, Thought, TreeSearch

RIGHT, WRONG = SearchRollout("red", 1.0, ("so",)), SearchRollout("blue", 0.0, ("hm",))
Answers = Callable[[Job], Thought | SearchRollout]


def at(x: float, y: float = 0.0) -> Thought:
    return Thought(f"look at ({x}, {y})", (Point(x, y),))


def end(answer: str, reward: float) -> Thought:
    return Thought(f"it is {answer}", (), answer, reward)


class Places:
    """A new point for every thought, and the same outcome for every rollout."""

    def __init__(self, outcome: SearchRollout = RIGHT) -> None:
        self.outcome, self.asked = outcome, list[Job]()

    def __call__(self, job: Job) -> Thought | SearchRollout:
        self.asked.append(job)
        return at(len(self.asked)) if job.kind is JobKind.THOUGHT else self.outcome


def grow(settings: SearchSettings, answers: Answers, *, order: int | None = None) -> TreeSearch:
    """To the end; jobs are answered as they come, or in a random order."""
    search, waiting = TreeSearch(settings, question="q"), list[Job]()
    while not search.is_done:
        waiting += search.jobs()
        if order is not None:
            random.Random(order + len(waiting)).shuffle(waiting)
        job = waiting.pop(0)
        search.tell(job.id, answers(job))
    assert not waiting
    return search


def test_one_simulation_asks_for_children_then_for_rollouts_from_each() -> None:
    search = TreeSearch(SearchSettings(num_simulations=1), question="q")
    first = search.jobs()
    assert [(job.id, job.kind, job.source) for job in first] == [
        (f"n0c{i}.0", JobKind.THOUGHT, "") for i in range(3)
    ]
    assert search.jobs() == []
    search.tell("n0c1.0", at(2))
    assert search.jobs() == []  # an earlier sibling may yet name the same place
    search.tell("n0c0.0", at(1))
    assert [(job.id, job.source) for job in search.jobs()] == [
        ("n1r0", "n0c0.0"), ("n1r1", "n0c0.0"), ("n2r0", "n0c1.0"), ("n2r1", "n0c1.0"),
    ]  # fmt: skip
    search.tell("n0c2.0", at(3))
    assert [job.id for job in search.jobs()] == ["n3r0", "n3r1"]
    outcomes = {"n1r0": RIGHT, "n1r1": WRONG, "n2r0": WRONG, "n2r1": WRONG, "n3r0": RIGHT}
    for job_id, outcome in outcomes.items():
        search.tell(job_id, outcome)
    assert not search.is_done
    search.tell("n3r1", RIGHT)
    assert search.is_done
    root = search.tree()
    assert (root.text, root.num_visits, root.value) == ("q", 6, 0.5)
    assert [(c.num_visits, c.value) for c in root.children] == [(2, 0.5), (2, 0.0), (2, 1.0)]
    assert root.children[0].rollouts == (RIGHT, WRONG)
    assert root.children[1].used_points == (Point(2, 0),)
    assert (search.solved_at, search.num_simulations) == (1, 1)


def test_the_next_simulation_goes_where_ucb_is_highest() -> None:
    outcomes = {"n1": WRONG, "n2": RIGHT, "n3": WRONG}
    places = Places()

    def answers(job: Job) -> Thought | SearchRollout:
        return outcomes.get(job.id.partition("r")[0], places(job)) if "r" in job.id else places(job)

    # equal visits: exploration is the same for all three, so the value decides
    search = grow(SearchSettings(num_simulations=2, solved_after=0, hopeless_after=0), answers)
    root = search.tree()
    assert [len(child.children) for child in root.children] == [0, 3, 0]
    assert root.children[1].num_visits == 2 + 6
    # 12 visits of the root: 1.0 + 2 sqrt(ln 13 / 9) against 0 + 2 sqrt(ln 13 / 3)
    assert 1 + 2 * math.sqrt(math.log(13) / 9) > 2 * math.sqrt(math.log(13) / 3)
    third = grow(
        SearchSettings(num_simulations=3, solved_after=0, hopeless_after=0), answers
    ).tree()
    assert [len(child.children) for child in third.children] == [0, 3, 0]
    curious = grow(
        SearchSettings(num_simulations=3, solved_after=0, hopeless_after=0, exploration=9.0),
        answers,
    )
    assert [len(child.children) for child in curious.tree().children] == [3, 3, 0]


def test_a_point_that_was_spoken_of_is_asked_for_again_and_then_dropped() -> None:
    thoughts = iter([at(1), at(1), at(1), at(2), at(3)])
    search = grow(
        SearchSettings(num_simulations=1, num_retries=2),
        lambda job: next(thoughts) if job.kind is JobKind.THOUGHT else WRONG,
    )
    # n0c0: 1. n0c1: 1, then 2 (in which order the two ask does not matter). n0c2: 1, then 3
    assert [child.used_points[0].x for child in search.tree().children] == [1, 2, 3]
    assert search.num_repeats == 2
    same = grow(
        SearchSettings(num_simulations=1, num_retries=1),
        lambda job: at(7) if job.kind is JobKind.THOUGHT else WRONG,
    )
    assert len(same.tree().children) == 1
    assert same.num_repeats == 4  # two siblings, two tries each


def test_near_points_are_the_same_within_the_setting() -> None:
    thoughts = {"n0c0.0": at(10, 10), "n0c1.0": at(12, 12), "n0c2.0": at(13, 10)}
    settings = SearchSettings(num_simulations=1, num_retries=0, near_px=2)
    search = grow(settings, lambda job: thoughts.get(job.id, WRONG))
    assert [child.used_points[0].x for child in search.tree().children] == [10, 13]


def test_what_cannot_be_read_is_asked_for_again() -> None:
    settings = SearchSettings(num_simulations=1, num_children=1)
    bad = Thought("(1, 2)(", (Point(1, 2),), is_readable=False)
    thoughts = {"n0c0.0": bad, "n0c0.1": Thought("no place named"), "n0c0.2": at(5)}
    search = grow(settings, lambda job: thoughts.get(job.id, WRONG))
    assert [child.text for child in search.tree().children] == [at(5).text]


def test_a_terminal_child_counts_once_and_is_not_rolled_out() -> None:
    thoughts = {"n0c0.0": end("red", 1.0), "n0c1.0": end("blue", 0.0), "n0c2.0": at(1)}
    search = grow(SearchSettings(num_simulations=1), lambda job: thoughts.get(job.id, WRONG))
    red, blue, look = search.tree().children
    assert red.is_terminal
    assert red.rollouts == (SearchRollout("red", 1.0, ()),)
    assert (red.num_visits, blue.value, look.num_visits) == (1, 0.0, 2)


def test_a_tree_in_which_nothing_is_left_ends_early() -> None:
    search = grow(SearchSettings(), lambda job: end("red", 1.0))
    assert search.num_simulations == 1
    stuck = grow(SearchSettings(), lambda job: Thought("nowhere"))
    assert (stuck.num_simulations, stuck.tree().children) == (1, ())


def test_a_subtree_that_always_ends_alike_is_not_gone_into_again() -> None:
    # all rollouts of the tree are right: 6 after one simulation, 12 after two
    assert grow(SearchSettings(solved_after=8), Places()).num_simulations == 2
    assert grow(SearchSettings(hopeless_after=8), Places(WRONG)).num_simulations == 2
    assert grow(SearchSettings(hopeless_after=13), Places(WRONG)).num_simulations == 3
    on = grow(SearchSettings(solved_after=0, hopeless_after=0, num_simulations=5), Places())
    assert on.num_simulations == 5


def test_a_tree_does_not_depend_on_the_order_of_answers() -> None:
    def answers(job: Job) -> Thought | SearchRollout:
        rng = random.Random(job.id)
        if job.kind is JobKind.ROLLOUT:
            return RIGHT if rng.random() < 0.4 else WRONG
        return end("red", 1.0) if rng.random() < 0.1 else at(rng.randrange(12), rng.randrange(3))

    settings = SearchSettings(num_simulations=12)
    trees: set[SearchNode] = {grow(settings, answers, order=order).tree() for order in range(20)}
    assert len(trees) == 1
    assert len(list(next(iter(trees)).walk())) > 20


def test_visits_and_values_are_those_of_the_rollouts_below() -> None:
    def answers(job: Job) -> Thought | SearchRollout:
        rng = random.Random(job.id)
        if job.kind is JobKind.THOUGHT:
            return at(rng.random(), rng.random())
        return RIGHT if rng.random() < 0.5 else WRONG

    for node in grow(SearchSettings(solved_after=0, hopeless_after=0), answers).tree().walk():
        below = [r for one in node.walk() for r in one.rollouts]
        assert node.num_visits == len(below)
        assert node.value == pytest.approx(sum(r.reward for r in below) / len(below))


def test_without_children_the_question_itself_is_rolled_out() -> None:
    tries = iter([WRONG, WRONG, WRONG, RIGHT, WRONG, WRONG])
    search = grow(SearchSettings(num_children=0, num_simulations=3), lambda job: next(tries))
    root = search.tree()
    assert (root.children, len(root.rollouts), root.num_visits) == ((), 6, 6)
    assert (search.solved_at, search.num_simulations) == (2, 3)
    assert root.value == pytest.approx(1 / 6)
    sure = grow(SearchSettings(num_children=0, solved_after=4), lambda job: RIGHT)
    assert sure.num_simulations == 20  # so many were asked for


def test_an_answer_of_the_wrong_kind_or_to_no_job_is_an_error() -> None:
    search = TreeSearch(SearchSettings(), question="q")
    (job, *_) = search.jobs()
    with pytest.raises(TypeError, match="asked for a thought"):
        search.tell(job.id, RIGHT)
    with pytest.raises(KeyError):
        search.tell("n9r0", RIGHT)


@pytest.mark.parametrize(
    "setting",
    [{"num_children": -1}, {"num_simulations": 0}, {"num_rollouts": 0}, {"exploration": -1}],
)
def test_settings_that_cannot_work_are_refused(setting: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=rf"search\.{next(iter(setting))}"):
        SearchSettings(**setting)
