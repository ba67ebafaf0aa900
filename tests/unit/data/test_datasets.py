"""Splits keep pictures apart, and a fingerprint changes exactly when the data do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders import task
from vigorl.core.errors import ConfigError, DataError
from vigorl.core.records import TraceRecord
from vigorl.core.trace import Step, Trace
from vigorl.data.datasets import fingerprint, split_by_image

RECORDS = [task(id=f"r{i}", images=(f"p{i // 2}.png",)) for i in range(20)]  # two per picture


def test_a_fifth_of_ten_pictures_is_held_out_in_order() -> None:
    train, held = split_by_image(RECORDS, holdout_frac=0.2, seed=1)
    assert (len(train), len(held)) == (16, 4)
    assert not {r.images for r in train} & {r.images for r in held}
    assert train == [r for r in RECORDS if r in train]


def test_the_split_depends_on_the_seed_and_not_on_order_or_place() -> None:
    def held(records: list, seed: int = 0) -> set[str]:
        return {r.id for r in split_by_image(records, holdout_frac=0.3, seed=seed)[1]}

    moved = [replace(r, images=tuple(f"/elsewhere/{p}" for p in r.images)) for r in RECORDS]
    assert held(RECORDS) == held(RECORDS[::-1]) == held(moved)
    assert len({frozenset(held(RECORDS, seed)) for seed in range(5)}) > 1


def test_records_that_share_a_picture_through_a_third_stay_together() -> None:
    pictures = {"a": ("1", "2"), "b": ("2", "3"), "c": ("3",)}
    chain = [task(id=name, images=images) for name, images in pictures.items()]
    apart = task(id="d", images=("4",))
    for seed in range(8):
        train, held = split_by_image([*chain, apart], holdout_frac=0.5, seed=seed)
        assert [r.id for r in held] in (["d"], ["a", "b", "c"])
        assert len(train) + len(held) == 4


def test_two_ways_to_one_picture_are_one_picture(tmp_path: Path) -> None:
    (tmp_path / "bigdisk").mkdir()
    (tmp_path / "data").symlink_to("bigdisk")
    places = [f"{folder}/{name}" for folder in ("bigdisk", "data") for name in ("1", "2", "3")]
    records = [task(id=place, images=(str(tmp_path / place),)) for place in places]
    for seed in range(8):
        _, held = split_by_image(records, holdout_frac=0.4, seed=seed)
        assert sorted(r.id[-1] for r in held) in (["1", "1"], ["2", "2"], ["3", "3"])


def test_copies_under_other_names_are_one_picture(tmp_path: Path) -> None:
    """Pictures of four bytes each, the first and the last alike."""
    records = []
    for i, content in enumerate((b"aaaa", b"bbbb", b"cccc", b"aaaa")):
        (tmp_path / f"{i}.png").write_bytes(content)
        records.append(task(id=str(i), images=(str(tmp_path / f"{i}.png"),)))
    for seed in range(8):
        _, held = split_by_image(records, holdout_frac=0.5, seed=seed)
        assert {"0", "3"} <= {r.id for r in held} or not {"0", "3"} & {r.id for r in held}


def test_traces_split_like_tasks() -> None:
    traces = [TraceRecord(r, Trace((Step("x"),), "y")) for r in RECORDS]
    tasks_held = split_by_image(RECORDS, holdout_frac=0.3)[1]
    assert [t.task for t in split_by_image(traces, holdout_frac=0.3)[1]] == tasks_held


def test_edges_of_the_fraction() -> None:
    assert split_by_image(RECORDS, holdout_frac=0.0) == (RECORDS, [])
    assert len(split_by_image(RECORDS, holdout_frac=0.001)[1]) == 2  # one picture at least
    for frac in (-0.1, 1.0):
        with pytest.raises(ConfigError, match="holdout_frac"):
            split_by_image(RECORDS, holdout_frac=frac)
    with pytest.raises(DataError, match="nothing can be held out"):
        split_by_image(RECORDS[:2], holdout_frac=0.5)


def test_fingerprint_follows_rows_and_pictures_but_not_places(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "p.png").write_bytes(b"pixels")
    here = task(images=(str(tmp_path / "a/p.png"),), source="x.jsonl:1")
    there = replace(here, images=(str(tmp_path / "b/p.png"),), source="y.jsonl:9")
    assert fingerprint([here]) == fingerprint([there])
    assert len(fingerprint([here])) == 64
    other_row = fingerprint([replace(here, answer="blue")])
    (tmp_path / "b/p.png").write_bytes(b"other pixels")
    assert len({fingerprint([here]), other_row, fingerprint([there]), fingerprint([])}) == 4


def test_fingerprint_of_traces_and_of_a_missing_picture(tmp_path: Path) -> None:
    trace = TraceRecord(task(images=()), Trace((Step("x"),), "y"))
    assert fingerprint([trace]) != fingerprint([trace.task])
    assert fingerprint([trace]) != fingerprint([replace(trace, trace=Trace((Step("x"),), "z"))])
    with pytest.raises(DataError, match="none: cannot be read"):
        fingerprint([task(images=(str(tmp_path / "none"),))])
