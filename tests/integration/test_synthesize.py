"""Search, chains, fine-tuning: each by its own door."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.door import SMALL, history, only_run, settings
from vigorl.core.errors import ConfigError
from vigorl.data.sources.mcts_jsonl import read_mcts_jsonl
from vigorl.data.sources.sft_json import read_sft_json
from vigorl.synthesize import run_synthesis
from vigorl.train import train

FEW = ["num_threads=1", "data.num_train=8", "data.num_val=4", "data.num_test=4"]
SEARCH = [
    *FEW, "limit=6", "search.num_simulations=3", "search.num_children=2",
    "engine._target_=tests.integration.door.wandering_engine",
]  # fmt: skip


def search_settings(root: Path, *overrides: str) -> Any:
    return settings(root, *SEARCH, *overrides, door="synthesize", small=[])


def test_a_search_gives_chains_that_sft_learns_from(tmp_path: Path) -> None:
    found = run_synthesis(search_settings(tmp_path / "search"))
    run = Path(only_run(tmp_path / "search").data.params["paths.run"])
    trees = read_mcts_jsonl(run / "trees.jsonl")
    assert len({tree.id for tree in trees}) == len(trees) == found.num_trees == 6
    chains = read_sft_json(run / "chains.jsonl", keep_system=False)
    assert len(chains) == len(found.records) > 0
    assert [c.trace for c in chains] == [c.trace for c in read_sft_json(run / "chains.json")]
    assert all(chain.task.answer == chain.trace.answer for chain in chains)
    assert (run / "search.html").read_text().startswith("<!doctype html>")
    assert history(tmp_path / "search", "chains/bytes_per_chain")[0][1] > 100
    assert not list(run.rglob("*.png"))  # crops are cut when they are needed

    # what is left to search after that: nothing, and the chains are the same
    before = (run / "chains.jsonl").read_bytes()
    run_synthesis(search_settings(tmp_path / "search", f"resume={run}"))
    assert (run / "chains.jsonl").read_bytes() == before
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


def test_a_search_with_a_budget_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_synthesis(search_settings(tmp_path, "budget.max_requests=5", "max_in_flight=2"))
    assert "ended by the budget" in capsys.readouterr().out
    assert found.num_trees < 6


def test_a_split_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="split must be one of"):
        run_synthesis(search_settings(tmp_path, "split=testing"))
    assert json.dumps(sorted(p.name for p in tmp_path.rglob("trees.jsonl"))) == "[]"
