"""The page of rollouts: what it shows, that no policy text breaks it, and that it stays small."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests import builders
from tests.unit.pages.conftest import at
from tests.unit.pages.outline import Outline
from vigorl.core.contrast import Contrast
from vigorl.core.geometry import Box, Point, Size
from vigorl.core.media import FileImage, ImageView, Region
from vigorl.core.rollout import RewardBreakdown, Rollout, ScoredRollout, StopReason
from vigorl.core.trace import FORCED_ANSWER_PREFIX
from vigorl.data.images import ImageStore
from vigorl.pages.rollouts import (
    WORST_AND_BEST,
    pick_groups,
    pick_worst_and_best,
    render_rollout_page,
)


def scored(rollout: Rollout, total: float = 0.8, advantage: float = 0.0) -> ScoredRollout:
    parts = {"accuracy": 1.0, "format": 0.5}
    return ScoredRollout(rollout, RewardBreakdown(total, parts), advantage)


def page_of(store: ImageStore, *rollouts: Rollout, **settings: object) -> str:
    group = [scored(replace(rollout, index=i)) for i, rollout in enumerate(rollouts)]
    settings = {"title": "train/3"} | settings
    return render_rollout_page([group], images=store, **settings)  # type: ignore[arg-type]


def test_shows_question_words_crop_and_reward(store: ImageStore, picture: str):
    outline = Outline(page_of(store, at(picture, builders.rollout())))
    for words in (
        "What colour is the disc?",
        "Something is at (50, 20).",
        '{"name": "search_coordinate", "arguments": {"coordinate": [50, 20]}}',
        "at (200, 80) · 112×112 px · ● target inside",
        "448×448 px original, the policy sees 112×112 px",
        "✓ red",
        "0.80",
        "policy v0",
    ):
        assert words in outline.text
    assert outline.tags["article"] == 1
    assert outline.tags["img"] == 1  # the crop
    assert outline.tags["image"] == 1  # the whole picture, which the rollout's own drawing reuses
    assert outline.tags["use"] == 1


def test_shows_what_probes_have_found(store: ImageStore, picture: str):
    probes = Contrast(1.0, 0.25, True).numbers("crop_black") | {"steadiness": 0.5}
    probes |= Contrast(1.0, 1.0, False).numbers("chain_answer")
    outline = Outline(page_of(store, at(picture, builders.rollout(probes=probes))))
    for words in (
        "crop_black1.00 → 0.25other answer",
        "chain_answer1.00 → 1.00same answer",
        "steadiness0.50",
    ):
        assert words in outline.text
    assert len(outline.of_class("probes")) == 1
    assert not Outline(page_of(store, at(picture, builders.rollout()))).of_class("probes")


def test_shows_which_candidate_a_rule_took(store: ImageStore, picture: str):
    marks = [{"rule_chosen": float(i == 1), "rule_votes": 2.0} for i in range(3)]
    outline = Outline(page_of(store, *(at(picture, builders.rollout(probes=m)) for m in marks)))
    assert len(outline.of_class("chosen")) == 2  # in the table, and over its turns
    assert "rule_votes2.00" in outline.text
    assert "rule_chosen1.00" not in outline.text
    assert not outline.of_class("adv")  # candidates are no group


def test_stands_alone(store: ImageStore, picture: str):
    page = page_of(store, at(picture, builders.rollout()), at(picture, builders.rollout()))
    Outline(page).assert_stands_alone()
    assert "url(" not in page
    assert "prefers-color-scheme: dark" in page


@pytest.mark.parametrize(
    "evil",
    [
        "</article><script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "</style></details></think> <b>&amp; </answer> <answer> <i>",
        "<!-- {{ 1 }} {% if %}",
        "\x00\x1b[2J \ud800 \u202e desrever",
        "",
    ],
)
def test_no_text_is_ever_more_than_text(store: ImageStore, picture: str, evil: str):
    def tags(words: str) -> Counter[str]:
        task = builders.task(
            id=words, question=words, options=("red", words), category=words, source=words
        )
        turns = (
            builders.zoom_turn(think=words, observation=f"<observation>{words}</observation>"),
            builders.turn(f"<tool_call>{words}</tool_call>{words}", tool_error=words or "x"),
            builders.answer_turn(words),
        )
        one = builders.rollout(*turns, task=task, group=words, stop_reason=StopReason.ANSWERED)
        page = page_of(store, at(picture, one), metrics={words: 1.0})
        page.encode("utf-8")  # no lone surrogate is left
        assert not set("\x00\x1b\u202e") & set(page)
        return Outline(page).tags

    found = tags(evil)
    assert found["script"] == 0
    assert found["img"] == 1  # what the zoom showed
    if not any(tag in evil for tag in ("answer", "think")) and evil:
        assert found == tags("plain words")


def test_a_hostile_file_name_is_only_a_name(store: ImageStore, picture: str):
    name = str(Path(picture).with_name('"><script>alert(1)<.png'))
    Image.new("RGB", (448, 448)).save(name)
    rollout = at(name, builders.rollout(task=builders.task(source=name)))
    outline = Outline(page_of(store, rollout, title=name))
    assert outline.tags["script"] == 0
    assert name in outline.text


def test_tool_errors_and_broken_grammar_are_flagged(store: ImageStore, picture: str):
    turns = (builders.refused_turn(), builders.turn("no tags at all"))
    rollout = builders.rollout(*turns, stop_reason=StopReason.NO_ACTION)
    page = page_of(store, at(picture, rollout))
    assert "⚠ tool error: point (999, 20) is outside the picture" in Outline(page).text
    assert "⚠ no_think: the turn must open with a &lt;think&gt; block" in page
    assert '<span class="flag">no_action</span>' in page
    assert 'block-outside"> no tags at all' in re.sub(r"\s+", " ", page)


def test_forced_words_are_set_apart(store: ImageStore, picture: str):
    forced = builders.turn(f"{FORCED_ANSWER_PREFIX} red </answer>", prefix_ids=(5, 6))
    page = page_of(store, at(picture, builders.rollout(builders.zoom_turn(), forced)))
    start = page.index('<div class="forced"')
    assert "Based on all the information" in page[start : page.index("</div>", start)]
    assert " red " not in page[start : page.index("</div>", start)]
    assert page.count("Based on all the information") == 1


def test_long_text_is_folded(store: ImageStore, picture: str):
    words = "look " * 400
    turns = (builders.zoom_turn(think=words), builders.answer_turn())
    page = page_of(store, at(picture, builders.rollout(*turns)))
    assert "(1999 characters)" in page
    assert Outline(page).tags["details"] == 2  # this one and the metrics


def test_metrics_of_the_phase_are_told_from_those_of_the_page(store: ImageStore, picture: str):
    rollout = at(picture, builders.rollout())
    assert "All metrics of the rollouts on this page" in page_of(store, rollout)
    page = page_of(store, rollout, metrics={"rollout/accuracy": 0.125, "kl/x": 0.25})
    assert "All metrics of the whole phase" in page
    assert "<dt>accuracy</dt><dd>12 %</dd>" in page
    assert "kl/x" in page


def test_a_rollout_alone_has_no_spread_and_no_advantage(store: ImageStore, picture: str):
    one = at(picture, builders.rollout())
    alone, two = page_of(store, one), page_of(store, one, one)
    assert ("±" in alone, "advantage</" in alone) == (False, False)
    assert ("±" in two, "advantage</" in two) == (True, True)


def test_a_page_says_how_its_rollouts_were_chosen(store: ImageStore):
    page = render_rollout_page([], images=store, title="x", chosen=WORST_AND_BEST)
    assert "0 rollouts: those of lowest and of highest reward" in Outline(page).text


def test_votes_count_letters_and_texts_as_one_option(store: ImageStore, picture: str):
    answers = ("red", "(A)", "blue", "B", "green")
    rollouts = [at(picture, builders.rollout(builders.answer_turn(text))) for text in answers]
    text = Outline(page_of(store, *rollouts)).text
    assert "2 of 5 right" in text
    assert "✓ red 2 blue 2 green 1" in re.sub(
        r"(?<=[a-z])(?=\d)|(?<=\d)(?=[a-z])|(?<=✓)", " ", text
    )


def test_of_many_options_only_the_chosen_and_the_right_are_shown(store: ImageStore, picture: str):
    many = tuple(f"answer {letter}" for letter in "abcdefghij")
    task = builders.task(options=many, answer="answer c")
    chose = builders.rollout(builders.answer_turn("answer e"), task=task)
    text = Outline(page_of(store, at(picture, chose))).text
    assert "answer c" in text
    assert "answer e" in text
    assert "answer d" not in text


@pytest.mark.parametrize("groups", [[], [[]]])
def test_nothing_to_show_is_still_a_page(store: ImageStore, groups: list[list[ScoredRollout]]):
    assert (
        "0 groups, 0 rollouts" in Outline(render_rollout_page(groups, images=store, title="x")).text
    )


def test_task_without_picture_or_with_two(store: ImageStore, picture: str):
    words_only = replace(builders.rollout(builders.answer_turn()), prompt_views=())
    assert "no picture" in page_of(store, words_only, metrics={})
    one = at(picture, builders.rollout())
    other = str(Path(picture).with_name("other.png"))
    Image.new("RGB", (300, 200)).save(other)
    further = ImageView(FileImage(other), Size(300, 200), builders.RESIZED)
    two = replace(one, prompt_views=(*one.prompt_views, further))
    assert page_of(store, two).count("further picture of the prompt") == 1


def test_each_look_is_drawn_on_the_picture_it_belongs_to(store: ImageStore, picture: str):
    other = str(Path(picture).with_name("second.png"))
    Image.new("RGB", (448, 448), "#204020").save(other)
    first, second = builders.view(), replace(builders.view(), source=FileImage(other))
    first = replace(first, source=FileImage(picture))
    box = Box(224, 0, 448, 224)
    crop = replace(second, box=box)
    turns = (
        builders.turn(
            builders.call_text(50, 20),
            observation="<observation> Left: <image> Right: <image> Which? </observation>",
            views=(first, crop),
            focus=Region(Point(300, 100), box, picture=1),
        ),
        builders.turn("<think> Read. </think>", observation="<observation> 42 </observation>"),
        builders.answer_turn(think="Done."),
    )
    outline = Outline(page_of(store, builders.rollout(*turns, prompt_views=(first, second))))
    # of the group and of the rollout, both pictures each; they are embedded once
    assert outline.tags["image"] == outline.tags["use"] == 2
    assert outline.tags["img"] == 2  # the two views
    drawn = [
        attrs["transform"]
        for tag, attrs in outline.elements
        if tag == "g" and attrs.get("class") == "spot" and attrs["transform"]
    ]
    assert [one.split(" scale")[0] for one in drawn if "(12 12)" not in one] == [
        "translate(300.0 100.0)",  # group, second picture
        "translate(200.0 80.0)",  # the thought names a place on the first
        "translate(300.0 100.0)",  # the tool looked at the second
    ]
    words = "Left: 1 all of the picture · ○ no target Right: 2 at (300, 100) · 224×224 px"
    assert words in outline.text
    assert "<observation> 42 </observation>" in outline.text


def test_four_groups_of_eight_photographs_stay_under_four_megabytes(
    store: ImageStore, tmp_path: Path
):
    rng = random.Random(0)
    groups = []
    for number in range(4):
        path = tmp_path / f"{number}.png"
        # grain over soft shapes: about what a photograph costs as JPEG
        grain = Image.effect_noise((448, 448), 40)
        soft = Image.effect_noise((14, 14), 120).resize((448, 448), Image.Resampling.BICUBIC)
        Image.merge("RGB", (soft, Image.blend(soft, grain, 0.3), soft)).save(path)
        rollouts = []
        for index in range(8):
            zooms = [builders.zoom_turn(rng.randrange(112), rng.randrange(112)) for _ in range(4)]
            big = [
                replace(turn, views=(replace(turn.views[0], size=builders.ORIGINAL),))
                for turn in zooms
            ]
            one = builders.rollout(*big, builders.answer_turn(), index=index, group=str(number))
            rollouts.append(scored(at(str(path), one)))
        groups.append(rollouts)
    page = render_rollout_page(groups, images=store, title="size")
    assert page.count("<img") == 4 * 8 * 4
    assert len(page.encode()) < 4_000_000


def group_of(name: str, *totals: float) -> list[ScoredRollout]:
    return [scored(builders.rollout(group=name, index=i), total) for i, total in enumerate(totals)]


def test_picks_spread_then_best_then_worst():
    groups = {
        "flat": group_of("flat", 0.5, 0.5),
        "best": group_of("best", 0.9, 1.0),
        "wide": group_of("wide", 0.0, 1.0),
        "worst": group_of("worst", 0.0, 0.1),
        "half": group_of("half", 0.2, 0.9),
    }
    everything = [one for group in groups.values() for one in group]
    random.Random(0).shuffle(everything)
    # spread: wide .5, half .35; mean: best .95, half .55; worst .05
    picked = pick_groups(everything, 4)
    assert [group[0].rollout.group for group in picked] == ["wide", "best", "worst", "half"]
    assert picked[0] == groups["wide"]  # in the order of the indices
    assert len(pick_groups(everything, 99)) == 5
    assert pick_groups([], 3) == []


def test_picks_the_worst_and_the_best():
    groups = {name: group_of(name, low, 1.0) for name, low in (("a", 0.9), ("b", 0.0), ("c", 0.5))}
    everything = [one for group in groups.values() for one in group]
    alone = pick_worst_and_best(everything, 3)
    assert [[one.reward.total for one in group] for group in alone] == [[0.0], [0.5], [1.0]]
    # an episode is shown whole, its steps in order
    assert pick_worst_and_best(everything, 2, whole_groups=True) == [groups["b"], groups["a"]]
    assert len(pick_worst_and_best(everything, 9, whole_groups=True)) == 3


def test_rollouts_without_a_group_are_grouped_by_task():
    ungrouped = [scored(builders.rollout(task=builders.task(id=name))) for name in "aab"]
    assert [len(group) for group in pick_groups(ungrouped, 5)] == [2, 1]
