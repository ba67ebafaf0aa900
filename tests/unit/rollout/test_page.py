"""The page of rollouts: what it shows, that no policy text breaks it, and that it stays small."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from transformers import Qwen2VLImageProcessorPil

from tests import builders
from vigorl.core.geometry import Box, Point
from vigorl.core.media import FileImage, ImageView
from vigorl.core.records import AnswerKind
from vigorl.core.rollout import RewardBreakdown, Rollout, ScoredRollout, StopReason, Turn
from vigorl.core.trace import FORCED_ANSWER_PREFIX
from vigorl.data.images import ImageStore
from vigorl.rollout.page import pick_groups, render_page, rollout_picture
from vigorl.rollout.picture import RIGHT, MarkKind, rollout_marks

VOID = {"meta", "img", "br"}


@pytest.fixture(scope="module")
def store() -> ImageStore:
    size = {"shortest_edge": 56 * 56, "longest_edge": 112 * 112}
    return ImageStore(Qwen2VLImageProcessorPil(size=size, patch_size=14, merge_size=2))


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "disc.png"
    image = Image.new("RGB", (448, 448), "#556677")
    image.paste((214, 40, 40), (190, 70, 210, 90))
    image.save(path)
    return str(path)


def at(picture: str, rollout: Rollout) -> Rollout:
    """The same rollout on a picture that exists."""

    def moved(view: ImageView) -> ImageView:
        return replace(view, source=FileImage(picture))

    def moved_turn(turn: Turn) -> Turn:
        return replace(turn, views=tuple(map(moved, turn.views)))

    return replace(
        rollout,
        prompt_views=tuple(map(moved, rollout.prompt_views)),
        turns=tuple(map(moved_turn, rollout.turns)),
    )


def scored(rollout: Rollout, total: float = 0.8, advantage: float = 0.0) -> ScoredRollout:
    parts = {"accuracy": 1.0, "format": 0.5}
    return ScoredRollout(rollout, RewardBreakdown(total, parts), advantage)


def page_of(store: ImageStore, *rollouts: Rollout, **settings: object) -> str:
    group = [scored(replace(rollout, index=i)) for i, rollout in enumerate(rollouts)]
    return render_page([group], images=store, title="train/3", **settings)  # type: ignore[arg-type]


class Outline(HTMLParser):
    """Tags, ids and addresses; fails on a tag that closes what is not open."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[str] = Counter()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


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


def test_stands_alone(store: ImageStore, picture: str):
    page = page_of(store, at(picture, builders.rollout()), at(picture, builders.rollout()))
    outline = Outline(page)
    assert outline.tags["script"] == outline.tags["link"] == 0
    assert "url(" not in page
    inside = {address for address in outline.addresses if address.startswith("#")}
    assert {address[1:] for address in inside} <= set(outline.ids)
    assert all(a.startswith("data:image/") for a in set(outline.addresses) - inside)
    assert len(set(outline.ids)) == len(outline.ids)


@pytest.mark.parametrize(
    "evil",
    [
        "</article><script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "</style></details></think> <b>&amp; </answer> <answer> <i>",
        "<!-- ",
        "\x00\x1b[2J \ud800 \u202e desrever",
        "",
    ],
)
def test_policy_text_is_only_ever_text(store: ImageStore, picture: str, evil: str):
    task = builders.task(question=evil, options=("red", evil), category=evil, source=evil)
    turns = (
        builders.zoom_turn(think=evil),
        builders.turn(f"<tool_call>{evil}</tool_call>{evil}", tool_error=evil),
        builders.answer_turn(evil),
    )
    rollout = at(picture, builders.rollout(*turns, task=task, stop_reason=StopReason.ANSWERED))
    page = page_of(store, rollout, notes=evil, metrics={evil: 1.0})
    outline = Outline(page)
    assert outline.tags["script"] == 0
    assert outline.tags["img"] == 1  # the crop
    page.encode("utf-8")  # no lone surrogate is left
    assert not set("\x00\x1b\u202e") & set(page)


def test_tags_are_the_same_whatever_the_policy_writes(store: ImageStore, picture: str):
    def tags(words: str) -> Counter[str]:
        rollout = builders.rollout(builders.zoom_turn(think=words), builders.answer_turn(words))
        return Outline(page_of(store, at(picture, rollout))).tags

    assert tags("plain words") == tags("</p></div><script>x</script><img src=x><!-- &lt;")


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
    assert "0 groups, 0 rollouts" in Outline(render_page(groups, images=store, title="x")).text


def test_task_without_picture_or_with_two(store: ImageStore, picture: str):
    words_only = replace(builders.rollout(builders.answer_turn()), prompt_views=())
    assert "no picture" in page_of(store, words_only, metrics={})
    two = at(picture, builders.rollout(prompt_views=(builders.view(), builders.view())))
    assert page_of(store, two).count("further picture of the prompt") == 1


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
    page = render_page(groups, images=store, title="size")
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


def test_rollouts_without_a_group_are_grouped_by_task():
    ungrouped = [scored(builders.rollout(task=builders.task(id=name))) for name in "aab"]
    assert [len(group) for group in pick_groups(ungrouped, 5)] == [2, 1]


def test_marks_are_in_the_pictures_own_pixels():
    marks = rollout_marks(builders.rollout(builders.zoom_turn(50, 20), builders.answer_turn()))
    # the first thought names the point that its tool looks at, so only the zoom is marked
    assert [(mark.kind, mark.turn, mark.label) for mark in marks] == [
        (MarkKind.ZOOM, 1, "1"),
        (MarkKind.THOUGHT, 2, ""),
    ]
    assert marks[0].point == Point(200, 80)
    assert marks[0].window == Box(144, 24, 256, 136)
    assert marks[1].point == Point(200, 80)


def test_thoughts_are_numbered_when_nothing_was_zoomed_at():
    think = "First (10, 20), then (500, 20), then (30, 40)."  # the second is off the picture
    marks = rollout_marks(builders.rollout(builders.answer_turn(think=think)))
    assert [(mark.label, mark.point) for mark in marks] == [
        ("1", Point(40, 80)),
        ("2", Point(120, 160)),
    ]


def test_point_answer_is_marked():
    fields = {"answer_kind": AnswerKind.POINT, "answer_box": builders.DISC, "options": ()}
    rollout = builders.rollout(
        builders.answer_turn("(50, 20)", think="x"), task=builders.task(**fields)
    )
    assert [(mark.kind, mark.label) for mark in rollout_marks(rollout)] == [(MarkKind.ANSWER, "A")]


def test_picture_has_crops_beside_and_caption_below(store: ImageStore, picture: str):
    rollout = at(picture, builders.rollout())
    with_caption = rollout_picture(scored(rollout), store)
    bare = rollout_picture(rollout, store, has_caption=False)
    assert bare.height == 448 < with_caption.height
    assert bare.width > 448
    assert bare.getpixel((0, 0)) == (0x55, 0x66, 0x77)
    # the frame of a crop with the target inside is green; it starts below the label
    right = tuple(int(RIGHT[i : i + 2], 16) for i in (1, 3, 5))
    assert bare.getpixel((459, 60)) == right
    assert rollout_picture(rollout, store, max_side_px=224, has_caption=False).height == 224


def test_picture_without_zoom_is_the_picture_alone(store: ImageStore, picture: str):
    rollout = at(picture, builders.rollout(builders.answer_turn("no \x00 \ud800 glyph " * 40)))
    assert rollout_picture(rollout, store).width == 448
    with pytest.raises(ValueError, match="no picture"):
        rollout_picture(replace(rollout, prompt_views=()), store)
