"""Compare models on the same questions: `python -m vigorl.compare BEFORE AFTER ...`, each a
report.json of `vigorl.evaluate`, its folder, or the folder of a suite; or each a training's folder.

Prints a paired table: difference, 95 % interval over clusters, p alone and together (Holm), and the
smallest difference that the benchmark could have shown. Writes comparison.json and a page with the
questions that flipped, side by side. Reports that were measured by different protocols are refused.
Of trainings, those that differ in nothing but the seed count as one; the page adds the settings
that differ and the curves, and the questions are those of their last evaluations.

    python -m vigorl.compare --plan RUN --points 2 5      # how many questions or answers it takes
    python -m vigorl.compare --plan --accuracy 0.8 --questions 191
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from omegaconf import DictConfig

from vigorl.build import ASSETS, prepare_process
from vigorl.compare_trainings import compare_trainings
from vigorl.core.errors import ConfigError
from vigorl.core.rollout import ScoredRollout
from vigorl.data.images import ImageStore
from vigorl.door import USAGE, refusals
from vigorl.evaluation.comparison import Pair, compare_all
from vigorl.evaluation.power import (
    Spread,
    expected_discordance,
    plan_table,
    spread_of_numbers,
    spread_of_report,
    spread_of_reports,
)
from vigorl.evaluation.report import EvaluationReport
from vigorl.families.lookup import import_plugins
from vigorl.flips import flips_between
from vigorl.machine_faults import told_in_one_line
from vigorl.pages.comparison import Flip, render_comparison_page
from vigorl.pipes import let_pipes_close
from vigorl.rollout.inference.rule import recorded_answers
from vigorl.rollout.recorder import read_rollouts
from vigorl.training_runs import is_training, read_run

prepare_process()

_COLUMNS = (
    "benchmark", "metric", "before", "after", "points", "95 % interval", "p", "p together",
    "could show", "better", "worse", "questions", "clusters",
)  # fmt: skip
_REPORT, _ROLLOUTS = "report.json", "rollouts.jsonl"


@dataclass(frozen=True, slots=True)
class Measured:
    """A model's reports by benchmark, and the folder that each stands in."""

    reports: Mapping[str, EvaluationReport]
    folders: Mapping[str, Path]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message} (python -m vigorl.compare --help)")


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """What a command line asks for.

    Raises:
        ConfigError: It cannot be read.
    """
    parser = _Parser(
        "python -m vigorl.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "paths", nargs="*", metavar="RUN", help="report.json, a folder with it, or a training's"
    )
    parser.add_argument(
        "--out", help="folder of comparison.json and .html; default: the last RUN's"
    )
    parser.add_argument("--flips", type=int, default=12, help="questions shown of each comparison")
    parser.add_argument(
        "--allow-other-protocol", action="store_true", help="compare all the same, and say so"
    )
    parser.add_argument("--plugins", nargs="*", default=[], help="modules of your own metrics")
    parser.add_argument("--plan", action="store_true", help="how much it takes to see a difference")
    parser.add_argument("--points", type=float, nargs="+", default=[1, 2, 3, 5, 10])
    parser.add_argument("--accuracy", type=float, help="of both models about, in (0, 1)")
    parser.add_argument(
        "--discordance", type=float, help="share of questions that one of both gets right alone"
    )
    parser.add_argument("--correlation", type=float, default=0.5, help="of both models' scores")
    parser.add_argument(
        "--within", type=float, default=0.0, help="variance of an answer's score; greedy: 0"
    )
    parser.add_argument("--questions", type=int, help="of the benchmark")
    return parser.parse_args(words)


def read_models(paths: Sequence[str]) -> dict[str, Measured]:
    """The reports of each path, by a short name that tells the paths apart.

    Raises:
        ConfigError: A path holds no report, or stands twice.
        DataError: A file is not a report.
    """
    folders = [Path(one).parent if Path(one).is_file() else Path(one) for one in paths]
    parts = [one.resolve().parts for one in folders]
    if len(set(parts)) < len(parts):
        raise ConfigError(f"a run stands there twice: {', '.join(map(str, paths))}")
    while len({one[-1] for one in parts}) == 1 < len(parts):  # RUN/vstar, with other RUNs
        parts = [one[:-1] for one in parts]
    names = [one[-1] for one in parts]
    if len(set(names)) < len(names):
        names = [str(one) for one in folders]
    return {name: _read_model(path) for name, path in zip(names, paths, strict=True)}


def _read_model(path: str) -> Measured:
    given = Path(path)
    files = [given] if given.is_file() else [given / _REPORT]
    if not files[0].is_file():
        files = sorted(given.glob(f"*/{_REPORT}"))
    if not files:
        raise ConfigError(
            f"{path} is no report and holds none: name a report.json of vigorl.evaluate, its "
            "folder, the folder of a suite, or a training's folder"
        )
    reports = {one: EvaluationReport.from_json(one.read_text(), path=one) for one in files}
    return Measured(
        {report.name: report for report in reports.values()},
        {report.name: file.parent for file, report in reports.items()},
    )


def comparison_table(pairs: Sequence[Pair]) -> str:
    """All comparisons as text."""
    rows: list[tuple[str, ...]] = [_COLUMNS]
    for one in pairs:
        found = one.found
        smallest = "?" if found.smallest is None else f"{100 * found.smallest:.1f}"
        rows.append(
            (
                one.benchmark + (" *" if found.protocol_differences else ""),
                found.metric,
                f"{one.before} {100 * one.value_before:.1f}",
                f"{one.after} {100 * one.value_after:.1f}",
                f"{100 * found.difference:+.1f}",
                f"[{100 * found.low:+.1f}, {100 * found.high:+.1f}]",
                f"{found.p_value:.3g}",
                f"{one.p_together:.3g}",
                smallest,
                *(f"{n:,}" for n in (found.num_better, found.num_worse)),
                *(f"{n:,}" for n in (found.num_questions, found.num_clusters)),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    number = "one comparison" if len(pairs) == 1 else f"{len(pairs)} comparisons"
    lines.append(f'\n{number}; "p together" is Holm\'s over all of them')
    lines.append('"could show" is the smallest true difference that is found four times in five')
    if any(one.found.smallest is None for one in pairs):
        lines[-1] += ", unknown (?) where all questions are one cluster"
    for one in pairs:
        if one.found.protocol_differences:
            names = f"{one.benchmark}, {one.before} and {one.after}"
            lines.append(f"* {names} were measured by different protocols:")
            lines += [f"    {difference}" for difference in one.found.protocol_differences]
    return "\n".join(lines) + "\n"


def flips_of(pair: Pair, models: Mapping[str, Measured], most: int) -> list[Flip]:
    """The questions to show of a comparison, with the rollouts that stand beside the reports."""
    sides = [models[name] for name in (pair.before, pair.after)]
    return flips_between(
        pair,
        [one.reports[pair.benchmark] for one in sides],
        find=lambda k, wanted: _rollouts(sides[k].folders[pair.benchmark], wanted),
        most=most,
    )


def _rollouts(folder: Path, wanted: Mapping[str, int]) -> dict[str, ScoredRollout]:
    if not (folder / _ROLLOUTS).is_file():
        return {}
    records = read_rollouts(folder / _ROLLOUTS, only=wanted.keys())
    scored = [one.scored for one in records]
    answers = recorded_answers([one.rollout for one in scored])
    return {
        scored[i].rollout.task.id: scored[i]
        for i, number in answers
        if number == wanted[scored[i].rollout.task.id]
    }


def compare(given: argparse.Namespace) -> list[Pair]:
    """Print the table; write comparison.json and comparison.html.

    Raises:
        ConfigError: Fewer than two models, or they cannot be compared.
        DataError: A file cannot be read.
    """
    if len(given.paths) < 2:
        raise ConfigError("name two runs at least (python -m vigorl.compare --help)")
    trainings = [one for one in given.paths if is_training(Path(one))]
    if trainings:
        if len(trainings) < len(given.paths):
            other = next(one for one in given.paths if one not in trainings)
            raise ConfigError(
                f"{trainings[0]} is a training and {other} is none: compare trainings with "
                "trainings, or evaluations with evaluations"
            )
        return _compare_trainings(given)
    models = read_models(given.paths)
    pairs = compare_all(
        {name: one.reports for name, one in models.items()},
        allow_other_protocol=given.allow_other_protocol,
    )
    print(comparison_table(pairs))
    last = models[list(models)[-1]]
    folder = Path(given.out) if given.out else next(iter(last.folders.values()))
    folder.mkdir(parents=True, exist_ok=True)
    written = {
        "models": dict(zip(models, map(str, given.paths), strict=True)),
        "num_comparisons": len(pairs),
        "comparisons": [asdict(one) for one in pairs],
    }
    (folder / "comparison.json").write_text(json.dumps(written, indent=1) + "\n")
    page = render_comparison_page(
        pairs,
        [flip for pair in pairs for flip in flips_of(pair, models, given.flips)],
        images=ImageStore.from_pretrained(ASSETS / "tiny_start"),
        title=f"{', '.join(list(models)[1:])} against {next(iter(models))}",
        num_flipped=sum(one.found.num_better + one.found.num_worse for one in pairs),
    )
    (folder / "comparison.html").write_text(page, encoding="utf-8")
    print(f"wrote {folder / 'comparison.json'} and {folder / 'comparison.html'}")
    return pairs


def _compare_trainings(given: argparse.Namespace) -> list[Pair]:
    runs = [read_run(Path(one)) for one in given.paths]
    if len({one.folder.resolve() for one in runs}) < len(runs):
        raise ConfigError(f"a run stands there twice: {', '.join(map(str, given.paths))}")
    found = compare_trainings(runs, most_flips=given.flips)
    print(found.table)
    print(comparison_table(found.pairs))
    folder = Path(given.out) if given.out else runs[-1].folder
    folder.mkdir(parents=True, exist_ok=True)
    page = found.page(ImageStore.from_pretrained(ASSETS / "tiny_start"))
    (folder / "comparison.json").write_text(json.dumps(found.plain, indent=1) + "\n")
    (folder / "comparison.html").write_text(page, encoding="utf-8")
    print(f"wrote {folder / 'comparison.json'} and {folder / 'comparison.html'}")
    return found.pairs


def plan(given: argparse.Namespace) -> str:
    """The table of `--plan`.

    Raises:
        ConfigError: Neither reports nor numbers, or numbers outside their range.
    """
    if any(one <= 0 for one in given.points):
        raise ConfigError(f"--points {given.points} must be above 0")
    reports = [
        (name, report)
        for model in read_models(given.paths).values()
        for name, report in model.reports.items()
    ]
    if len(reports) > 2 or len({name for name, _ in reports}) > 1:
        raise ConfigError("--plan takes no report, one, or two of the same benchmark")
    try:
        spread = _spread(given, [report for _, report in reports])
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"--plan: {error}") from error
    number = given.questions or (len(reports[0][1].questions) if reports else None)
    return plan_table(spread, given.points, num_questions=number)


def _spread(given: argparse.Namespace, reports: Sequence[EvaluationReport]) -> Spread:
    if len(reports) == 2:
        return spread_of_reports(*reports)
    accuracy = reports[0].accuracy.value if reports else given.accuracy
    discordance = given.discordance
    if discordance is None:
        if accuracy is None:
            raise ConfigError("--plan needs a report, --discordance or --accuracy")
        if not 0 < accuracy < 1:
            raise ConfigError(
                f"at an accuracy of {accuracy:g} no two models differ: say how often they would by "
                "--discordance 0.15, or plan without the report by --accuracy 0.5"
            )
        discordance = expected_discordance(accuracy, correlation=given.correlation)
    if reports:
        return spread_of_report(reports[0], discordance=discordance)
    return spread_of_numbers(discordance=discordance, within=given.within)


def main(words: Sequence[str] | None = None) -> None:
    with refusals(code=USAGE):
        given = arguments(sys.argv[1:] if words is None else words)
    with refusals(), told_in_one_line("compare", DictConfig({})):
        import_plugins(given.plugins)
        if given.plan:
            print(plan(given))
        else:
            compare(given)


if __name__ == "__main__":
    let_pipes_close()
    main()
