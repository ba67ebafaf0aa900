"""The pages of a run's folder, and the way from one to the next."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests import builders
from tests.unit.pages.conftest import at
from tests.unit.pages.outline import Outline
from vigorl.core.errors import DataError
from vigorl.core.metrics_file import MetricsLine, append_metrics
from vigorl.core.rollout import ScoredRollout
from vigorl.core.stages_file import StageNote, StagesFile
from vigorl.data.images import ImageStore
from vigorl.pages.group_view import TokenFacts
from vigorl.pages.phases import GroupLine, PhaseSummary, append_summary, read_summaries
from vigorl.pages.run_pages import (
    IndexPage,
    PhasePage,
    key_of,
    write_phase_page,
    write_stages_page,
)
from vigorl.pages.tallies import Tally, tally_of


def group(picture: str, name: str) -> list[ScoredRollout]:
    rollouts = [builders.rollout(), builders.rollout(builders.answer_turn("blue"))]
    return [
        builders.scored(replace(at(picture, one), group=name, index=i), total=float(1 - i))
        for i, one in enumerate(rollouts)
    ]


def write(
    run: Path, kind: str, phase: int, store: ImageStore, picture: str, *, tokens: bool = False
) -> PhaseSummary:
    groups = [group(picture, f"{kind}/{phase}/a"), group(picture, f"{kind}/{phase}/b")]
    scored = [one for members in groups for one in members]
    tally = tally_of([one.rollout for one in scored])
    summary = PhaseSummary(kind, phase, phase, tally)
    facts = {key_of(one): TokenFacts() for one in scored} if tokens else {}
    page = PhasePage(summary.name, summary.words, f"{kind}, phase {phase}", kind, groups, {}, facts)
    (run / "rollouts").mkdir(parents=True, exist_ok=True)
    written = write_phase_page(run / "rollouts", page, images=store, decode=lambda _: "x")
    summary = replace(summary, page=written.name, groups=written.groups, examples=written.examples)
    append_summary(run / "rollouts" / "phases.jsonl", summary)
    append_metrics(run / "metrics.jsonl", MetricsLine(kind, phase, phase, {"reward/total": phase}))
    return summary


def addresses(page: Path) -> list[str]:
    found = [attrs.get("href") or "" for tag, attrs in Outline(page.read_text()).elements]
    return [one for one in found if one and not one.startswith(("#", "data:"))]


def test_pages_lead_to_the_next_and_the_last_and_the_index(
    tmp_path: Path, store: ImageStore, picture: str
):
    for kind, phase in (("val", 0), ("train", 0), ("train", 25), ("val", 25), ("train", 25)):
        write(tmp_path, kind, phase, store, picture)  # phase 25 is repeated
    rollouts = tmp_path / "rollouts"
    order = ["val_phase_0000", "train_phase_0000", "val_phase_0025", "train_phase_0025"]
    for i, name in enumerate(order):
        beside = [f"{one}.html" for one in (order[i - 1 : i] if i else []) + order[i + 1 : i + 2]]
        assert addresses(rollouts / f"{name}.html") == ["../index.html", *beside] * 2


def test_the_index_leads_everywhere_and_every_address_is_there(
    tmp_path: Path, store: ImageStore, picture: str
):
    write(tmp_path, "val", 0, store, picture)
    write(tmp_path, "train", 0, store, picture, tokens=True)
    (tmp_path / "config.yaml").write_text("")
    IndexPage(tmp_path, title="<run> & seed", base=tmp_path).write()
    page = (tmp_path / "index.html").read_text()
    outline = Outline(page)
    assert "<run> & seed" in outline.text
    assert outline.tags["script"] == 0
    named = addresses(tmp_path / "index.html")
    assert "rollouts/train_phase_0000_group_2.html" in named
    assert "rollouts/train_phase_0000.html#g2-r0" in named
    for address in named:
        path, _, anchor = address.partition("#")
        assert (tmp_path / path).exists()
        assert not anchor or f'id="{anchor}"' in (tmp_path / path).read_text()
    group_page = tmp_path / "rollouts" / "train_phase_0000_group_1.html"
    assert addresses(group_page)[1:3] == [
        "train_phase_0000.html#g1",
        "train_phase_0000_group_2.html",
    ]
    assert re.search(r"wrong answer</td><td class=.num.>2</td>", page)


def test_a_stage_leads_to_the_page_of_all_stages(tmp_path: Path, store: ImageStore, picture: str):
    for stage in ("first", "second"):
        write(tmp_path / stage, "train", 1, store, picture)
        (tmp_path / stage / "config.yaml").write_text("")
        (tmp_path / "first" / "model").mkdir(exist_ok=True)
        IndexPage(tmp_path / stage, title="run", base=tmp_path).write()
    assert "1 of 2 stages done" in (tmp_path / "index.html").read_text()
    assert addresses(tmp_path / "index.html") == ["first/index.html", "second/index.html"]
    assert "../index.html" in addresses(tmp_path / "second" / "index.html")


def test_the_page_of_all_stages_says_what_each_does_and_how_far_it_is(tmp_path: Path):
    notes = (
        StageNote("warm", "SFT: 1 epoch", "tiny_start", "MadeWorld"),
        StageNote("rl", "GRPO: 2 phases", "warm", "MadeWorld", "connector"),
        StageNote("last", "pairs: 1 epoch", "rl", "MadeWorld, pairs of rl"),
    )
    StagesFile("run & all", "", notes, done=("warm",)).write(tmp_path)
    for name, values in {"warm": (0.25, 0.5), "rl": (0.5, 0.75)}.items():
        (tmp_path / name).mkdir()
        for phases, value in enumerate(values):
            line = MetricsLine("val", phases, phases, {"val/accuracy": value})
            append_metrics(tmp_path / name / "metrics.jsonl", line)
    (tmp_path / "rl" / "model").mkdir()  # handed on, its run not ended
    (tmp_path / "warm" / "index.html").touch()
    write_stages_page(tmp_path)
    outline = Outline((tmp_path / "index.html").read_text())
    words = " ".join(outline.text.split())
    for said in (
        "run & all1 of 3 stages done", "1. warm done SFT: 1 epoch", "25 % → 50 %", "50 % → 75 %",
        "2. rl begun", "what learnsconnector", "3. last waits", "fromMadeWorld, pairs of rl",
    ):  # fmt: skip
        assert said in words, (said, words)
    assert addresses(tmp_path / "index.html") == ["warm/index.html"]
    (curve,) = [x for tag, x in outline.elements if tag == "polyline" and "c1" in str(x)]
    assert not str(curve["points"]).startswith("60.0,")  # behind the first stage's


def test_a_run_that_has_measured_nothing_has_an_index(tmp_path: Path):
    IndexPage(tmp_path, title="run", base=tmp_path / "elsewhere").write()
    assert "Nothing has been measured yet" in (tmp_path / "index.html").read_text()
    assert not (tmp_path / "elsewhere").exists()


def test_a_summary_that_cannot_be_read_is_named(tmp_path: Path):
    path = tmp_path / "phases.jsonl"
    path.write_text('{"kind": "train"}\n')
    with pytest.raises(DataError, match=r"phases.jsonl:1: not a phase's summary: phase: Field req"):
        read_summaries(path)


def test_half_a_character_in_a_question_is_kept(tmp_path: Path):
    line = GroupLine("what is \ud83d?", "1", 1.0, 0.0, "page.html#g1")
    summary = PhaseSummary("train", 0, 0, Tally(), groups=(line,))
    append_summary(tmp_path / "phases.jsonl", summary)
    assert read_summaries(tmp_path / "phases.jsonl") == [summary]
