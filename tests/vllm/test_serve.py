"""vLLM's own server on a folder of ours, told nothing but where it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.serve_equals_evaluate import export_one_turn, measure_elsewhere

pytest.importorskip("vllm", reason="needs vllm")
from tests.vllm.test_server import Served

pytestmark = [pytest.mark.vllm, pytest.mark.slow]


def test_an_exported_folder_is_asked_as_it_was_trained(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    export_one_turn(folder)
    short = ["--max-model-len", "2048", "--limit-mm-per-prompt", '{"image": 1}']
    server = Served.start(tmp_path, model=str(folder), common=short)
    try:
        server.wait()
        small = ("data=made_world_few", "num_threads=1")
        found = measure_elsewhere(tmp_path, 8, server.url, str(folder), *small)
    finally:
        server.kill()
    assert found["same_answer"] == found["same_dialog"] == found["questions"] == 8
