"""Search, chains, fine-tuning: each by its own door."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import instantiate
from PIL import Image

from benchmarks.serve_equals_evaluate import served
from tests.integration.door import SMALL, history, only_run, settings
from tests.unit.rollout.fake_server import FakeServer, chat_reply
from vigorl.build import ASSETS
from vigorl.core.errors import ConfigError, EngineError
from vigorl.core.search_metrics import numbered_nodes
from vigorl.core.search_tree import CheckedBy
from vigorl.data.encoding import ChatCodec
from vigorl.data.faults import Rules
from vigorl.data.sources.mcts_jsonl import read_mcts_jsonl
from vigorl.data.sources.sft_json import read_sft_json
from vigorl.search.point_prompt import read_verdict
from vigorl.synthesize import run_synthesis
from vigorl.train import train

FEW = ["num_threads=1", "data.num_train=8", "data.num_val=4", "data.num_test=4"]
SEARCH = [
    *FEW, "limit=6", "search.num_simulations=3", "search.num_children=2",
    "engine._target_=tests.integration.door.wandering_engine",
]  # fmt: skip


def search_settings(root: Path, *overrides: str) -> Any:
    return settings(root, *SEARCH, *overrides, door="synthesize", small=[])


def test_a_search_gives_chains_that_sft_learns_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run_synthesis(search_settings(tmp_path / "search"))
    run = Path(only_run(tmp_path / "search").data.params["paths.run"])
    trees = read_mcts_jsonl(run / "trees.jsonl")
    assert len({tree.id for tree in trees}) == len(trees) == found.num_trees == 6
    rules = Rules(pictures_anywhere=True)  # named by the way there from the run's folder
    chains = read_sft_json(run / "chains.jsonl", keep_system=False, rules=rules)
    assert len(chains) == len(found.records) > 0
    as_list = read_sft_json(run / "chains.json", rules=rules)
    assert [c.trace for c in chains] == [c.trace for c in as_list]
    assert all(chain.task.answer == chain.trace.answer for chain in chains)
    assert (run / "search.html").read_text().startswith("<!doctype html>")
    assert history(tmp_path / "search", "chains/bytes_per_chain")[0][1] > 100
    assert not list(run.rglob("*.png"))  # crops are cut when they are needed

    # what is left to search after that: nothing, and all is the same, also where nothing is kept
    names = ("chains.jsonl", "chains.json", "trees.jsonl", "search.html")
    files = {path: path.read_bytes() for path in map(run.joinpath, names)}
    no_engine = "engine._target_=tests.integration.door.no_engine"
    with monkeypatch.context() as patch:
        patch.setattr("vigorl.data.sources.files.WHOLE_BYTES", 0)
        patch.setattr("vigorl.search.linearize.KEPT_TRACES", 2)
        run_synthesis(search_settings(tmp_path / "search", f"resume={run}", no_engine))
    assert {path: path.read_bytes() for path in files} == files
    # trees of another search do not mix with these
    for other, message in (
        ([f"paths.run={run}"], "goes on with it"),
        ([f"resume={run}", "seed=1"], "grown with other settings:\n  seed: 0 -> 1"),
        ([f"resume={run}", "search.exploration=1"], "search.exploration: 2.0 -> 1"),
        ([f"resume={run}", "env.temperature=0.3"], r"env\.temperature: \S+ -> 0\.3"),
    ):
        with pytest.raises(ConfigError, match=message):
            run_synthesis(search_settings(tmp_path / "search", *other))
    assert {path: path.read_bytes() for path in files} == files
    # the chains of a file of trees, here the search's own
    again = run_synthesis(search_settings(tmp_path / "again", f"trees={run / 'trees.jsonl'}"))
    assert [c.trace for c in again.records] == [c.trace for c in found.records]

    base = [f"data.base.{one.removeprefix('data.')}" for one in FEW if one.startswith("data.")]
    fast = [
        *base, "experiment=sft_from_mcts", f"data.path={run / 'chains.jsonl'}", "max_epochs=1",
        "traces.sequences_per_update=2", "traces.micro_batch_size=1",
        "data.holdout_frac=0.2",
    ]  # fmt: skip
    small = [one for one in SMALL if not one.startswith("debug=")]
    train(settings(tmp_path / "sft", *fast, small=small))
    assert history(tmp_path / "sft", "train/loss")
    assert len(history(tmp_path / "sft", "val/accuracy")) == 2


def test_a_rule_says_which_questions_go_on_and_another_may_follow(tmp_path: Path) -> None:
    answers = [*SEARCH[:-3], "search=answers", SEARCH[-1]]
    band = ["keep=solve_band", "keep.least=0", "keep.most=1"]
    made = settings(tmp_path, *answers, *band, door="synthesize", small=[])
    run_synthesis(made)
    run = Path(only_run(tmp_path).data.params["paths.run"])
    said = json.loads((run / "kept.json").read_text())
    assert (said["num_kept"], said["kept"]) == (6, {"in the band": 6})
    no_engine = "engine._target_=tests.integration.door.no_engine"
    vote = ["keep=vote", "keep.more_than=0", "keep.label=is_replaced", no_engine]
    again = settings(tmp_path, *answers, *vote, f"resume={run}", door="synthesize", small=[])
    found = run_synthesis(again)
    said = json.loads((run / "kept.json").read_text())
    assert sum((said["kept"] | said["left_out"]).values()) == 6
    rows = [json.loads(line) for line in (run / "questions.jsonl").read_text().splitlines()]
    assert len(rows) == said["num_kept"] == found.num_trees > 0
    base = [one.replace("data.", "data.base.") for one in FEW]
    named = ["data=kept", f"data.path={run / 'questions.jsonl'}"]
    kept = settings(tmp_path / "rl", *named, *base, small=[])
    source = instantiate(kept.data)
    source.prepare()
    voted = {row["id"]: row["answer"] for row in rows}
    assert {one.id: one.answer for one in source.load().train_tasks} == voted


def test_a_policy_that_is_served_with_its_tools_labels_questions(tmp_path: Path) -> None:
    with served(tmp_path / "server", "data=made_world_few", "num_threads=1") as (url, name):
        endpoint = ["engine=server", "engine.api=chat", "engine.transfer=none"]
        endpoint += [f"engine.model={name}", f"engine.urls=[{url}]", "env.temperature=0.1"]
        # the whole picture, as it looks closer; and no more tokens than it may take for all turns
        endpoint += ["pixels.max_pixels=200704", "limits.max_new_tokens=96"]
        words = ["experiment=build_visualwebinstruct", *FEW, *endpoint, "limit=4"]
        found = run_synthesis(settings(tmp_path, *words, door="synthesize", small=[]))
    assert found.num_trees == 4
    run = Path(only_run(tmp_path).data.params["paths.run"])
    rows = [json.loads(line) for line in (run / "questions.jsonl").read_text().splitlines()]
    assert len(rows) == json.loads((run / "kept.json").read_text())["num_kept"] > 0
    assert "<answer>" in (run / "chains.jsonl").read_text()


def test_parts_of_a_search_give_the_chains_of_the_whole(tmp_path: Path) -> None:
    run_synthesis(search_settings(tmp_path, f"paths.run={tmp_path}/parts/whole"))
    for part in ("1/2", "2/2"):
        here = [f"shard={part}", f"paths.run={tmp_path}/parts/{part[0]}"]
        run_synthesis(search_settings(tmp_path, *here))
    no_engine = "engine._target_=tests.integration.door.no_engine"
    here = [f"merge={tmp_path}/parts", f"paths.run={tmp_path}/parts/merged"]
    assert run_synthesis(search_settings(tmp_path, *here, no_engine)).num_trees == 6
    whole, merged = (tmp_path / "parts" / name / "chains.jsonl" for name in ("whole", "merged"))
    assert merged.read_bytes() == whole.read_bytes()
    for other, said in (("limit=3", "limit: 6 -> 3"), ("shard=1/2", "leave out shard")):
        again = [f"merge={tmp_path}/parts", f"paths.run={tmp_path}/again", other]
        with pytest.raises(ConfigError, match=said):
            run_synthesis(search_settings(tmp_path, *again, no_engine))


def test_a_search_with_a_budget_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_synthesis(search_settings(tmp_path, "budget.max_requests=5", "max_in_flight=2"))
    assert "ended by the budget" in capsys.readouterr().out
    assert found.num_trees < 6


class JudgeServer(FakeServer):
    """Believes in looks with an even x, gives one reply in a while without a verdict, and may fall
    silent.
    """

    num_replies: float = float("inf")

    def __init__(self) -> None:
        codec = ChatCodec.from_pretrained(str(ASSETS / "tiny_start"))
        super().__init__(codec, lambda path, body: self.judge(body))

    def judge(self, body: dict[str, Any]) -> tuple[int, str]:
        self.num_replies -= 1
        if self.num_replies < 0:
            return 401, "the key has run out"
        return chat_reply(
            self.verdict(" ".join(p.get("text", "") for p in body["messages"][0]["content"]))
        )

    @staticmethod
    def verdict(prompt: str) -> str:
        (x,) = re.findall(r"Look at \((\d+), \d+\)", prompt)
        return "Hm." if int(x) % 10 == 7 else f"<verdict>{'no' if int(x) % 2 else 'yes'}</verdict>"


@pytest.fixture
def judge() -> Iterator[JudgeServer]:
    server = JudgeServer()
    yield server
    server.kill()


@pytest.fixture
def boxless(tmp_path: Path) -> list[str]:
    """Settings for data without target boxes."""
    rows = []
    for number in range(16):
        Image.effect_noise((448, 448), 20 + number).convert("RGB").save(tmp_path / f"{number}.png")
        rows.append({
            "id": f"q{number}", "problem": "<image>How do the stripes run?",
            "answer": "vertical", "images": [f"{number}.png"],
        })  # fmt: skip
    file = tmp_path / "tasks.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [
        "num_threads=1", "data=released_files", f"data.train_tasks={file}", "limit=12",
        "search.num_simulations=6", SEARCH[-1],
    ]  # fmt: skip


def test_a_judge_checks_looks_where_the_data_has_no_boxes(
    tmp_path: Path,
    judge: JudgeServer,
    boxless: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WISE_KEY", "s3cret")
    asked = [
        *boxless, "max_in_flight=1", "check=judge", f"check.urls=[{judge.url}]",
        "check.model=wise", "check.api_key_env=WISE_KEY", "check.extra={thinking: {level: 1}}",
        "check.max_attempts=1",
    ]  # fmt: skip

    def searched(root: str, *overrides: str) -> Any:
        return settings(tmp_path / root, *asked, *overrides, door="synthesize", small=[])

    run_synthesis(searched("whole"))
    run = Path(only_run(tmp_path / "whole").data.params["paths.run"])
    trees = read_mcts_jsonl(run / "trees.jsonl")
    assert {tree.checked_by for tree in trees} == {CheckedBy.JUDGE}
    looks = [place.node for tree in trees for place in numbered_nodes(tree.root) if place.points]
    expected = [read_verdict(judge.verdict(node.text)) for node in looks]
    assert [node.is_hit for node in looks] == expected
    assert {True, False} <= set(expected)
    num_checked = len(looks) - expected.count(None)
    assert history(tmp_path / "whole", "search/checked")[-1][1] == num_checked
    assert history(tmp_path / "whole", "search/unchecked")[-1][1] == expected.count(None)
    share = expected.count(True) / num_checked
    assert history(tmp_path / "whole", "search/judged_hit_frac")[-1][1] == pytest.approx(share)
    assert "by the judge" in (run / "search.html").read_text()
    assert f"verdicts on {num_checked} of {len(looks)} looks" in capsys.readouterr().out
    assert {headers["Authorization"] for headers in judge.headers} == {"Bearer s3cret"}
    assert judge.posts[0][1]["thinking"] == {"level": 1}
    assert not any(b"s3cret" in file.read_bytes() for file in run.rglob("*") if file.is_file())

    # a judge that falls silent ends the search; what it has checked is kept, and the rest follows
    judge.num_replies = len(looks) // 2
    with pytest.raises(EngineError, match=r"the check of points failed.*the key has run out"):
        run_synthesis(searched("cut"))
    cut = Path(only_run(tmp_path / "cut").data.params["paths.run"])
    assert 0 < len(read_mcts_jsonl(cut / "trees.jsonl")) < len(trees)
    judge.num_replies = float("inf")
    run_synthesis(searched("cut", f"resume={cut}"))
    lines, whole = ((one / "trees.jsonl").read_text().splitlines() for one in (cut, run))
    assert sorted(lines) == sorted(whole)


def test_a_judge_without_anything_to_ask_is_refused(tmp_path: Path) -> None:
    check = ["check=judge", "check.urls=[http://localhost:1]", "check.model=wise"]
    with pytest.raises(ConfigError, match="check has no effect: the data has target boxes"):
        run_synthesis(search_settings(tmp_path / "boxes", *check))
    with pytest.raises(ConfigError, match="check has no effect with trees=FILE"):
        run_synthesis(search_settings(tmp_path / "trees", *check, "trees=some.jsonl"))
    with pytest.raises(ConfigError, match=r"set check\.model, check\.urls"):
        run_synthesis(search_settings(tmp_path / "nobody", "check=judge"))


def test_thoughts_one_by_one_become_single_turns_or_dialogs(tmp_path: Path) -> None:
    """A task without a tool; its trees as one turn each, and as zoom dialogs afterwards."""
    steps = ["env=visual_search_steps", "engine._target_=tests.integration.door.thinking_engine"]
    found = run_synthesis(search_settings(tmp_path / "steps", *steps))
    assert found.records
    assert {len(record.trace.steps) for record in found.records} == {1}
    trees = Path(only_run(tmp_path / "steps").data.params["paths.run"]) / "trees.jsonl"
    zooming = ["chains.settings.move_first_frac=0", f"trees={trees}"]
    dialogs = run_synthesis(search_settings(tmp_path / "zoom", *zooming)).records
    assert max(len(record.trace.steps) for record in dialogs) > 1
    assert all(step.tool_call for record in dialogs for step in record.trace.steps[:-1])


@pytest.mark.parametrize(
    ("task", "form"), [("visual_search_steps", "multi_turn"), ("visual_search_zoom", "single_turn")]
)
def test_a_form_that_no_tree_could_have_is_refused_before_the_search(
    tmp_path: Path, task: str, form: str
) -> None:
    with pytest.raises(ConfigError, match=f"form={form}, but the env has"):
        run_synthesis(search_settings(tmp_path, f"env={task}", f"chains.settings.form={form}"))


def test_a_split_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="split must be "):
        run_synthesis(search_settings(tmp_path, "split=testing"))
    assert json.dumps(sorted(p.name for p in tmp_path.rglob("trees.jsonl"))) == "[]"
