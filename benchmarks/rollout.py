"""What a phase of rollouts costs, and what the collector and the caches save.

    schedule   the collector against one that waits for every dialog's turn before the next turn,
               1 to 5 turns of 10 to 200 tokens, more dialogs than the engine has slots; hf also
               with slots that are filled again as they become free
    caches     three turns, groups of 8: prefix cache and picture cache, each on and off
    groups     128 rollouts: 16 questions 8 times, or 128 questions once

    python benchmarks/rollout.py --engine vllm      # in an environment that has vLLM
    python benchmarks/rollout.py --engine hf

The start checkpoint samples for real, with its end token banned, so that lengths and turns are
those of the workload; what it "calls" is drawn too. Each line of the tables is a process of its
own, one after the other, measured after a smaller collection that warms it up. Counted are forward
passes of the language model (what a GPU pays for), prompt tokens that it read, and pictures that
went through the vision tower. Times are of this machine.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, cast

from vigorl.build import ASSETS
from vigorl.core.geometry import Point
from vigorl.core.protocols import (
    Completion,
    Engine,
    GenerationRequest,
    Observation,
    SamplingParams,
    Scene,
)
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout, StopReason
from vigorl.core.trace import ParsedTurn
from vigorl.data.encoding import ChatCodec
from vigorl.data.images import ImageStore
from vigorl.data.prompts import Prompt
from vigorl.data.scenes.draw import SceneSettings, draw_scene
from vigorl.rollout.collector import collect
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.engines.hf import HFEngine
from vigorl.rollout.engines.vllm import VLLMEngine
from vigorl.rollout.environment import Environment
from vigorl.rollout.limits import RolloutLimits
from vigorl.rollout.seeds import derive_seed
from vigorl.rollout.tools.zoom_point import ZoomPoint

FOLDER = ASSETS / "tiny_start"
SLOTS = 32  # requests that an engine samples together
PIXELS = {"min_pixels": 3136, "max_pixels": 12544}  # the tiny scale's


@dataclass(frozen=True)
class Case:
    """One line of a table; `lengths` None draws 10 to 200 tokens, most of them short."""

    name: str
    engine: str
    schedule: str = "collector"
    num_questions: int = 128
    group_size: int = 1
    turns: tuple[int, int] = (1, 5)
    length: int | None = None
    prefix_cache: bool = True
    picture_cache: bool = True
    refill: bool = False


def cases(engine: str) -> dict[str, list[Case]]:
    skewed = Case("", engine)
    three = replace(skewed, num_questions=8, group_size=8, turns=(3, 3), length=24)
    return {
        "schedule": [
            replace(skewed, name="lock-step", schedule="lock-step"),
            replace(skewed, name="collector"),
            *([replace(skewed, name="collector, refill", refill=True)] if engine == "hf" else []),
        ],
        "caches": [
            replace(three, name="neither", prefix_cache=False, picture_cache=False),
            replace(three, name="picture cache", prefix_cache=False),
            replace(three, name="prefix cache", picture_cache=False),
            replace(three, name="both"),
        ],
        "groups": [
            replace(three, name="128 x 1", num_questions=128, group_size=1),
            replace(three, name="16 x 8", num_questions=16, group_size=8),
        ],
    }


class DrawnDialog(Dialog):
    """A dialog whose number of turns, lengths and zooms are drawn, whatever the policy writes."""

    def __init__(self, *args: Any, case: Case, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rng = random.Random(self.seed)
        # half of the dialogs have one or two turns; lengths are uniform in their logarithm
        low, high = case.turns
        weights = [2 ** (high - turns) for turns in range(low, high + 1)]
        (num_turns,) = rng.choices(range(low, high + 1), weights)
        self.lengths = [case.length or round(10 * 20 ** rng.random()) for _ in range(num_turns)]
        self.points = [Point(rng.randrange(448), rng.randrange(448)) for _ in range(num_turns)]

    def next_request(self) -> GenerationRequest:
        request = super().next_request()
        sampling = SamplingParams(max_new_tokens=self.lengths[len(self._turns)])
        self._request = replace(request, sampling=sampling)
        return self._request

    def _stop_after(self, *_: Any, **__: Any) -> StopReason | None:
        return StopReason.ANSWERED if len(self._turns) + 1 == len(self.lengths) else None

    def _call_tools(self, parsed: ParsedTurn) -> tuple[Observation, str]:
        (tool,), image = self._env.tools.values(), self._prompt_views[0]
        arguments = cast(ZoomPoint, tool).arguments_at(self.points[len(self._turns)], image=image)
        return tool.open(self.task).call(arguments, scene=Scene((image,))), ""


def dialogs_of(
    case: Case, environment: Environment, pictures: Sequence[str], *, phase: str
) -> list[DrawnDialog]:
    made = []
    for path in pictures:
        task = TaskRecord(Path(path).stem, "What stripes?", "none", images=(path,))
        (first,) = environment.start_group(task, group=f"{phase}/{task.id}", seeds=[0])
        for index in range(case.group_size):
            made.append(
                DrawnDialog(
                    environment, task, first._prompt_ids, first._prompt_views,
                    group=first.group, index=index, seed=derive_seed(phase, task.id, index),
                    case=case,
                )
            )  # fmt: skip
    return made


def lock_step(engine: Engine, dialogs: Sequence[Dialog]) -> list[Rollout]:
    """The schedule that most systems have: a turn begins when all dialogs have ended the last."""
    going = list(dialogs)
    while going:
        waiting = {dialog.next_request().id: dialog for dialog in going}
        for dialog in going:
            engine.submit(dialog.next_request())
        done: list[Completion] = []
        while engine.num_in_flight:
            done += engine.poll()
        for completion in done:
            waiting[completion.request_id].accept(completion)
        going = [dialog for dialog in going if not dialog.is_done]
    return [dialog.rollout() for dialog in dialogs]


class FreshPictures(VLLMEngine):
    """vLLM without its picture caches: each request's pictures are called something else."""

    _numbers = count()

    def _prompt(self, request: GenerationRequest) -> dict[str, Any]:
        prompt = super()._prompt(request)
        if request.views:
            names = [f"{next(self._numbers)}" for _ in request.views]
            prompt["multi_modal_uuids"] = {"image": names}
        return prompt


class Meter:
    """Counts an engine's work, and where its time goes, from outside."""

    def __init__(self, engine: Engine, images: ImageStore) -> None:
        self.engine = engine
        self.num_steps = self.num_pictures = self._num_read = 0
        self.crops_s = self.reading_s = 0.0
        images.image = self._timed(images.image, "crops_s")
        images.pixels = self._timed(images.pixels, "crops_s")
        if isinstance(engine, VLLMEngine):
            vllm = engine._vllm
            model = vllm.model_executor.driver_worker.worker.model_runner.get_model()
            vllm.renderer.render_cmpl = self._timed(vllm.renderer.render_cmpl, "reading_s")
            tower, language_model = model.visual, model.language_model.model
        else:
            model = cast(Any, engine)._model.model
            tower, language_model = model.visual, model.language_model
        # not hooks: vLLM's own `__call__` goes around them
        tower.forward = self._seen(tower.forward, self._on_tower)
        language_model.forward = self._seen(language_model.forward, self._on_step)

    def counts(self) -> dict[str, float]:
        read = self._num_read
        if isinstance(self.engine, VLLMEngine):
            counters = self.engine.counters()
            read = int(counters["vllm:prompt_tokens"] - counters["vllm:prefix_cache_hits"])
        return {
            "steps": self.num_steps,
            "prompt_tokens_read": read,
            "pictures_encoded": self.num_pictures,
            "crops_s": self.crops_s,
            "reading_s": self.reading_s,
        }

    def _seen(self, call: Callable[..., Any], look: Callable[..., None]) -> Callable[..., Any]:
        def seen(*args: Any, **kwargs: Any) -> Any:
            look(*args, **kwargs)
            return call(*args, **kwargs)

        return seen

    def _on_tower(self, *args: Any, **kwargs: Any) -> None:
        grids = kwargs["grid_thw"] if "grid_thw" in kwargs else args[1]
        self.num_pictures += len(grids)

    def _on_step(self, *_: Any, **kwargs: Any) -> None:
        self.num_steps += 1
        embeds = kwargs.get("inputs_embeds")
        if embeds is not None and embeds.ndim == 3 and embeds.shape[1] > 1:  # hf: rows x tokens
            self._num_read += embeds.shape[0] * embeds.shape[1]

    def _timed(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                setattr(self, name, getattr(self, name) + time.perf_counter() - started)

        return timed


def make_engine(case: Case, codec: ChatCodec, images: ImageStore) -> Engine:
    if case.engine == "hf":
        return HFEngine.from_pretrained(
            folder=str(FOLDER), codec=codec, images=images, max_batch_size=SLOTS,
            prefix_cache_tokens=32768 if case.prefix_cache else 0,
            feature_cache_tokens=65536 if case.picture_cache else 0, refill=case.refill,
        )  # fmt: skip
    kind = VLLMEngine if case.picture_cache else FreshPictures
    return kind(
        str(FOLDER), codec, images, dtype="float32", max_model_len=2048, max_num_seqs=SLOTS,
        max_batched_tokens=32768, kv_cache_gib=1.0, block_size=32, enforce_eager=True,
        picture_cache_gib=0.5 if case.picture_cache else 0.0, prefix_caching=case.prefix_cache,
    )  # fmt: skip


def measure(case: Case, pictures: Sequence[str], *, profile: bool = False) -> dict[str, Any]:
    codec = ChatCodec.from_pretrained(FOLDER)
    codec.banned_ids = (*codec.banned_ids, codec.end_id)
    images = ImageStore.from_pretrained(FOLDER, **PIXELS)
    environment = Environment(
        prompt=Prompt("Point, zoom, then answer."),
        codec=codec,
        images=images,
        tools=[ZoomPoint(window_px=112, view_px=112)],
        limits=RolloutLimits(
            max_turns=6, max_images=6, max_new_tokens=200, max_response_tokens=2048
        ),
    )
    engine = make_engine(case, codec, images)
    warm_up, measured = pictures[:SLOTS], pictures[SLOTS : SLOTS + case.num_questions]
    collect(engine, dialogs_of(case, environment, warm_up, phase="warm"), phase="warm")
    meter = Meter(engine, images)
    before = meter.counts()
    dialogs = dialogs_of(case, environment, measured, phase="measured")
    own_s = float("nan")
    profiler = cProfile.Profile()
    started = time.perf_counter()
    if case.schedule == "lock-step":
        rollouts = lock_step(engine, dialogs)
    else:
        if profile:
            profiler.enable()
        found = collect(engine, dialogs, phase="measured")
        profiler.disable()
        rollouts, own_s = found.rollouts, found.own_s
    wall_s = time.perf_counter() - started
    if profile:
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(25)
    after = meter.counts()
    return {
        **asdict(case),
        **{name: after[name] - before[name] for name in after},
        "wall_s": wall_s,
        "own_s": own_s,
        "sampled_tokens": sum(len(t.completion_ids) for r in rollouts for t in r.turns),
        "completions": [[t.completion_ids for t in r.turns] for r in rollouts],
    }


@contextmanager
def drawn_pictures(number: int) -> Iterator[list[str]]:
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/scene_{seed:03}.png" for seed in range(number)]
        for seed, path in enumerate(paths):
            draw_scene(SceneSettings(), seed=seed).image.save(path)
        yield paths


def measured_apart(table: str, number: int, engine: str, *more: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--engine", engine, "--one", table, str(number), *more]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def row(result: dict[str, Any], baseline: dict[str, Any]) -> str:
    wall, own, crops, reading = (
        result[name] for name in ("wall_s", "own_s", "crops_s", "reading_s")
    )
    parts = [100 * share / wall for share in (crops, reading, own)]
    rest = 100 - sum(share for share in parts if share == share)
    cells = [
        result["name"],
        f"{result['steps']:.0f} ({baseline['steps'] / result['steps']:.2f}x)",
        f"{result['prompt_tokens_read']:.0f} "
        f"({baseline['prompt_tokens_read'] / result['prompt_tokens_read']:.2f}x)",
        f"{result['pictures_encoded']:.0f} "
        f"({baseline['pictures_encoded'] / max(result['pictures_encoded'], 1):.2f}x)",
        f"{wall:.1f} ({baseline['wall_s'] / wall:.2f}x)",
        f"{result['sampled_tokens'] / wall:.0f}",
        f"{rest:.1f} / {parts[0]:.1f} / {parts[1]:.1f} / {parts[2]:.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--engine", choices=("hf", "vllm"), required=True)
    parser.add_argument("--tables", nargs="+", default=["schedule", "caches", "groups"])
    parser.add_argument("--one", nargs=2, metavar=("TABLE", "NUMBER"), help="a line, as JSON")
    parser.add_argument("--profile", action="store_true", help="of --one, to stderr")
    args = parser.parse_args()
    if args.one:
        case = cases(args.engine)[args.one[0]][int(args.one[1])]
        with drawn_pictures(SLOTS + case.num_questions) as pictures:
            print(json.dumps(measure(case, pictures, profile=args.profile)))
        return
    for table in args.tables:
        print(f"\n{table}, engine={args.engine}\n")
        print("| | forward passes | prompt tokens read | pictures encoded | s | tokens/s |"
              " engine / crops / reading / collector % |")  # fmt: skip
        print("|---|---|---|---|---|---|---|")
        numbers = range(len(cases(args.engine)[table]))
        results = [measured_apart(table, number, args.engine) for number in numbers]
        for result in results:
            print(row(result, results[0]), flush=True)
        if table == "schedule":
            pairs = list(zip(*(result["completions"] for result in results), strict=True))
            same = sum(all(one == each[0] for one in each) for each in pairs)
            print(f"\nidentical rollouts under all schedules: {same} of {len(pairs)}")


if __name__ == "__main__":
    main()
