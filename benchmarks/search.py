"""What a tree search finds and what it costs.

    python benchmarks/search.py quality [--engine hf] [--questions 200]
    python benchmarks/search.py speed --engine scripted|hf|vllm

quality   the teacher (the start checkpoint) on the made world's test questions, which are of no
          training picture: right with one try; with the best of as many tries as have the tokens
          that the search has sampled; with a search
speed     the same trees with everything in flight that can be, and with one request at a time, on
          the same engine: `scripted` takes 20 ms for each request and has 64 slots
"""

from __future__ import annotations

import argparse
import heapq
import random
import time
from collections.abc import Iterable, Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from vigorl.build import CONFIGS, Parts, build_engine, build_parts, prepare_process
from vigorl.core.metrics import is_right
from vigorl.core.protocols import Completion, GenerationRequest
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout
from vigorl.core.search_tree import SearchTreeRecord
from vigorl.core.trace import Step, ToolCall, Trace
from vigorl.data.splits import load_tasks
from vigorl.evaluation.statistics import wilson_interval
from vigorl.rollout.collector import build_dialogs, collect
from vigorl.rollout.engines.scripted import ScriptedEngine
from vigorl.search.forest import ForestStats, grow_forest

DELAY_S, SLOTS = 0.02, 64


class DelayedEngine(ScriptedEngine):
    """A script whose every request takes `DELAY_S` on one of `SLOTS` slots."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._free_at = [0.0] * SLOTS
        self._ends: list[tuple[float, str]] = []

    def submit(self, request: GenerationRequest) -> None:
        super().submit(request)
        end = max(heapq.heappop(self._free_at), time.perf_counter()) + DELAY_S
        heapq.heappush(self._free_at, end)
        heapq.heappush(self._ends, (end, request.id))

    def poll(self) -> list[Completion]:
        if not self._ends:
            return []
        time.sleep(max(self._ends[0][0] - time.perf_counter(), 0.0))
        now, done = time.perf_counter(), set[str]()
        while self._ends and self._ends[0][0] <= now:
            done.add(heapq.heappop(self._ends)[1])
        ready = [one for one in self._waiting if one.request.id in done]
        self._waiting = [one for one in self._waiting if one.request.id not in done]
        return [self._complete(one.request) for one in ready]


class OneAtATime:
    """An engine that is given its next request when it has answered the last."""

    def __init__(self, engine: Any) -> None:
        self._engine, self._queue = engine, list[GenerationRequest]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    @property
    def num_in_flight(self) -> int:
        return len(self._queue)

    def submit(self, request: GenerationRequest) -> None:
        self._queue.append(request)

    def poll(self) -> list[Completion]:
        if not self._queue:
            return []
        self._engine.submit(self._queue.pop(0))
        return self._engine.poll()


def wanderer(request: GenerationRequest) -> str:
    """Looks about, and answers one of four, by its noise."""
    rng, size = random.Random(request.seed), request.views[0].size
    if rng.random() < 0.6:
        place = [rng.randrange(size.width), rng.randrange(size.height)]
        look = Step(f"It may be at ({place[0]}, {place[1]}).")
        call = ToolCall("search_coordinate", {"coordinate": place})
        return Trace((Step(look.think, call), Step("So.")), "A").turns()[0]
    answer = rng.choice(["vertical", "horizontal", "rising", "falling"])
    return Trace((Step("So."),), answer).turns()[0]


def configured(engine: str, questions: int) -> tuple[Any, Parts, Sequence[TaskRecord]]:
    prepare_process()
    named = "hf" if engine == "scripted" else engine
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        cfg = compose("synthesize", ["experiment=mcts_vstar", f"engine={named}"])
    tasks, _ = load_tasks(instantiate(cfg.data), "test", asks=None, limit=questions, seed=0)
    return cfg, build_parts(cfg), tasks


def grow(
    cfg: Any, parts: Parts, engine: Any, tasks: Iterable[TaskRecord]
) -> tuple[list[SearchTreeRecord], ForestStats]:
    seen: list[ForestStats] = []
    trees = grow_forest(
        engine,
        parts.environment,
        tasks,
        instantiate(cfg.search),
        run_seed=0,
        max_in_flight=cfg.max_in_flight,
        on_progress=seen.append,
    )
    return list(trees), seen[-1]


def quality(engine: str, questions: int) -> None:
    cfg, parts, tasks = configured(engine, questions)
    teacher = build_engine(cfg, parts)
    trees, stats = grow(cfg, parts, teacher, tasks)
    solved = {tree.id for tree in trees if tree.is_solved}

    def tries(count: int, phase: str) -> tuple[list[list[Rollout]], int]:
        dialogs = build_dialogs(parts.environment, tasks, group_size=count, phase=phase, run_seed=0)
        found = collect(teacher, dialogs, phase=phase)
        groups = [found.rollouts[i : i + count] for i in range(0, len(dialogs), count)]
        return groups, found.num_new_tokens

    one, one_tokens = tries(1, "one")
    count = round(stats.num_tokens / one_tokens)
    many, many_tokens = tries(count, "many")
    rows = {
        "one try": (sum(is_right(group[0]) for group in one), one_tokens),
        f"best of {count} tries": (sum(any(map(is_right, group)) for group in many), many_tokens),
        "search": (len(solved), stats.num_tokens),
    }
    print(f"\n{len(tasks)} questions, {engine}\n")
    print("| | a right answer found, % [95 %] | tokens per question |\n|---|---|---|")
    for name, (right, tokens) in rows.items():
        low, high = wilson_interval(right, len(tasks))
        share = 100 * right / len(tasks)
        interval = f"[{100 * low:.1f}, {100 * high:.1f}]"
        print(f"| {name} | {share:.1f} {interval} | {tokens / len(tasks):.0f} |")


def speed(engine: str, questions: int) -> None:
    cfg, parts, tasks = configured(engine, questions)

    def fresh() -> Any:
        if engine == "scripted":
            return DelayedEngine(wanderer, parts.codec)
        return build_engine(cfg, parts)

    shared = fresh()  # vLLM starts once; a publish is not needed, and caches are warm for neither
    grow(cfg, parts, shared, tasks[:2])  # warms it up
    print(f"\n{questions} trees, {engine}\n")
    print("| | s per tree | requests | most in flight |\n|---|---|---|---|")
    spent: list[float] = []
    grown: list[list[SearchTreeRecord]] = []
    for name, wrapped in (("one at a time", OneAtATime(shared)), ("all that can run", shared)):
        if engine == "vllm":
            shared._drop_caches()
        started = time.perf_counter()
        trees, stats = grow(cfg, parts, wrapped, tasks[2:])
        spent.append((time.perf_counter() - started) / len(trees))
        grown.append(sorted(trees, key=lambda tree: tree.id))
        in_flight = 1 if wrapped is not shared else stats.max_in_flight
        print(f"| {name} | {spent[-1]:.3f} | {stats.num_requests} | {in_flight} |", flush=True)
    same = sum(left.root == right.root for left, right in zip(*grown, strict=True))
    print(f"\n{spent[0] / spent[1]:.1f}x; {same} of {len(grown[0])} trees are the same")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("quality", "speed"))
    parser.add_argument("--engine", choices=("scripted", "hf", "vllm"), default="hf")
    parser.add_argument("--questions", type=int, default=200)
    args = parser.parse_args()
    {"quality": quality, "speed": speed}[args.what](args.engine, args.questions)


if __name__ == "__main__":
    main()
