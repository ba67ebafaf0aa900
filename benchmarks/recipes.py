"""Every recipe against plain GRPO: the same data, start, prompts, seeds and number of rollouts.

    python benchmarks/recipes.py run [--only NAME ...] [--seeds 0 1 2] [--phases 8] [--jobs 2]
    python benchmarks/recipes.py try [--only NAME ...]    # does it run? two phases of its own arm
    python benchmarks/recipes.py table

A recipe is an `experiment=recipe_...` whose YAML has a `recipe` node:

    recipe:
      paper: DeepEyes, arXiv:2505.14362
      claim: what the paper says that its method does
      plain: [data=made_world_cold]          # overrides of experiment=grpo_vstar: the other arm
      look_for: {looked: up, accuracy: up}   # names of MEASURES; the first decides the verdict
      sizes: []                              # overrides for this script in place of num_phases
      unseen: null                           # why nothing can be seen at this scale: not measured

`run` forks a process per arm and seed from one that has all imports behind it, and leaves one
summary.json each under outputs/recipes. `try` trains every stage of those that `run` has not
measured, also of those with a reason not to, for two phases and by themselves. `table` adds those
to docs/recipes_runs.json.gz and writes docs/recipes.md and docs/recipes.json from all that are
there; what is there is not done again: delete the file where methods have changed. A measure is
compared question by question on the validation questions, after the last phase, greedily; a
difference is "seen" where its 95 % interval over questions leaves 0 out and every seed has its
sign.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import multiprocessing.connection
import re
import shutil
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import yaml
from hydra import compose, initialize_config_dir
from kills import doors, main_of
from recipe_measures import ABOUT, MEASURES, SHARES, SPEED

from vigorl.build import CONFIGS
from vigorl.core.metrics import rollout_metrics
from vigorl.core.stages_file import read_stages
from vigorl.evaluation.statistics import difference_interval
from vigorl.rollout.recorder import read_rollouts
from vigorl.settings.stages import listed_stages

OUT, DOCS = Path("outputs/recipes"), Path("docs")
RUNS = DOCS / "recipes_runs.json.gz"  # summaries by "arm/seed"
NUM_QUESTIONS = 256  # of the validation set, evenly over it
TRIED_PHASES, TRIED_QUESTIONS = 2, 32  # of `try`

KINDS = ("seen", "not seen", "opposite", "one seed")  # of a verdict


@dataclass(frozen=True)
class Recipe:
    """The `recipe` node of an experiment."""

    name: str
    paper: str
    claim: str
    look_for: dict[str, str] = field(default_factory=dict)
    plain: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    unseen: str | None = None

    @property
    def arms(self) -> tuple[Arm, Arm]:
        """The recipe and the plain run that it is compared with."""
        return Arm(f"experiment={self.name}", self.sizes), Arm("experiment=grpo_vstar", self.plain)

    @property
    def tried(self) -> Arm:
        """The recipe with every stage as short as `try` has it."""
        words = (re.sub(r"(num_phases)=.*", rf"\1={TRIED_PHASES}", word) for word in self.sizes)
        return Arm(f"experiment={self.name}", tuple(words))


@dataclass(frozen=True)
class Arm:
    """A training without its seed and its length."""

    experiment: str
    words: tuple[str, ...] = ()

    def key(self, seed: int, num_phases: int) -> str:
        """Names its folder under OUT, and its summary in RUNS."""
        words = [self.experiment.removeprefix("experiment="), *self.words]
        name = "_".join(word.replace("=", "-").replace("/", "-") for word in words)
        return f"{name[:120]}_{num_phases}/{seed}"


def read_recipes(only: Sequence[str] = ()) -> list[Recipe]:
    """Those that ship, by name; a name that does not exist ends the script."""
    found = []
    for path in sorted(Path(CONFIGS, "experiment").glob("recipe_*.yaml")):
        node = yaml.safe_load(path.read_text())["recipe"]
        for key in ("plain", "sizes"):
            node[key] = tuple(node.get(key) or ())
        found.append(Recipe(path.stem, **node))
    unknown = set(only) - {one.name for one in found}
    if unknown:
        raise SystemExit(f"no such recipe: {', '.join(sorted(unknown))}")
    return [one for one in found if not only or one.name in only]


# ---- run -----------------------------------------------------------------------------------------


def to_measure(recipes: Sequence[Recipe], *, seeds: Sequence[int], num_phases: int) -> list[Job]:
    """Both arms of all recipes that can be measured and have no summary yet, seed by seed."""
    arms = _starts_first(arm for one in recipes if not one.unseen for arm in reversed(one.arms))
    done = read_runs()
    return [
        Job(arm, seed, num_phases)
        for seed in seeds
        for arm in arms
        if arm.key(seed, num_phases) not in done
    ]


def to_try(recipes: Sequence[Recipe], *, seeds: Sequence[int], num_phases: int) -> list[Job]:
    """The own arm of those that are not measured and have not been tried."""
    runs = read_runs()
    arms = _starts_first(
        one.tried
        for one in recipes
        if not compare(one, runs, seeds, num_phases) and one.tried.key(0, TRIED_PHASES) not in runs
    )
    return [Job(arm, 0, TRIED_PHASES, num_questions=TRIED_QUESTIONS) for arm in arms]


def run(waiting: list[Job], *, jobs: int, minutes: float) -> None:
    """Train them in order, `jobs` at a time."""
    deadline = time.monotonic() + 60 * minutes
    num_jobs, running = len(waiting), list[Job]()
    while waiting or running:
        while waiting and len(running) < jobs and time.monotonic() < deadline:
            running.append(waiting.pop(0))
            running[-1].start()
        if not running:
            print(f"no time left for {len(waiting)} trainings")
            return
        left = max(deadline - time.monotonic(), 0.0)
        multiprocessing.connection.wait([job.process.sentinel for job in running], timeout=left)
        for job in [one for one in running if left == 0 or not one.process.is_alive()]:
            running.remove(job)
            number = num_jobs - len(waiting) - len(running)
            print(f"{number:3} of {num_jobs}: {job.finish()}", flush=True)


def _starts_first(arms: Iterable[Arm]) -> list[Arm]:
    """Each arm once; one of every start that has to be made goes first, the others of it last."""
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        starts = {
            arm: str(compose("train", [arm.experiment, *arm.words]).paths.start) for arm in arms
        }
    makers = {start: arm for arm, start in reversed(starts.items()) if "/starts/" in start}
    first = list(makers.values())
    plain = [arm for arm, start in starts.items() if start not in makers]
    return [*first, *plain, *(arm for arm in starts if arm not in first and arm not in plain)]


class Job:
    """One training in a process of its own, forked from this one."""

    def __init__(
        self, arm: Arm, seed: int, num_phases: int, *, num_questions: int = NUM_QUESTIONS
    ) -> None:
        self.folder = (OUT / arm.key(seed, num_phases)).absolute()
        self.summary = self.folder / "summary.json"
        words = [
            arm.experiment, *arm.words, *_sizes(arm, num_phases, num_questions), f"seed={seed}",
            *_evaluations(arm, max(num_phases // 4, 1), num_questions), "num_threads=1",
            "trainer.accelerator=cpu", "callbacks.rollout_logger.every=1000",
            "callbacks.checkpoint.every=1000", "logger=none", f"paths.root={OUT.absolute()}",
            f"paths.base={self.folder / 'run'}",
        ]  # fmt: skip
        self.process = multiprocessing.get_context("fork").Process(
            target=main_of, args=("train", words, self.folder)
        )

    def start(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.started = time.monotonic()
        self.process.start()

    def finish(self) -> str:
        """Keep the summary of a run that has ended, and end one that has not."""
        name = f"{self.folder.parent.name} {self.folder.name}"
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
            return f"{name}: killed at the end of its time"
        if self.process.exitcode:
            return f"{name}: exit code {self.process.exitcode}, see {self.folder / 'log'}"
        seconds = time.monotonic() - self.started
        found = summarise(self.folder / "run") | {"seconds": seconds}
        self.summary.write_text(json.dumps(found))
        shutil.rmtree(self.folder / "run")
        return f"{name}: {seconds:.0f} s"


def _sizes(arm: Arm, num_phases: int, num_questions: int) -> list[str]:
    """As many phases as asked for, on no more questions than they take."""
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        data = compose("train", [arm.experiment, *arm.words]).data
    wanted = {"num_train": 32 * num_phases, "num_val": num_questions, "num_test": 16}
    words = [f"data.{key}={count}" for key, count in wanted.items() if key in data]
    if not any("phases" in word or "pair_sizes" in word for word in arm.words):
        words.append(f"num_phases={num_phases}")
    return words


def _evaluations(arm: Arm, every: int, num_questions: int) -> list[str]:
    """Of the run, and of its stages whose rollouts are set up by themselves."""
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        stages = listed_stages(compose("train", [arm.experiment, *arm.words]))
    own = [f"{one.key}." for one in stages if one.round == 1 and one.node.get("rollout")]
    return [
        word
        for at in ["", *own]
        for word in (f"+{at}rollout.eval_limit={num_questions}", f"{at}rollout.eval_every={every}")
    ]


def summarise(run_folder: Path) -> dict[str, object]:
    """What the tables need of a run: each measure of each validation question at each evaluation,
    and the phases' own means. Both are empty where no stage asks questions.
    """
    val, train = {}, {}
    noted = read_stages(run_folder)
    stages = [run_folder / one.name for one in noted.stages] if noted else [run_folder]
    folders = [one / "rollouts" for one in stages if any(one.glob("rollouts/*.jsonl"))]
    folder = folders[-1] if folders else run_folder  # of the last stage that has some
    for path in sorted(folder.glob("val_phase_*.jsonl")):
        rollouts = [one.scored.rollout for one in read_rollouts(path)]
        val[int(path.stem.removeprefix("val_phase_"))] = {
            "ids": [one.task.id for one in rollouts],
            **{name: [measure(one) for one in rollouts] for name, measure in MEASURES.items()},
        }
    for path in sorted(folder.glob("train_phase_*.jsonl")):
        scored = [one.scored for one in read_rollouts(path)]
        train[int(path.stem.removeprefix("train_phase_"))] = rollout_metrics(scored)
    return {"val": val, "train": train}


# ---- table ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """One measure of a recipe beside plain GRPO, over all seeds that both have.

    Attributes:
        before, after: Plain and recipe, means over questions and seeds.
        difference, low, high: Recipe minus plain, with the 95 % interval over questions.
        by_seed: The difference of each seed.
        num_questions: Those on which both say something.
    """

    measure: str
    wanted: str
    before: float
    after: float
    difference: float
    low: float
    high: float
    by_seed: list[float]
    num_questions: int

    @property
    def verdict(self) -> str:
        if len(self.by_seed) < 2:
            return "one seed"
        if self.low <= 0 <= self.high or len({value > 0 for value in self.by_seed}) > 1:
            return "not seen"
        return "seen" if (self.difference > 0) == (self.wanted == "up") else "opposite"


def find(measure: str, wanted: str, after: Sequence[dict], before: Sequence[dict]) -> Finding:
    """Compare summaries of the same seeds, in order."""
    of_seeds = [
        (_by_question(a, measure), _by_question(b, measure))
        for a, b in zip(after, before, strict=True)
    ]
    common = sorted(set.intersection(*(set(values) for pair in of_seeds for values in pair)))
    if len(common) < 2:
        raise ValueError(f"{measure}: the arms have {len(common)} questions in common")
    means = [
        [statistics.fmean(pair[side][id] for pair in of_seeds) for id in common] for side in (0, 1)
    ]
    low, high = difference_interval(means[0], means[1])
    by_seed = [statistics.fmean(pair[0][id] - pair[1][id] for id in common) for pair in of_seeds]
    now, then = (statistics.fmean(side) for side in means)
    return Finding(measure, wanted, then, now, now - then, low, high, by_seed, len(common))


def _by_question(summary: dict, measure: str) -> dict[str, float]:
    """A measure after the last phase, or SPEED's mean over the evaluations after the first."""
    evaluations = [summary["val"][key] for key in sorted(summary["val"], key=int)]
    if measure == SPEED:
        later = evaluations[1:]
        rows = (zip(one["ids"], one["accuracy"], strict=True) for one in later)
        sums: dict[str, float] = {}
        for id, value in (pair for row in rows for pair in row):
            sums[id] = sums.get(id, 0.0) + value / len(later)
        return sums
    last = evaluations[-1]
    pairs = zip(last["ids"], last[measure], strict=True)
    return {id: value for id, value in pairs if value is not None}


def read_runs() -> dict[str, dict]:
    """All summaries: those kept in RUNS, and newer ones under OUT."""
    kept = json.loads(gzip.decompress(RUNS.read_bytes())) if RUNS.exists() else {}
    new = {
        str(path.parent.relative_to(OUT)): json.loads(path.read_text())
        for path in OUT.glob("*/*/summary.json")
    }
    return kept | new


def compare(
    recipe: Recipe, runs: Mapping[str, dict], seeds: Iterable[int], num_phases: int
) -> list[Finding]:
    """All that a recipe looks for; nothing where no seed has both arms."""
    keys = [[arm.key(seed, num_phases) for arm in recipe.arms] for seed in seeds]
    both = [pair for pair in keys if all(key in runs for key in pair)]
    if not both:
        return []
    after, before = ([runs[pair[side]] for pair in both] for side in (0, 1))
    wanted = dict(recipe.look_for)
    for also in ("accuracy", SPEED):  # whatever a method is for, its price is told
        wanted.setdefault(also, "up")
    if any("phases" in word for word in recipe.sizes):  # its evaluations are those of a stage
        del wanted[SPEED]
    return [find(measure, way, after, before) for measure, way in wanted.items()]


def write_table(recipes: Sequence[Recipe], *, seeds: Sequence[int], num_phases: int) -> None:
    runs = read_runs()
    RUNS.write_bytes(gzip.compress(json.dumps(runs, sort_keys=True).encode(), mtime=0))
    found = {one.name: compare(one, runs, seeds, num_phases) for one in recipes}
    rows = [row for one in recipes for row in _rows(one, found[one.name], _why_not(one, runs))]
    counts = [findings[0].verdict for findings in found.values() if findings]
    head = (
        "# Recipes, measured\n\nMade by "
        f"`python benchmarks/recipes.py table --phases {num_phases}`: each recipe against plain "
        "GRPO on the same data, start, prompts and seeds at the tiny scale, "
        f"{num_phases} phases of 32 x 8 rollouts, greedy answers to {NUM_QUESTIONS} validation "
        "questions. Differences are recipe minus plain, with 95 % intervals over questions; the "
        "seeds' own differences stand beside. A difference is *seen* (or *opposite*) where the "
        "interval leaves 0 out and every seed has its sign; a null result is a result. The first "
        f"line of a recipe decides. Measured: {len(counts)} of {len(recipes)}; "
        + ", ".join(f"{kind} {counts.count(kind)}" for kind in KINDS)
        + ".\n\nWhat is measured: "
        + "; ".join(f"*{name}*, {text}" for name, text in ABOUT.items())
        + ".\n\n| recipe | claim | measure | plain | recipe | difference [95 %] | seeds | verdict |"
        "\n|---|---|---|---|---|---|---|---|\n"
    )
    (DOCS / "recipes.md").write_text(head + "\n".join(rows) + "\n")
    (DOCS / "recipes.json").write_text(
        json.dumps({name: [asdict(one) for one in each] for name, each in found.items()}, indent=1)
    )
    print(f"{DOCS / 'recipes.md'}: {len(counts)} of {len(recipes)} recipes measured")


def _why_not(recipe: Recipe, runs: Mapping[str, dict]) -> str:
    """Why a recipe is not measured, and whether it runs."""
    tried = runs.get(recipe.tried.key(0, TRIED_PHASES))
    if tried is None:
        return recipe.unseen or "no run yet"
    phases = [tried["train"][key] for key in sorted(tried["train"], key=int)]
    shares = ", ".join(f"{100 * one['rollout/accuracy']:.1f}" for one in phases)
    ran = f"run for {TRIED_PHASES} phases" + (f" (sampled accuracy {shares} %)" if shares else "")
    return f"{ran}; {recipe.unseen or 'its seeds wait for machine time'}"


def _rows(recipe: Recipe, findings: Sequence[Finding], why_not: str) -> Iterator[str]:
    start = f"| {recipe.name.removeprefix('recipe_')} ({recipe.paper}) | {recipe.claim} "
    if not findings:
        yield f"{start}| - | - | - | - | - | not measured: {why_not} |"
    for number, one in enumerate(findings):
        scale = 100 if one.measure in SHARES else 1
        now, then, by, low, high = (
            f"{scale * value:{sign}.{1 if scale == 100 else 2}f}"
            for value, sign in ((one.after, ""), (one.before, ""), (one.difference, "+"),
                                (one.low, "+"), (one.high, "+"))
        )  # fmt: skip
        each = ", ".join(f"{scale * value:+.{1 if scale == 100 else 2}f}" for value in one.by_seed)
        yield (
            f"{start if number == 0 else '| | '}| {one.measure} {one.wanted} | {then} | {now} | "
            f"{by} [{low}, {high}] | {each} | {one.verdict} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["run", "try", "table"])
    parser.add_argument("--only", nargs="*", default=[], help="names of recipes; all by default")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--phases", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, a core each")
    parser.add_argument("--minutes", type=float, default=600.0, help="then the rest is left undone")
    said = parser.parse_args()
    recipes = read_recipes(said.only)
    length = {"seeds": said.seeds, "num_phases": said.phases}
    if said.what == "table":
        write_table(recipes, **length)
    else:
        doors()  # with what configs ask by ${vigorl_...}
        waiting = {"run": to_measure, "try": to_try}[said.what](recipes, **length)
        run(waiting, jobs=said.jobs, minutes=said.minutes)


if __name__ == "__main__":
    main()
