"""What cannot be asked is found before the first question, and named with file and line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.builders import task
from vigorl.core.errors import DataError
from vigorl.core.records import TaskRecord
from vigorl.data.dry_pass import dry_pass
from vigorl.data.encoding import ChatCodec
from vigorl.data.faults import STRICT, Rules
from vigorl.data.images import ImageStore
from vigorl.data.prompts import OPTIONS, Prompt

PROMPT = Prompt("Look.", options=OPTIONS)
DECODED = Rules(decode_pictures=True)


@dataclass(frozen=True)
class Policy:
    codec: ChatCodec
    images: ImageStore
    prompt: Prompt = PROMPT


@pytest.fixture
def policy(codec: ChatCodec, store: ImageStore) -> Policy:
    return Policy(codec, store)


@pytest.fixture
def tasks(tmp_path: Path, picture: Callable[..., str]) -> list[TaskRecord]:
    """On a picture that is well, a banner, one that is cut, a text file, and none."""
    paths = [picture("well.png"), str(tmp_path / "banner.png"), picture("cut.png")]
    Image.new("RGB", (2010, 10)).save(paths[1])
    Path(paths[2]).write_bytes(Path(paths[2]).read_bytes()[:-200])
    (tmp_path / "text.png").write_text("not found")
    paths += [str(tmp_path / name) for name in ("text.png", "gone.png")]
    return [task(id=str(i), images=(p,), source=f"f:{i}") for i, p in enumerate(paths, start=1)]


def test_headers_and_sizes_are_asked(policy: Policy, tasks: list[TaskRecord]) -> None:
    with pytest.raises(DataError, match="3 of 5 rows cannot be used") as caught:
        dry_pass(tasks, policy, rules=STRICT)
    for number, said in ((2, "200"), (4, "not a picture"), (5, "no such picture")):
        assert f"named by f:{number}" in str(caught.value)
        assert said in str(caught.value)
    kept = dry_pass(tasks, policy, rules=Rules(skip_bad_rows=True))
    assert [one.id for one in kept] == ["1", "3"]


def test_decoding_finds_the_rest(policy: Policy, tasks: list[TaskRecord]) -> None:
    with pytest.raises(DataError, match=r"cut.png: the picture is damaged .*named by f:3"):
        dry_pass(tasks, policy, rules=DECODED)
    well = dry_pass(tasks, policy, rules=Rules(skip_bad_rows=True, decode_pictures=True))
    assert [one.id for one in well] == ["1"]


def test_without_a_model_pictures_are_decoded_alone(tasks: list[TaskRecord]) -> None:
    with pytest.raises(DataError, match="3 of 5 rows") as caught:
        dry_pass(tasks, None, rules=DECODED)
    assert "named by f:2" not in str(caught.value)


def test_what_the_prompt_refuses_is_placed(policy: Policy, tasks: list[TaskRecord]) -> None:
    many = task(images=tasks[0].images, options=tuple(map(str, range(27))), source="f:9")
    with pytest.raises(DataError, match="f:9: 27 options, but only 26 letters"):
        dry_pass([tasks[0], many], policy, rules=STRICT)
