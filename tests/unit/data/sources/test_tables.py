"""Tables of all kinds, row by row."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vigorl.core.errors import DataError
from vigorl.data.sources.files import collect
from vigorl.data.sources.rows import Row
from vigorl.data.sources.tables import no_such_column, table_rows

VALUES = [{"index": "0", "question": "What?", "answer": "None"},
          {"index": "1", "question": "Who?", "answer": "NA"}]  # fmt: skip


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=1)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        separator = "," if path.suffix == ".csv" else "\t"
        lines = [rows[0], *(row.values() for row in rows)]
        path.write_text("".join(separator.join(line) + "\n" for line in lines))
    return path


def read(path: Path, **settings: Any) -> list[dict[str, Any]]:
    rows = list(table_rows(path, **settings))
    assert not [row for row in rows if isinstance(row, DataError)]
    return [dict(row.values) for row in rows if isinstance(row, Row)]


@pytest.mark.parametrize("name", ["t.parquet", "t.tsv", "t.csv", "t.jsonl", "t.json"])
def test_every_kind_of_file_gives_the_same_rows_and_says_where_they_stand(
    tmp_path: Path, name: str
):
    """The texts None and NA are texts, which pandas would drop."""
    file = write(tmp_path / name, VALUES)
    assert read(file) == VALUES
    second = list(table_rows(file))[1]
    assert isinstance(second, Row)
    place = {"t.tsv": ":3", "t.csv": ":3", "t.jsonl": ":2", "t.json": " (item 2)"}
    assert second.source == f"{file}{place.get(name, ' (row 2)')}"
    assert second.root == tmp_path
    with pytest.raises(DataError, match=r"no.*'image'.*: index, question, answer"):
        collect(table_rows(file, columns=["image", "question"]), lambda row: row)
    (other,) = {row.root for row in table_rows(file, root="/data") if isinstance(row, Row)}
    assert other == Path("/data")


@pytest.mark.parametrize("name", ["t.parquet", "t.tsv"])
def test_only_the_columns_asked_for_are_read(tmp_path: Path, name: str):
    file = write(tmp_path / name, VALUES)
    assert read(file, columns=["answer"]) == [{"answer": "None"}, {"answer": "NA"}]


def test_a_folder_has_splits_and_configurations(tmp_path: Path):
    for place in ("data/test-00000-of-00002", "data/test-00001-of-00002", "data/train-0",
                  "Counting/val-0", ".cache/test-0"):  # fmt: skip
        write(tmp_path / f"{place}.parquet", [{"place": place}])
    found = [row["place"] for row in read(tmp_path, split="test")]
    assert found == ["data/test-00000-of-00002", "data/test-00001-of-00002"]
    assert [row["place"] for row in read(tmp_path, config="Counting")] == ["Counting/val-0"]
    with pytest.raises(DataError, match=r"no \.parquet file of the split 'tes' .*Counting/val-0"):
        list(table_rows(tmp_path, split="tes"))
    several = list(table_rows([tmp_path / "data/train-0.parquet", tmp_path / "Counting"]))
    assert len(several) == 2


def test_pictures_of_parquet_stay_bytes_in_every_nesting(tmp_path: Path):
    """array/SAT holds lists of structs, and in another file lists of bytes."""
    picture = {"bytes": b"no picture", "path": "a.png"}
    table = pa.Table.from_pylist([{"one": picture, "many": [picture], "raw": [b"no picture"]}])
    features = datasets.Features(
        one=datasets.Image(), many=datasets.List(datasets.Image()),
        raw=datasets.List(datasets.Value("binary")),
    )  # fmt: skip
    about = json.dumps({"info": {"features": features.to_dict()}})
    pq.write_table(table.replace_schema_metadata({"huggingface": about}), tmp_path / "t.parquet")
    (row,) = read(tmp_path / "t.parquet")
    assert row == {"one": picture, "many": [picture], "raw": [b"no picture"]}


def test_quoted_cells_may_hold_lines_separators_and_quotes(tmp_path: Path):
    file = tmp_path / "t.tsv"
    file.write_bytes(
        b'\xef\xbb\xbfindex\tquestion\tanswer\r\n0\t"A. red\r\nB.\t""blue"""\tA\r\n\r\n'
        b'1\tthe 5" sign\tB\n"2"\tlast\t\xe5\x95\x8a'
    )
    rows = [row for row in table_rows(file) if isinstance(row, Row)]
    assert [row.values["question"] for row in rows] == [
        'A. red\r\nB.\t"blue"', 'the 5" sign', "last",
    ]  # fmt: skip
    assert [row.line for row in rows] == [2, 5, 6]
    assert rows[2].values == {"index": "2", "question": "last", "answer": "啊"}


def test_a_cell_may_have_more_than_the_csv_modules_128_kb(tmp_path: Path):
    file = tmp_path / "t.tsv"
    cell = "A" * 300_000
    file.write_text(f'image\tquestion\n{cell}\tplain\n{cell}\t"quoted"\n')
    assert [(len(row["image"]), row["question"]) for row in read(file)] == [
        (300_000, "plain"), (300_000, "quoted"),
    ]  # fmt: skip


def test_a_copy_of_a_table_with_files_in_place_of_base64_reads_as_the_table(tmp_path: Path):
    """VLMEvalKit's "*_local.tsv"."""
    file = write(tmp_path / "t_local.tsv", [{"index": "0", "image_path": "['a.jpg', 'b.jpg']"}])
    assert read(file, columns=["image"]) == [{"image": "['a.jpg', 'b.jpg']"}]
    both = write(tmp_path / "u.tsv", [{"image": "0", "image_path": "a.jpg"}])
    assert read(both) == [{"image": "0", "image_path": "a.jpg"}]


def test_bad_rows_of_a_tsv_are_named_and_the_others_read(tmp_path: Path):
    file = tmp_path / "t.tsv"
    file.write_bytes(b"a\tb\n1\t2\n3\n5\t\xff\n7\t8\n9\tcut")
    rows = list(table_rows(file))
    assert [dict(row.values)["a"] for row in rows if isinstance(row, Row)] == ["1", "7", "9"]
    faults = [str(row) for row in rows if isinstance(row, DataError)]
    assert faults[0].startswith(f"{file}:3: has 1 cells where the header has 2 columns")
    assert faults[1].startswith(f"{file}:4: is not UTF-8 text")

    file.write_text('a\tb\n1\t2\n3\t"4\n5\t6\n')
    *_, last = table_rows(file)
    assert str(last).startswith(f"{file}:3: a quote that opens here is not closed")
    file.write_text("")
    with pytest.raises(DataError, match="is empty"):
        list(table_rows(file))


def test_a_damaged_parquet_file_is_named(tmp_path: Path):
    file = write(tmp_path / "t.parquet", [{"a": os.urandom(2000)} for _ in range(9)])
    whole = file.read_bytes()
    file.write_bytes(whole[:1000])
    with pytest.raises(DataError, match=r"t\.parquet: is no whole Parquet file .*get it again"):
        list(table_rows(file))
    file.write_bytes(whole[:4] + b"\xff" * 900 + whole[904:])
    with pytest.raises(DataError, match=r"t\.parquet: is no whole .*get it again"):
        list(table_rows(file))


def test_what_is_no_table_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"must end in one of \.parquet, \.tsv"):
        list(table_rows(tmp_path / "t.xlsx"))
    with pytest.raises(DataError, match=r"absent\.tsv: cannot be read"):
        list(table_rows("data/absent.tsv"))


def test_an_id_of_the_hub_is_streamed(monkeypatch: pytest.MonkeyPatch):
    asked = []

    def load_dataset(name: str, config: str | None, **settings: Any) -> datasets.IterableDataset:
        asked.append((name, config, settings))
        if name == "me/absent":
            raise ConnectionError("offline")
        return datasets.Dataset.from_list(VALUES).to_iterable_dataset()

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    rows = list(table_rows("me/mine", config="small", columns=["answer"]))
    assert asked == [("me/mine", "small", {"split": "test", "streaming": True})]
    assert [row.values for row in rows if isinstance(row, Row)] == [
        {"answer": "None"}, {"answer": "NA"},
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"me/absent: is no file or folder here.*offline"):
        list(table_rows("me/absent"))
    with pytest.raises(DataError, match=r"no column 'image'; columns: index, question, answer"):
        list(table_rows("me/mine", columns=["image"]))


def test_a_misspelt_column_suggests_the_nearest() -> None:
    text = no_such_column(["Qestion", "xyz"], ["Question", "Answer"])
    assert text == (
        "there is no column 'Qestion', 'xyz'; did you mean 'Question'? columns: Question, Answer"
    )
    assert no_such_column(["xyz"], ["a"]) == "there is no column 'xyz'; columns: a"
