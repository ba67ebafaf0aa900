"""Synthesize: `python -m vigorl.synthesize experiment=mcts_vstar`.

A teacher searches a tree for each question; `trees.jsonl` in the run's folder has a line for each
that is finished, so a search that was killed goes on with `resume=RUN`. From all trees come worked
solutions, `chains.jsonl` and `chains.json`, to fine-tune on:

    python -m vigorl.train experiment=sft_from_mcts data.traces=RUN/chains.jsonl
"""

from __future__ import annotations

import sys

import hydra
from hydra.utils import instantiate
from lightning.pytorch.loggers import MLFlowLogger
from omegaconf import DictConfig
from tqdm import tqdm

from vigorl.build import CONFIGS, build_engine, build_parts, check_settings, prepare_process
from vigorl.data.splits import load_tasks
from vigorl.search.forest import ForestStats, grow_forest
from vigorl.search.record import TreeRecorder
from vigorl.tracking import Run, start_run

prepare_process()


def run_search(cfg: DictConfig) -> ForestStats:
    check_settings(cfg)
    with start_run(cfg) as run:
        return search(cfg, run)


def search(cfg: DictConfig, run: Run) -> ForestStats:
    """Straight down: settings -> tasks -> engine -> trees -> chains -> page."""
    run.record(cfg, None)
    tasks = load_tasks(instantiate(cfg.data), cfg.split, limit=cfg.limit, seed=cfg.seed)
    parts = build_parts(cfg)
    stats = ForestStats()
    with TreeRecorder(run.folder / "trees.jsonl") as recorder:
        todo = [task for task in tasks if task.id not in recorder.done]
        with tqdm(
            total=len(tasks), initial=len(tasks) - len(todo), unit="tree", dynamic_ncols=True,
            disable=not sys.stderr.isatty(),
        ) as bar:  # fmt: skip

            def show(now: ForestStats) -> None:
                nonlocal stats
                stats = now
                bar.set_postfix_str(
                    f"solved {now.num_solved} of {now.num_trees}, {now.num_requests} requests, "
                    f"{now.num_tokens / max(now.wall_s, 1e-9):.0f} tokens/s"
                )

            for tree in grow_forest(
                build_engine(cfg, parts),
                parts.environment,
                todo,
                instantiate(cfg.search),
                run_seed=cfg.seed,
                max_in_flight=cfg.max_in_flight,
                budget=instantiate(cfg.budget),
                on_progress=show,
            ):
                recorder.write(tree)
                bar.update()
    log_costs(run, stats)
    return stats


def log_costs(run: Run, stats: ForestStats) -> None:
    """What this process has spent; a resumed search logs what it added."""
    wall = max(stats.wall_s, 1e-9)
    metrics = {
        "search/requests": stats.num_requests,
        "search/tokens": stats.num_tokens,
        "search/repeats": stats.num_repeats,
        "time/search_s": stats.wall_s,
        "perf/tokens_per_s": stats.num_tokens / wall,
        "perf/max_in_flight": stats.max_in_flight,
    }
    run.logger.log_metrics({name: float(value) for name, value in metrics.items()}, step=0)
    print(
        f"{stats.num_trees} trees in {stats.wall_s:.0f} s, {stats.num_solved} solved, "
        f"{stats.num_requests} requests, {stats.num_tokens} tokens"
        + (", ended by the budget" if stats.is_cut else "")
    )
    if isinstance(run.logger, MLFlowLogger):
        run.logger.experiment.log_artifacts(run.logger.run_id, str(run.folder))


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="synthesize")
def main(cfg: DictConfig) -> None:
    run_search(cfg)


if __name__ == "__main__":
    main()
