"""What do a file of a million questions and one of 100,000 search trees take?

    python benchmarks/streaming.py [rows=1000000] [trees=100000] [pictures=10000] [kept=false]

Both files are made in the projects' formats: questions on `pictures` small pictures, and trees of
12 thoughts with three tries each. Then, each in a process of its own, with its peak of memory,
libraries included, and its seconds of the processor:

    rows    what training does before its first phase: read, look at, split by pictures, name by a
            fingerprint; then the prompts of a phase
    trees   what synthesize does when the trees are there: read, chains, both files, the page

`kept=true` keeps all records in memory, as before there were `FileRecords`; else none is, also
where the file is shorter than `files.WHOLE_BYTES`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

SIDE_PX, ROLLOUTS, THOUGHTS, DEPTH = 112, 3, 12, 4
COLOURS = ("red", "green", "blue", "yellow")


def main() -> None:
    words = dict(one.split("=", 1) for one in sys.argv[1:])
    sizes = {name: int(words.get(name, n)) for name, n in (("rows", 10**6), ("trees", 10**5))}
    kept = words.get("kept", "false")
    with tempfile.TemporaryDirectory() as folder:
        make_pictures(Path(folder), num := int(words.get("pictures", 10_000)))
        for name, count in sizes.items():
            if not count:
                continue
            path = Path(folder, f"{name}.jsonl")
            with open(path, "w") as file:
                line = row if name == "rows" else tree
                file.writelines(json.dumps(line(i, num)) + "\n" for i in range(count))
            print(f"{count} {name}, {path.stat().st_size / 2**20:.0f} MiB", flush=True)
            subprocess.run([sys.executable, __file__, "of", name, str(path), kept], check=True)
            path.unlink()


def make_pictures(folder: Path, num: int) -> None:
    (folder / "images").mkdir()
    for i in range(num):
        colour = (i % 256, i // 256 % 256, i // 65536)
        Image.new("RGB", (SIDE_PX, SIDE_PX), colour).save(folder / picture(i), compress_level=1)


def picture(number: int) -> str:
    return f"images/{number:06d}.png"


def row(i: int, num: int) -> dict[str, object]:
    return {
        "id": f"row-{i:07d}",
        "problem": f"<image>What is written on sign {i} beside the red door, left of the tree?",
        "answer": COLOURS[i % 4],
        "options": COLOURS,
        "images": [picture(i % num)],
        "category": f"kind {i % 7}",
    }


def tree(i: int, num: int) -> dict[str, object]:
    """Three branches of four thoughts; of each thought's tries one is right."""

    def node(branch: int, depth: int) -> dict[str, object]:
        x, y = 10 + 25 * branch, 10 + 20 * depth
        tries = [
            {
                "final_answer": COLOURS[(i + k) % 4],
                "reward": float(k == 0),
                "ephemeral_texts": [
                    f"Then I look at ({x + k}, {y + 5}). It is {COLOURS[k]}.",
                    "So.",
                ],
            }
            for k in range(ROLLOUTS)
        ]
        return {
            "thought_text": f"I see a sign near the place ({x}, {y}) and look at it more closely.",
            "is_terminal": False,
            "value": 0.3,
            "visit_count": ROLLOUTS,
            "rollouts": tries,
            "children": [node(branch, depth + 1)] if depth + 1 < DEPTH else [],
            "used_coords": [[10 + 25 * branch, 10 + 20 * d] for d in range(depth + 1)],
        }

    root = {"thought_text": "What?", "is_terminal": False, "value": 0.3, "visit_count": 9}
    root["children"] = [node(branch, 0) for branch in range(THOUGHTS // DEPTH)]
    return {
        "id": f"tree-{i:06d}",
        "question": f"What is written on sign {i} beside the red door?",
        "image": picture(i % num),
        "true_answer": COLOURS[i % 4],
        "tree": root,
    }


def measure(name: str, path: Path, *, kept: bool) -> None:
    from vigorl.core.process_memory import peak_bytes
    from vigorl.data.sources import files
    from vigorl.search import linearize

    files.WHOLE_BYTES = 0
    if kept:
        files.WHOLE_BYTES = linearize.KEPT_TRACES = 1 << 60
    used = time.process_time()
    found = read_rows(path) if name == "rows" else read_trees(path)
    used = time.process_time() - used
    print(f"{name}: {found}; {used:.0f} s, peak {peak_bytes() / 2**20:.0f} MiB", flush=True)


def read_rows(path: Path) -> str:
    from vigorl.data.datasets import fingerprint
    from vigorl.data.splits import ReleasedFiles
    from vigorl.training.plan import PhasePlan

    splits = ReleasedFiles(train_tasks=str(path), holdout_frac=0.01).load()
    name = fingerprint(splits.train_tasks)[:16]
    plan = PhasePlan(
        prompts_per_phase=512, group_size=8, sequences_per_update=4096, micro_batch_size=8
    )
    chosen = plan.prompts_of_phase(0, num_prompts=len(splits.train_tasks), seed=0)
    asked = [splits.train_tasks[i] for i in chosen]
    return f"{len(splits.train_tasks)} + {len(splits.val_tasks)} of {name}, {len(asked)} asked"


def read_trees(path: Path) -> str:
    from vigorl.build import ASSETS
    from vigorl.core.search_metrics import search_metrics
    from vigorl.data.images import ImageStore
    from vigorl.data.sources.files import ById, all_names
    from vigorl.data.sources.mcts_jsonl import read_mcts_jsonl, tree_task
    from vigorl.data.sources.sft_json import write_sft
    from vigorl.pages.search import ChainCounts, render_search_page
    from vigorl.rollout.tools.zoom_point import ZoomPoint
    from vigorl.search.linearize import linearize_trees
    from vigorl.search.searched import SearchedTrees

    trees, images = read_mcts_jsonl(path), ImageStore.from_pretrained(ASSETS / "tiny_start")
    tasks = ById([tree_task(one) for one in trees])
    ids = [name for name, *_ in all_names(trees)]
    searched = SearchedTrees(trees, ids, tasks=tasks, images=images)
    done = linearize_trees(searched, tool=ZoomPoint(window_px=56, view_px=56))
    chains = ChainCounts()
    write_sft(chains.over(done.records), path.parent / "chains.jsonl", path.parent / "chains.json")
    metrics = search_metrics(trees)
    page = render_search_page(
        trees, tasks, images=images, title="trees", chains=chains, metrics=metrics
    )
    return f"{len(trees)} trees, {len(done.records)} chains, a page of {len(page) / 1e6:.1f} MB"


if __name__ == "__main__":
    if sys.argv[1:2] == ["of"]:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        measure(sys.argv[2], Path(sys.argv[3]), kept=sys.argv[4] == "true")
    else:
        main()
