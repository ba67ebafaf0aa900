"""Synthesize: `python -m vigorl.synthesize experiment=mcts_vstar`.

A teacher searches a tree for each question; `trees.jsonl` in the run's folder has a line for each
that is finished, so a search that was killed goes on with `resume=RUN`. From all trees come worked
solutions, `chains.jsonl` and, in the released form, `chains.json`:

    python -m vigorl.train experiment=sft_from_mcts data.path=RUN/chains.jsonl

`trees=FILE` makes them from a file of trees that is there already, such as a released one: here of
bare thoughts, first as the answer of one turn, then as dialogs that zoom.

    python -m vigorl.synthesize experiment=mcts_vstar env=visual_search_steps scale=... data=...
    python -m vigorl.synthesize experiment=mcts_vstar trees=RUN/trees.jsonl scale=...

A larger teacher behind an endpoint; the scale gives its prompts, its picture sizes and the length
of its turns, and `model.path` the tokenizer that its tokens are counted with. Most endpoints cannot
go on with a turn that is begun for them, so no answer is forced. A request that is refused costs
its tree, which a resumed search asks for again.

    python -m vigorl.synthesize experiment=mcts_vstar scale=qwen2_5_vl_7b data=... engine=server \\
        engine.api=chat engine.transfer=none 'engine.urls=[https://api.example.com]' \\
        engine.model=NAME engine.api_key_env=EXAMPLE_KEY limits.forced_answer=false

Whether a thought points where it should is recorded with it: by the data's target boxes, or by a
judge, where the data has none and there is one to ask:

    python -m vigorl.synthesize experiment=mcts_vstar data=vstar_questions data.file=... \\
        check=judge 'check.urls=[https://api.example.com]' check.model=NAME \\
        check.api_key_env=EXAMPLE_KEY

Which questions go on, `questions.jsonl`, and why, `kept.json`, says `keep=...` (configs/keep): by
the effort of the search, a band of solve rates, or a vote over several answers of the teacher:

    python -m vigorl.synthesize experiment=build_thinklite
    python -m vigorl.train data=kept data.path=RUN/questions.jsonl

It may be said of a search that is there: `resume=RUN keep=...`, or `trees=RUN/trees.jsonl`.
"""

from __future__ import annotations

from vigorl.callable_door import make_callable
from vigorl.door import door, refuse_early
from vigorl.outbox.operations import LogArtifact

refuse_early(__name__, "synthesize")  # before the imports below, which take seconds
make_callable(__name__)  # as vigorl.synthesize(cfg)

import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig
from tqdm import tqdm

from vigorl.build import (
    Parts,
    assemble,
    build_engine,
    build_parts,
    check_settings,
    prepare_process,
)
from vigorl.callbacks.mlflow_logger import send
from vigorl.core.errors import ConfigError
from vigorl.core.protocols import Looking
from vigorl.core.records import TaskRecord
from vigorl.core.run_log import logged_to
from vigorl.core.search_metrics import search_metrics
from vigorl.core.search_tree import SearchTreeRecord
from vigorl.data.sources.files import ById, all_names, chosen
from vigorl.data.sources.mcts_jsonl import read_mcts_jsonl, tree_task
from vigorl.data.sources.sft_json import write_sft
from vigorl.data.splits import load_tasks
from vigorl.models.policy import Policy
from vigorl.pages.search import ChainCounts, render_search_page
from vigorl.run_folder import read_settings
from vigorl.run_settings import changed_settings, resumed_settings
from vigorl.search.forest import ForestStats, grow_forest
from vigorl.search.head_gradient import HeadGradients
from vigorl.search.keeping.keep import KeepByGradient
from vigorl.search.kept_files import write_kept
from vigorl.search.linearize import Linearized, TraceForm, linearize_trees
from vigorl.search.point_check import PointCheck
from vigorl.search.record import TreeRecorder
from vigorl.search.searched import SearchedTask, SearchedTrees
from vigorl.shards import parts_of
from vigorl.tracking import Run, in_its_folder, start_run

LINE_EVERY_S = 60.0  # where there is no screen for a progress bar
PAGE = "search.html"  # the last that a search leaves
# What a tree depends on: a resumed search keeps these.
TREE_SETTINGS = ("seed", "search", "env", "data", "split", "model", "pixels", "limits", "zoom")

prepare_process()


def run_synthesis(cfg: DictConfig) -> Linearized:
    (cfg,) = in_its_folder(cfg)
    check_settings(cfg)
    refuse_other_trees(cfg)
    with start_run(cfg) as run, logged_to(run.folder):
        return synthesize(cfg, run)


def synthesize(cfg: DictConfig, run: Run) -> Linearized:
    """Straight down: settings -> tasks -> trees -> chains -> page."""
    parts = build_parts(cfg)
    check_form(cfg, parts)
    run.record(cfg, None)
    if cfg.trees:
        if cfg.shard or cfg.merge:
            raise ConfigError("shard and merge have no effect with trees=FILE: leave them out")
        if cfg.check is not None:
            raise ConfigError("check has no effect with trees=FILE: nothing is searched")
        trees = read_mcts_jsonl(cfg.trees)
        scorer = instantiate(cfg.scorer)
        tasks: Sequence[TaskRecord] = [tree_task(tree, scorer=scorer) for tree in trees]
        by_id = ById(tasks)
    else:
        if cfg.shard and cfg.merge:
            raise ConfigError(f"merge is for the whole search: leave out shard={cfg.shard}")
        source, asks = instantiate(cfg.data), parts.environment
        tasks, _ = load_tasks(
            source, cfg.split, asks=asks, limit=cfg.limit, seed=cfg.seed, shard=cfg.shard
        )
        by_id, found_trees = ById(tasks), search(cfg, run, tasks, parts)
        names = enumerate(all_names(found_trees))
        trees = chosen(found_trees, (place for place, (name, *_) in names if name in by_id))
    ids = [name for name, *_ in all_names(trees)]
    searched = SearchedTrees(trees, ids, tasks=by_id, images=parts.images)
    searched = keep_questions(cfg, run, searched, parts)
    found = linearize(cfg, searched, parts)
    counts = write_chains(run, found)
    metrics = search_metrics(trees)
    page = render_search_page(
        trees,
        by_id,
        images=parts.images,
        title=cfg.name,
        chains=counts,
        metrics=metrics,
    )
    (run.folder / PAGE).write_text(page, encoding="utf-8")
    run.logger.log_metrics(metrics, step=0)
    send(run.logger, LogArtifact(str(run.folder)))
    return found


def check_form(cfg: DictConfig, parts: Parts) -> None:
    """Before a search is paid for: whether its trees can become what is asked for."""
    has_tool, form = bool(parts.environment.tools), TraceForm(cfg.chains.settings.form)
    if form is not TraceForm.SINGLE_TURN and not has_tool:
        raise ConfigError(
            f"chains.settings.form={form}, but the env has no tool for its looks: take "
            "single_turn, and afterwards trees=RUN/trees.jsonl with an env that zooms"
        )
    if form is TraceForm.SINGLE_TURN and has_tool and not cfg.trees:
        raise ConfigError(
            "chains.settings.form=single_turn, but the env has a tool: its thoughts tell what "
            "crops showed; take multi_turn, or an env of bare thoughts (env=visual_search_steps)"
        )


def refuse_other_trees(cfg: DictConfig) -> None:
    """Trees of another search in the run's folder are not mixed with this one's."""
    folder = Path(cfg.paths.run)
    if cfg.trees or not (folder / "trees.jsonl").exists():
        return
    if not cfg.resume:
        raise ConfigError(
            f"{folder} has the trees of a search: resume={folder} goes on with it, "
            "another paths.run begins a new one"
        )
    changed = changed_settings(read_settings(folder / "config.yaml"), cfg)
    other = [
        f"  {key}: {old} -> {new}"
        for key, (old, new) in changed.items()
        if key.partition(".")[0] in TREE_SETTINGS
    ]
    if other:
        lines = [f"the trees in {folder} were grown with other settings:", *other]
        raise ConfigError("\n".join([*lines, "take these back, or begin a new search"]))


def search(
    cfg: DictConfig, run: Run, tasks: Sequence[TaskRecord], parts: Parts
) -> Sequence[SearchTreeRecord]:
    """The trees of the tasks; those that the run's file has already are not grown again."""
    check = build_check(cfg, tasks, parts)
    of_parts = finished_parts(cfg) if cfg.merge else []
    stats, path = ForestStats(), run.folder / "trees.jsonl"
    with TreeRecorder(path) as recorder:
        for tree in chain.from_iterable(map(read_mcts_jsonl, of_parts)):
            if tree.id not in recorder.done:
                recorder.write(tree)
        names = enumerate(all_names(tasks))
        todo = chosen(tasks, [place for place, (name, *_) in names if name not in recorder.done])
        if cfg.merge or not todo:  # what the parts have given up is not asked again
            return read_mcts_jsonl(path)
        has_screen, said_s = sys.stderr.isatty(), 0.0
        with tqdm(
            total=len(tasks), initial=len(tasks) - len(todo), unit="tree", dynamic_ncols=True,
            disable=not has_screen,
        ) as bar:  # fmt: skip

            def show(now: ForestStats) -> None:
                nonlocal stats, said_s
                stats = now
                bar.set_postfix_str(so_far(now))
                if not has_screen and now.wall_s - said_s > LINE_EVERY_S:
                    said_s = now.wall_s
                    left_s = now.wall_s / max(now.num_trees, 1) * (len(todo) - now.num_trees)
                    end = f", about {left_s / 60:.0f} min left" if now.num_trees else ""
                    print(f"{now.num_trees} of {len(todo)} trees, {so_far(now)}{end}", flush=True)

            for tree in grow_forest(
                build_engine(cfg, parts),
                parts.environment,
                todo,
                instantiate(cfg.search),
                run_seed=cfg.seed,
                max_in_flight=cfg.max_in_flight,
                budget=instantiate(cfg.budget),
                check=check,
                on_progress=show,
            ):
                recorder.write(tree)
                bar.update()
    log_costs(run, stats)
    return read_mcts_jsonl(path)


def finished_parts(cfg: DictConfig) -> list[Path]:
    """The trees of all parts of a search; see `parts_of`."""
    folders = parts_of(cfg, leaves=PAGE, asked_by=(*TREE_SETTINGS, "limit"))
    return [folder / "trees.jsonl" for folder in folders]


def so_far(stats: ForestStats) -> str:
    """For the eye."""
    speed = stats.num_tokens / max(stats.wall_s, 1e-9)
    return (
        f"{stats.num_solved} of {stats.num_trees} solved, {stats.num_requests} requests, "
        f"{speed:.0f} tokens/s"
        + (f", {stats.num_unchecked} unchecked" if stats.num_unchecked else "")
    )


def build_check(cfg: DictConfig, tasks: Sequence[TaskRecord], parts: Parts) -> PointCheck | None:
    """The judge of points, where one is named and there is something to ask it."""
    if cfg.check is None:
        return None
    if all(task.target_boxes for task in tasks):
        raise ConfigError(
            "check has no effect: the data has target boxes for every question; set check=none"
        )
    return assemble(cfg.check, tools=parts.environment.tools)


def log_costs(run: Run, stats: ForestStats) -> None:
    """What this process has spent; a resumed search logs what it added."""
    metrics = {
        "search/requests": stats.num_requests,
        "search/tokens": stats.num_tokens,
        "search/repeats": stats.num_repeats,
        "search/refused": stats.num_refused,
        "time/search_s": stats.wall_s,
        "perf/tokens_per_s": stats.num_tokens / max(stats.wall_s, 1e-9),
        "perf/max_in_flight": stats.max_in_flight,
    }
    num_asked = stats.num_checked + stats.num_unchecked
    if num_asked:
        metrics |= {"search/checked": stats.num_checked, "search/unchecked": stats.num_unchecked}
    run.logger.log_metrics({name: float(value) for name, value in metrics.items()}, step=0)
    print(
        f"{stats.num_trees} trees in {stats.wall_s:.0f} s, {stats.num_solved} solved, "
        f"{stats.num_requests} requests, {stats.num_tokens} tokens"
        + (f", {stats.num_refused} given up (refused)" if stats.num_refused else "")
        + (f", verdicts on {stats.num_checked} of {num_asked} looks" if num_asked else "")
        + (", ended by the budget" if stats.is_cut else "")
    )


def keep_questions(
    cfg: DictConfig, run: Run, searched: Sequence[SearchedTask], parts: Parts
) -> Sequence[SearchedTask]:
    """Those that `keep` lets go on; writes which and why. Without a rule all of them, unwritten."""
    if cfg.keep is None:
        return searched
    rule = instantiate(cfg.keep)
    if isinstance(rule, KeepByGradient):
        policy = Policy.from_pretrained(parts.model_folder, dtype="float32")
        verdicts = rule.judge_by(searched, HeadGradients(policy, parts.environment))
    else:
        verdicts = rule.judge(searched)
    said = write_kept(searched, verdicts, run.folder)
    share = said["num_kept"] / max(said["num_questions"], 1)
    run.logger.log_metrics({"keep/kept_frac": share}, step=0)
    reasons = ", ".join(f"{n} {why}" for why, n in (said["kept"] | said["left_out"]).items())
    print(
        f"{said['num_kept']} of {said['num_questions']} questions kept: {reasons}\n"
        f"{Path(run.folder, 'questions.jsonl')}"
    )
    return [one.kept for one in verdicts if one.kept is not None]


def linearize(cfg: DictConfig, searched: Sequence[SearchedTask], parts: Parts) -> Linearized:
    """Worked solutions of the trees, filtered and picked."""
    tools = parts.environment.tools.values()
    return linearize_trees(
        searched,
        tool=next((one for one in tools if isinstance(one, Looking)), None),
        settings=instantiate(cfg.chains.settings),
        filters=instantiate(cfg.chains.filters),
        picking=instantiate(cfg.chains.picking),
    )


def write_chains(run: Run, found: Linearized) -> ChainCounts:
    """Both files, what was removed, and what it comes to.

    Returns:
        Counted on the way, for the page.
    """
    kept, counts = found.records, ChainCounts()
    path, as_list = run.folder / "chains.jsonl", run.folder / "chains.json"
    if kept:
        write_sft(counts.over(kept), path, as_list)
    else:  # another rule may have left some here
        path.unlink(missing_ok=True)
        as_list.unlink(missing_ok=True)
    metrics: dict[str, float] = {
        "chains/trees": found.num_trees,
        "chains/solved_frac": found.num_solved / max(found.num_trees, 1),
        "chains/picked": len(kept),
        "chains/corrected_frac": found.num_corrected / max(len(kept), 1),
        "chains/turns_mean": sum(counts.turns) / max(len(kept), 1),
    }
    metrics |= {f"chains/removed_{why}": count for why, count in found.removed.items()}
    if kept:
        metrics["chains/bytes_per_chain"] = path.stat().st_size / len(kept)
    run.logger.log_metrics({name: float(value) for name, value in metrics.items()}, step=0)
    removed = ", ".join(f"{count} {why}" for why, count in found.removed.items())
    print(
        f"{len(kept)} chains of {found.num_solved} of {found.num_trees} trees, "
        f"{found.num_corrected} of them corrected; removed: {removed or 'none'}\n"
        f"{path if kept else 'no chain, so no file'}"
    )
    return counts


@door("synthesize")
def main(cfg: DictConfig) -> None:
    run_synthesis(resumed_settings(cfg, in_its_folder) if cfg.resume else cfg)


if __name__ == "__main__":
    main()
