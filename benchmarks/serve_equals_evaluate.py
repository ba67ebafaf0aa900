"""Does the chat endpoint answer as `vigorl.evaluate` does? The made world's test questions, greedy,
through both.

    python benchmarks/serve_equals_evaluate.py --num 200                 # vigorl.serve, all turns
    python benchmarks/serve_equals_evaluate.py --export FOLDER           # for one turn, by anybody:
    vllm serve FOLDER --served-model-name one --port 8000 ...
    python benchmarks/serve_equals_evaluate.py --num 200 --url http://localhost:8000 --name one

Prints how many of the questions got the same answer, and how many dialogs are the same to the
letter. With --url the questions are asked in one turn (`env=visual_search_point`), since a server
without tools carries out none, and turns are compared as text.
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import tempfile
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from vigorl.build import ASSETS, CONFIGS, build_parts
from vigorl.core.rollout import Rollout
from vigorl.core.trace import parse_turn
from vigorl.evaluate import run_evaluation
from vigorl.rollout.chat_files import add_chat_files, write_chat_files
from vigorl.rollout.recorder import read_rollouts
from vigorl.serve import build_server

ONE_TURN = "env=visual_search_point"
_MODEL = "model.path=tiny_trained"


def settings(door: str, root: Path, *overrides: str) -> DictConfig:
    """Of a door, with all of its files below `root`."""
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        return compose(door, [_MODEL, f"paths.root={root}", "logger=none", *overrides])


def evaluated(root: Path, num: int, *overrides: str) -> list[Rollout]:
    """What `vigorl.evaluate` has recorded of its first questions."""
    folder = root / "evaluated"
    run_evaluation(settings("evaluate", root, f"paths.run={folder}", f"limit={num}", *overrides))
    return [one.scored.rollout for one in read_rollouts(folder / "rollouts.jsonl")]


@contextmanager
def served(root: Path, *overrides: str) -> Iterator[tuple[str, str]]:
    """The endpoint's address and its model's name."""
    server = build_server(settings("serve", root, "port=0", *overrides))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.url, server.asker.name
    finally:
        server.shutdown()
        thread.join()
        server.asker.engine.close()
        server.server_close()


def ask(url: str, name: str, rollout: Rollout, *, most: int | None = None) -> list[str]:
    """The texts of the turns that a question gets; greedy, at the endpoint's own temperature or,
    with a limit of tokens, said so, which any server understands.
    """
    task = rollout.task
    (picture,) = task.images
    data = base64.b64encode(Path(picture).read_bytes()).decode()
    parts = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
        {"type": "text", "text": task.question},
    ]
    body: dict[str, Any] = {"model": name, "messages": [{"role": "user", "content": parts}]}
    if most is None:
        body["vigorl"] = {"options": task.options}
    else:
        body |= {"temperature": 0, "max_tokens": most}
    request = urllib.request.Request(
        f"{url}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=600) as answer:
        (choice,) = json.load(answer)["choices"]
    if most is not None:
        return [choice["message"]["content"]]
    turns = [turn["text"] for turn in choice["vigorl"]["turns"]]
    assert choice["message"]["content"] == parse_turn(turns[-1]).answer
    return turns


def compare(rollouts: Sequence[Rollout], found: Sequence[Sequence[str]]) -> dict[str, int]:
    """How many questions have the same answer, and how many the same dialog."""
    pairs = list(zip(rollouts, found, strict=True))
    return {
        "questions": len(pairs),
        "answered": sum(one.answer is not None for one in rollouts),
        "turns": sum(len(one.turns) for one in rollouts),
        "same_answer": sum(one.answer == parse_turn(texts[-1]).answer for one, texts in pairs),
        "same_dialog": sum([t.text for t in one.turns] == list(texts) for one, texts in pairs),
    }


def measure(root: Path, num: int, *overrides: str, jobs: int = 8) -> dict[str, int]:
    """Through `vigorl.serve`, several questions at a time."""
    rollouts = evaluated(root, num, *overrides)
    with served(root, *overrides) as (url, name), ThreadPoolExecutor(jobs) as threads:
        return compare(rollouts, list(threads.map(partial(ask, url, name), rollouts)))


def measure_elsewhere(
    root: Path, num: int, url: str, name: str, *overrides: str, jobs: int = 8
) -> dict[str, int]:
    """Through a server of anybody's, on the folder that `export_one_turn` writes."""
    overrides = (ONE_TURN, *overrides)
    rollouts = evaluated(root, num, *overrides)
    most = int(settings("evaluate", root, *overrides).env.limits.max_new_tokens)
    with ThreadPoolExecutor(jobs) as threads:
        return compare(rollouts, list(threads.map(partial(ask, url, name, most=most), rollouts)))


def export_one_turn(folder: Path) -> None:
    """The trained tiny model as if it had been trained to answer in one turn."""
    shutil.copytree(ASSETS / "tiny_trained", folder)
    (folder / "SHA256SUMS").unlink()  # of other files than these will be
    with tempfile.TemporaryDirectory() as root:
        parts = build_parts(settings("evaluate", Path(root), ONE_TURN))
        write_chat_files(Path(root) / "chat", parts.environment, source=folder)
        add_chat_files(folder, Path(root) / "chat")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--num", type=int, default=200, help="questions")
    parser.add_argument("--export", type=Path, metavar="FOLDER", help="write the folder to serve")
    parser.add_argument("--url", help="of a server on that folder")
    parser.add_argument("--name", help="of its model")
    said = parser.parse_args(arguments)
    if said.export:
        export_one_turn(said.export)
        return
    with tempfile.TemporaryDirectory() as root:
        if said.url:
            found = measure_elsewhere(Path(root), said.num, said.url, said.name)
        else:
            found = measure(Path(root), said.num)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
