"""Texts that a model may write, and bytes that a run's folder may hold, from fixed seeds: each is
read, or refused in one line of our own; nothing that has a digest is taken for what it was not.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests import builders
from vigorl.callbacks.checkpoint import newest_whole
from vigorl.core.digests import check_digests, write_digest, write_folder_digests
from vigorl.core.errors import ConfigError, DataError
from vigorl.core.metrics import rollout_metrics
from vigorl.core.protocols import ToolError
from vigorl.core.trace import parse_thought, parse_turn, split_at_points
from vigorl.families.lookup import family_of
from vigorl.rollout.recorder import rollout_from_json, rollout_to_json
from vigorl.rollout.tools.zoom_box import ZoomBox
from vigorl.rollout.tools.zoom_point import ZoomPoint
from vigorl.run_folder import Identity, read_identity, read_settings, write_identity
from vigorl.targets import check_foreign, check_foreign_overrides
from vigorl.training.tensor_files import tensors_only

NUM_TEXTS = 400
NUM_FILES = 100  # of each kind
LONGEST = 100_000
TAGS = tuple(
    f"<{end}{name}>"
    for name in ("think", "answer", "tool_call", "observation", "image", "x", "THINK", " think ")
    for end in ("", "/")
)
CALLS = tuple(
    json.dumps({"name": name, "arguments": {key: value}})
    for name, key in (("zoom", "coordinate"), ("zoom", "bbox_2d"), ("none", "coordinate"))
    for value in (
        *([5, 6], [5.5, -6], [0, 0, 50, 50], [9, 9, 1, 1], [10**400, 1], [float("nan"), 2]),
        *([float("inf"), 1], [1], [[1, 2]], ["1", "2"], {"x": 1}, None, True, "5, 6", "\ud83d"),
    )
)
PIECES = (
    *TAGS * 3,
    *CALLS,
    *('{"name": 1}', '{"name": "a"}', "[1]", "{", "null", '"\\ud83d"', '{"a": 1, "a": 2}'),
    *("[" * 3000, '{"a":' * 3000, "9" * 5000, "(" * 300, "(1, " * 300, "(" + "9" * 5000 + ", 1)"),
    *("(5, 6)", "(5.5, 6)", "(-1, 2)", "(1,2", "(1, 2, 3)", "(１, ２)", "(1e5, 2)", "(0.5, .5)"),
    *(
        "é",
        "🙂",
        "\u200b",
        "\x00",
        "。",
        "\u2212",
        "\r\n",
        "\u202e",
        "\ufeff",
        "\n" * 50,
        " " * 500,
    ),
    *("red", "At ", "<", "</", ">", "a" * 1000),
)


def text(rng: random.Random) -> str:
    """Of pieces, or a turn as it should be with pieces in it."""
    if rng.random() < 0.4:
        said = rng.choice((builders.call_text(5, 6), "<think> a </think>\n<answer> red </answer>"))
        for _ in range(rng.randrange(3)):
            at = rng.randrange(len(said))
            said = said[:at] + rng.choice(PIECES) + said[at + rng.randrange(2) :]
        return said
    if rng.random() < 0.15:
        return (rng.choice(PIECES) * rng.choice((10, 20_000)))[:LONGEST]
    count = rng.choice((1, 3, 8, 30, 200, 2000))
    return "".join(rng.choice(PIECES) for _ in range(count))[:LONGEST]


def test_whatever_a_model_writes_is_read() -> None:
    rng, image = random.Random(0), builders.view()
    tools = [ZoomPoint(window_px=28, view_px=56), ZoomBox(min_window_px=28, view_px=56)]
    read, calls = set[object](), 0
    for _ in range(NUM_TEXTS):
        said = text(rng)
        parsed = parse_turn(said)
        read.add(parsed.problem)
        parse_thought(said)
        words, rest = split_at_points(said)
        assert sum(len(before) for before, _ in words) + len(rest) <= len(said)
        one = builders.scored(builders.rollout(builders.turn(said)))
        assert 0 <= rollout_metrics([one])["rollout/accuracy"] <= 1
        line = rollout_to_json(one, phase="p", run_seed=0)
        assert rollout_from_json(line).scored == one
        for tool in tools:
            if parsed.tool_call is None:
                continue
            calls += 1
            try:
                seen = tool.call(parsed.tool_call.arguments, scene=builders.scene(image))
            except ToolError:
                continue
            assert all(view.box is None or view.box.is_inside(view.original) for view in seen.views)
    assert len(read) > 6
    assert calls > 20


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Cut, with other bytes in the place of some, with more of them, or with a bit turned."""
    at, kind = rng.randrange(len(content)), rng.random()
    if kind < 0.2:
        return content[:at]
    if kind < 0.4:
        return content[:at] + rng.randbytes(rng.choice((1, 3, 200))) + content[at:]
    if kind < 0.5:
        return content[:at] + content[at + rng.randrange(1, 50) :]
    if kind < 0.6:
        pieces = (
            b"\x00",
            b"[" * 5000,
            b"9" * 5000,
            b"\xff\xfe",
            b'"',
            b": ",
            b"${oc.env:HOME}",
            b"\n",
        )
        return content[:at] + rng.choice(pieces) + content[at + 1 :]
    return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]


def refusals(path: Path, look: Callable[[], object], *, seed: str, whole: bytes) -> int:
    """How many of many damages a reader refuses; `look` says by an assertion what it took amiss."""
    rng, said = random.Random(seed), list[str]()
    for _ in range(NUM_FILES):
        content = damaged(whole, rng)
        path.write_bytes(content)
        try:
            look()
        except (ConfigError, DataError) as error:
            said.append(str(error))
            continue
    for line in said:
        assert "\n" not in line
        assert len(line) < 1500
    return len(said)


def test_a_damaged_run_json_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    overrides = ["experiment=grpo_vstar", "seed=3", "data.root='a, b'", "+x={a: [1, 2]}"]
    write_identity(path, Identity(format=2, mlflow_run_id="0123", overrides=overrides))

    def look() -> None:
        found = read_identity(path).overrides
        check_foreign_overrides(found, where=path, plugins=[], groups=["experiment"])

    assert refusals(path, look, seed="run", whole=path.read_bytes()) > NUM_FILES // 3


def test_a_damaged_config_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    target = "{_target_: vigorl.training.plan.PhasePlan, passes: 1}"
    whole = f"paths:\n  run: here\nmodel:\n  path: there\n  lora: null\nplan: {target}\nseed: 0\n"

    def look() -> None:
        check_foreign(read_settings(path), where=path, plugins=[])

    assert refusals(path, look, seed="config", whole=whole.encode()) > NUM_FILES // 5


@pytest.mark.parametrize("has_digest", [True, False])
def test_a_damaged_checkpoint_is_refused_or_the_same(tmp_path: Path, has_digest: bool) -> None:
    path, made = tmp_path / "made.ckpt", {"a.weight": torch.arange(600.0)}
    torch.save({"state_dict": made, "optimizer_states": [], "loops": {}, "epoch": 1}, path)
    whole, folder = path.read_bytes(), tmp_path / "checkpoints"
    folder.mkdir()
    stored = folder / "phase-00001.ckpt"
    if has_digest:
        write_digest(stored, of=path)
    digest = (folder / "phase-00001.ckpt.sha256") if has_digest else None
    kept = digest.read_bytes() if digest else b""

    def look() -> None:
        for one in folder.glob("*.damaged"):
            one.unlink()
        if digest:
            digest.write_bytes(kept)
        content = stored.read_bytes()
        found = newest_whole(folder)
        assert found is not None
        assert found == stored
        assert not has_digest or content == whole
        with tensors_only(found):
            state = torch.load(found, weights_only=True)["state_dict"]
        assert list(state) == ["a.weight"]
        assert torch.equal(state["a.weight"], made["a.weight"])

    least = NUM_FILES * 2 // 3 if has_digest else NUM_FILES // 2
    assert refusals(stored, look, seed="checkpoint", whole=whole) > least


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "SHA256SUMS"])
def test_a_damaged_model_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(random.Random(0).randbytes(3000))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2_5_vl", "x": [1, "é"]}))
    write_folder_digests(tmp_path, list(tmp_path.iterdir()))
    whole = (tmp_path / name).read_bytes()

    def look() -> None:
        check_digests(tmp_path)
        assert name == "SHA256SUMS" or (tmp_path / name).read_bytes() == whole

    assert refusals(tmp_path / name, look, seed=name, whole=whole) > NUM_FILES * 2 // 3


def test_a_damaged_config_json_without_a_digest_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    whole = json.dumps({"model_type": "qwen2_5_vl", "architectures": ["A"], "x": [1, "é"]})
    look = lambda: family_of(tmp_path)  # noqa: E731
    assert refusals(path, look, seed="family", whole=whole.encode()) > NUM_FILES // 4
