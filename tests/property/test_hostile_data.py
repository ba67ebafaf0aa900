"""Rows and pictures that nobody should write, from fixed seeds: each is a record that can be asked,
or one line of a DataError; never another exception, never an endless wait.
"""

from __future__ import annotations

import io
import json
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.unit.data.conftest import make_processor, make_tokenizer
from vigorl.core.errors import DataError
from vigorl.core.records import TaskRecord, TraceRecord
from vigorl.core.scoring import PointInBox
from vigorl.data.datasets import fingerprint, task_of
from vigorl.data.dry_pass import dry_pass
from vigorl.data.encoding import ChatCodec
from vigorl.data.faults import Rules
from vigorl.data.images import ImageStore, open_image, read_size
from vigorl.data.prompts import OPTIONS, Prompt
from vigorl.data.rescale import rescaled_trace
from vigorl.data.sources.mcts_jsonl import read_mcts_jsonl, tree_task
from vigorl.data.sources.rl_jsonl import read_rl_jsonl, write_rl_jsonl
from vigorl.data.sources.screenspot import read_screenspot_pro, read_screenspot_v2
from vigorl.data.sources.sft_json import read_sft_json
from vigorl.data.sources.vstar_folder import read_vstar_folder
from vigorl.data.sources.vstar_questions import read_vstar_questions
from vigorl.families.qwen_vl import CHAT, Qwen25VL

NUM_ROWS = 80  # of each kind
NUM_PICTURES = 60  # of each format
LITERALS = (
    *("null", "true", "-1", "0", "1.5", "1e308", "1e999", "NaN", "-Infinity", "1" + "0" * 400),
    *('""', '" "', '"<image>"', '"<image><image>"', r'"\ud83d"', r'"\u0000"', '"(1, 2, 3)"'),
    *("9" * 5000, "[" * 3000 + "]" * 3000, '"' + "x" * 5000 + '"', "[]", "{}", "[null]"),
    *("[1, 2]", "[[0.1, 0.2, 0.3, 0.4]]", "[[-1, 0, 5, 6]]", "[5, 5, 1e6, 1e6]", "[NaN, 1, 2, 3]"),
    *('["red", "red"]', '["red"]', '["red", "<image>"]', json.dumps(["red", *map(str, range(30))])),
    *('["../../a.png"]', '["/etc/passwd"]', '"../a.png"', '"/dev/zero"', '"."'),
    *('["a.png", "a.png"]', '"text.png"', '["banner.png"]', '["empty.png"]', '"cut.png"'),
)  # fmt: skip
CALL = '<think> At (5, 6). </think>\n<tool_call>\n{"name": "look", "arguments": {"coordinate": [5, 6]}}\n</tool_call>'  # noqa: E501
ANSWER = "<think> a </think>\n<answer> red </answer>"
NODE = {"thought_text": "What?", "is_terminal": False, "value": 0.5, "visit_count": 2}
RED = {"final_answer": "red", "reward": 1.0, "ephemeral_texts": ["At (5, 6)."]}
ROWS: dict[str, dict[str, Any]] = {
    "rl": {"id": 1, "problem": "What?", "answer": "red", "images": ["a.png"], "category": "c",
           "options": ["red", "blue"], "targets": [[1, 2, 30, 40]]},
    "point": {"id": 1, "problem": "What?", "answer": "(1, 2, 30, 40)", "images": ["a.png"]},
    "v2": {"img_filename": "a.png", "bbox": [1, 2, 30, 40], "instruction": "log in", "id": "x",
           "data_type": "icon"},
    "pro": {"img_filename": "a.png", "bbox": [1, 2, 30, 40], "instruction": "log in",
            "img_size": [100, 80]},
    "sft": {"id": 3, "metadata": {"frame": [100, 80], "options": ["red", "blue"]},
            "images": ["a.png"], "gt_answer": "red",
            "messages": [{"role": "user", "content": "What?"},
                         {"role": "assistant", "content": CALL},
                         {"role": "user", "content": "<observation>\n<image>\n</observation>"},
                         {"role": "assistant", "content": ANSWER}]},
    "mcts": {"id": 7, "question": "What?", "image": "a.png", "true_answer": "red", "solved_at": 1,
             "frame": [100, 80], "targets": [[1, 2, 30, 40]],
             "tree": NODE | {"rollouts": [RED], "children": [NODE], "used_coords": [[5, 6]]}},
    "questions": {"image": "a.png", "text": "What?\n(A) red\n(B) blue\nAnswer with a letter.",
                  "label": "A", "question_id": 4, "category": "c"},
    "folder": {"bbox": [[1, 2, 30, 40]], "question": "What?", "options": ["red", "blue"]},
}  # fmt: skip


@dataclass(frozen=True)
class Policy:
    codec: ChatCodec
    images: ImageStore
    prompt: Prompt


@pytest.fixture(scope="module")
def policy() -> Policy:
    images = ImageStore(make_processor(), family=Qwen25VL())
    return Policy(ChatCodec(make_tokenizer(), CHAT), images, Prompt("Look.", options=OPTIONS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hostile")
    noise = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)
    Image.fromarray(noise).save(root / "a.png")
    Image.new("RGB", (4000, 10)).save(root / "banner.png")
    (root / "text.png").write_text("not found")
    (root / "empty.png").write_bytes(b"")
    (root / "cut.png").write_bytes((root / "a.png").read_bytes()[:-300])
    (root / "folder").mkdir()
    (root / "folder" / "q.JPG").write_bytes((root / "a.png").read_bytes())
    return root


def read(kind: str, text: str, folder: Path) -> list[TaskRecord] | list[TraceRecord]:
    """What a file of one such row holds."""
    path = folder / "rows.json"
    if kind == "folder":
        (folder / "folder" / "q.json").write_text(text, encoding="utf-8")
        return read_vstar_folder(folder, categories=["folder"])
    path.write_text(f"[{text}]" if kind in ("v2", "pro") else text, encoding="utf-8")
    if kind == "mcts":
        return [tree_task(tree) for tree in read_mcts_jsonl(path)]
    readers: dict[str, Callable[..., Any]] = {
        "rl": read_rl_jsonl,
        "point": partial(read_rl_jsonl, scorer=PointInBox()),
        "v2": partial(read_screenspot_v2, image_root=folder),
        "pro": partial(read_screenspot_pro, image_root=folder),
        "sft": read_sft_json,
        "questions": read_vstar_questions,
    }
    return readers[kind](path)


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a row that a value stands at."""
    pairs = value.items() if isinstance(value, dict) else ()
    pairs = enumerate(value) if isinstance(value, list) else pairs
    return [here for key, inner in pairs for here in [(*path, key), *places(inner, (*path, key))]]


def damaged(row: dict[str, Any], rng: random.Random) -> str:
    """The row's text with one value exchanged or gone, or with one of its characters."""
    copy: Any = json.loads(json.dumps(row))
    *way, last = rng.choice(places(copy))
    inner = copy
    for key in way:
        inner = inner[key]
    kind = rng.random()
    if kind < 0.1:
        del inner[last]
        return json.dumps(copy)
    if kind < 0.2:
        text = json.dumps(copy)
        at = rng.randrange(len(text))
        return text[:at] + rng.choice('{}[]",:\\0\x00é') + text[at + rng.randrange(2) :]
    inner[last] = "HERE"
    return json.dumps(copy).replace('"HERE"', rng.choice(LITERALS))


@pytest.mark.parametrize("kind", ROWS)
def test_a_row_is_asked_or_refused_in_one_line(kind: str, folder: Path, policy: Policy) -> None:
    rng, refusals, decode = random.Random(kind), list[str](), Rules(decode_pictures=True)
    for _ in range(NUM_ROWS):
        text = damaged(ROWS[kind], rng)
        try:
            records = dry_pass(read(kind, text, folder), policy, rules=decode)
        except DataError as error:
            refusals.append(str(error))
            continue
        for record in records:
            task = task_of(record)
            assert task.question.strip()
            assert task.answer.strip()
            assert len(fingerprint([record])) == 64
            view = policy.images.whole(task.images[0])
            assert all(box.is_inside(view.original) for box in task.target_boxes)
            task.score("red", view=view)
            if isinstance(record, TraceRecord):
                rescaled_trace(record, image=view)
            else:
                write_rl_jsonl([record], folder / "written.jsonl")
    assert 0.3 * NUM_ROWS < len(refusals) < NUM_ROWS  # some of it is harmless
    for said in refusals:
        assert str(folder) in said
        assert "\n" not in said
        assert len(said) < 1000


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's remarks
@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PPM"])
def test_a_picture_is_shown_as_its_header_says_or_refused(tmp_path: Path, format_: str) -> None:
    whole, rng, path = io.BytesIO(), random.Random(format_), tmp_path / "x.jpg"
    refusals: list[str] = []
    Image.effect_noise((40, 30), 50).convert("RGB").save(whole, format_)
    for _ in range(NUM_PICTURES):
        content = bytearray(whole.getvalue())
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(min(len(content), rng.choice((40, 10_000))))
            content[at] = rng.choice((0, 1, 255, rng.randrange(256)))
        path.write_bytes(content[: rng.choice((len(content), rng.randrange(len(content)))) or 1])
        try:
            size, image = read_size(path), open_image(path)
        except DataError as error:
            refusals.append(str(error))
            continue
        assert (image.mode, image.size) == ("RGB", (size.width, size.height))
    assert not any("\n" in said for said in refusals)


@pytest.mark.parametrize("sides", [(0, 5), (2**31 - 1, 2**31 - 1), (10**5, 10**5), (2**31, 1)])
def test_headers_that_promise_too_much(tmp_path: Path, sides: tuple[int, int]) -> None:
    header = struct.pack(">IIBBBBB", *sides, 8, 2, 0, 0, 0)
    path = tmp_path / "x.png"
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    for look in (read_size, open_image):
        with pytest.raises(DataError):
            look(path)
