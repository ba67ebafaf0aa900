"""A model's card, the README.md of its folder, made from the run's folder alone: figures are those
that stand there, with their intervals, and without any it says so.

Nothing of the machine goes into it: paths, addresses, user names and secrets of the command line
are an ellipsis. What a run says of its data and prompt is shown.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from yaml import YAMLError

from vigorl.callbacks.checkpoint import list_checkpoints
from vigorl.core.errors import ConfigError, VigorlError
from vigorl.core.files import written_whole
from vigorl.data.encoding import ChatCodec
from vigorl.evaluation.report import Accuracy
from vigorl.evaluation_folder import REPORT, read_report
from vigorl.models.pretrained import hub_name
from vigorl.pages import text
from vigorl.resolvers import ASSETS
from vigorl.rollout.recorder import rollout_from_json
from vigorl.run_folder import read_identity, read_settings
from vigorl.tracking import git_commit
from vigorl.training_runs import TrainingRun, read_run, report_of

_LOG = logging.getLogger(__name__)
UNKNOWN = -1  # phases that nobody counted
NAME, FACTS = "README.md", "vigorl"  # the card's file; the key of its metadata that we read again
_TEMPLATE = Path(text.__file__).parent / "templates" / "model_card.md"
_UNTOLD = ("paths", "logger", "resume", "hydra", "num_threads", "dry_run")
_SECRET = re.compile(  # the end of a key, before its value, also of one within {...}
    r"(?:\b|_)(?:token|secret|password|passwd|key|credentials?)\s*[=:]", re.IGNORECASE
)
_OF_MACHINE = re.compile(  # a path from the root or home, a drive, an address, a token
    r"(?<![\w.<])[/\\][\w.]|~/|\.\./|\b[A-Za-z]:[\\/]|://|\S@\w[\w-]*\.\w|\bhf_\w{8}|\$\{"
)
_ELLIPSIS = "..."


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the card.

    Attributes:
        of: Which questions, and how they were asked.
        data: Their name in the metadata.
        metric: Such as "accuracy".
        found: With its interval.
        facts: What the metadata says else, such as the questions' fingerprint.
    """

    of: str
    data: str
    metric: str
    found: Accuracy
    facts: Mapping[str, Any]

    @property
    def value(self) -> str:
        return f"{100 * self.found.value:.1f} %"

    @property
    def interval(self) -> str:
        return f"[{100 * self.found.low:.1f}, {100 * self.found.high:.1f}]"

    @property
    def entry(self) -> EvalResult:
        """For the metadata's model-index, in percent."""
        return EvalResult(
            task_type="visual-question-answering",
            dataset_type=self.data,
            dataset_name=self.of,
            dataset_args=dict(self.facts),
            metric_type=self.metric,
            metric_value=round(100 * self.found.value, 2),
            metric_args={
                "interval_95": [round(100 * end, 2) for end in (self.found.low, self.found.high)]
            },
        )


def write_card(
    folder: Path,
    *,
    run: Path,
    phases: int | None = None,
    checkpoint: Path | None = None,
    licence: str | None = None,
    evaluations: Sequence[str] = (),
    repo: str | None = None,
    commit: str | None = None,
) -> Path:
    """Write a model folder's README.md.

    Args:
        folder: With the weights.
        run: The folder of the training that made them, a stage's where it had some.
        phases: How many were done, or `UNKNOWN`; None: as RUN/model says, or else the last.
        checkpoint: Of which the weights are; None: those of RUN/model.
        licence: The hub's name of one.
        evaluations: Folders of `vigorl.evaluate`, of this model.
        repo: "owner/name", where it will be found.
        commit: Of the code that has just trained it; None: as RUN/model says.
    Raises:
        ConfigError: The run's folder cannot be read, or an evaluation is of another model.
        DataError: A record is damaged.
    """
    if not (run / "run.json").is_file():
        raise ConfigError(f"{run} has no run.json, so nothing says how its model was made")
    trained, settings = read_run(run), read_settings(run / "config.yaml")
    known = _facts(run / "model" / NAME)
    done = phases if phases is not None else known.get("phases", _last_phase(run, settings))
    if commit is not None:
        known = {"version": version("vigorl"), "commit": commit}
    prints = _prints(run / "data.json")
    source = _last_word(_node(settings, "data").get("_target_", "a program's own reader"))
    about = {"settings": settings, "source": source, "prints": prints}
    after = held_out(trained, done, **about)
    before = held_out(trained, 0, **about) if done and after else None
    figures = [after] if after else []
    judged, paths = (checkpoint or run / "model").resolve(), _node(settings, "paths")
    names = 3 if checkpoint or paths.get("base", paths.get("run")) != paths.get("run") else 2
    figures += [one for path in evaluations for one in _evaluated(Path(path), judged, names)]
    base, start = start_of(settings)
    facts = {"phases": done} | {key: known[key] for key in ("version", "commit") if key in known}
    name = f"{settings['name']}, seed {trained.seed}"
    data = ModelCardData(
        base_model=base,
        library_name="transformers",
        license=licence,
        pipeline_tag="image-text-to-text",
        tags=["vigorl", "grounded-reasoning", "reinforcement-learning"],
        model_name=name,
        eval_results=[one.entry for one in figures] or None,
    )
    data[FACTS] = facts
    identity = read_identity(run / "run.json")
    card = ModelCard.from_template(
        data,
        template_path=str(_TEMPLATE),
        name=name,
        method=_last_word(_algorithm(settings)),
        start=start,
        looks=_looks(settings),
        told=", ".join(identity.objects),
        figures=figures,
        before=before,
        command=shlex.join(["python", "-m", "vigorl.train", *shareable(identity.overrides)]),
        phases="unknown" if done == UNKNOWN else done,
        seed=trained.seed,
        settings=_told_settings(settings),
        version=f"{known.get('version', 'unknown')} {str(known.get('commit', ''))[:12]}",
        source=source,
        prints=prints,
        asked=_asked(settings),
        system=_system_text(run, folder),
        model_path=f"hub:{repo}" if repo else "FOLDER",
        limits=_limits(settings, figures),
        licence=licence or "Not stated. Whoever passes it on says which, under the start model's.",
    )
    with written_whole(folder / NAME) as part:
        part.write_text(str(card), encoding="utf-8")
    return folder / NAME


def describe(folder: Path, phases: int, *, run: Path) -> None:
    """The card of a run's own model, once it is trained; what hinders it is a warning, since the
    model stands.
    """
    try:
        write_card(folder, run=run, phases=phases, commit=git_commit())
    except (VigorlError, OSError) as error:
        _LOG.warning("%s has no card: %s", folder, error)


def shareable(overrides: Sequence[str]) -> list[str]:
    """What a command line said, without where things lie, addresses, users and secrets.

    >>> shareable(["seed=1", "paths.root=/home/ann", "data.path=/home/ann/mine.csv"])
    ['seed=1', 'data.path=...']
    """
    found = []
    for one in overrides:
        key, sign, value = one.partition("=")
        if key.lstrip("+~").partition(".")[0].partition("/")[0] not in _UNTOLD:
            found.append(f"{key}{sign}{_ELLIPSIS if _SECRET.search(one) else _shown(value)}")
    return found


def _shown(value: str) -> str:
    users = {os.environ.get("USER"), os.environ.get("LOGNAME"), Path("~").expanduser().name}
    names = "|".join(re.escape(one) for one in users if one)
    is_user = bool(names) and re.search(rf"(?<!\w)(?:{names})(?!\w)", value) is not None
    return _ELLIPSIS if is_user or _OF_MACHINE.search(value) else value


def start_of(settings: Mapping[str, Any]) -> tuple[str | None, str]:
    """The model on the hub that a run began with, through the runs between, and it in words.

    Args:
        settings: Of the run.
    """
    path, num_between = str(settings["model"]["path"]), 0
    while (before := Path(path).parent / "config.yaml").is_file() and num_between < 100:
        path, num_between = str(read_settings(before)["model"]["path"]), num_between + 1
    word = "training" if num_between == 1 else "trainings"
    between = f" (through {num_between} {word} before this one)" if num_between else ""
    if Path(path).parent.name == ASSETS.name:
        return None, f"`{_shown(Path(path).name)}`, which ships with vigorl{between}"
    if not Path(path).exists() and (named := hub_name(path)):
        name, revision = named
        return name, f"`{name}`{f' at revision `{revision}`' if revision else ''}{between}"
    return None, f"a model of its own{between}"


def _facts(path: Path) -> dict[str, Any]:
    """What an earlier card of the run's model says of it."""
    if not path.is_file():
        return {}
    try:
        found = ModelCard.load(path).data.to_dict().get(FACTS)
    except (ValueError, YAMLError):  # somebody has written another one
        return {}
    return found if isinstance(found, dict) else {}


def _last_phase(run: Path, settings: Mapping[str, Any]) -> int:
    """Of RUN/model without a card; with `early_stop` nobody knows which was the best."""
    found = list_checkpoints(run / "checkpoints")
    if settings.get("early_stop") or not found:
        return UNKNOWN
    return phase_of(found[-1])


def phase_of(checkpoint: Path) -> int:
    """How many phases a checkpoint has had, by its name."""
    name = re.fullmatch(r"phase-(\d+)\.ckpt", checkpoint.name)
    return int(name[1]) if name else UNKNOWN


def _prints(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_bytes()) if path.is_file() else {}
    except ValueError:
        found = {}
    return {str(k).partition("/")[2]: str(v) for k, v in found.items() if re.match(r"\w+$", str(v))}


def held_out(
    run: TrainingRun,
    phases: int,
    *,
    settings: Mapping[str, Any],
    source: str,
    prints: Mapping[str, str],
) -> Figure | None:
    """The accuracy on the questions that the training was watched on, after some phases; None where
    it was not measured then.
    """
    if phases not in run.evaluations:
        return None
    temperature = _node(settings, "env").get("eval_temperature", 0)
    how = f"temperature {temperature}" if temperature else "greedy"
    return Figure(
        f"held-out questions of its training data ({source}), {how}",
        source,
        "accuracy",
        report_of([(phases, run.questions(phases))]).accuracy,
        {"fingerprint": prints["val_tasks"]} if "val_tasks" in prints else {},
    )


def _evaluated(folder: Path, model: Path, names: int) -> Iterator[Figure]:
    """What was found of this model, told by its last `names`: accuracy, then the benchmark's."""
    report = read_report(str(folder / REPORT), key="evaluations")
    asked = Path(str(read_settings(folder / "config.yaml")["model"]["path"]))
    if asked.resolve() != model and asked.parts[-names:] != model.parts[-names:]:
        raise ConfigError(f"evaluations: {folder} judged {asked}, not {model}")
    protocol, of = report.protocol, report.name
    facts: dict[str, Any] = {}
    if protocol is not None:
        of, facts["protocol"] = f"{of}, protocol `{protocol.fingerprint}`", protocol.fingerprint
        facts |= {"fingerprint": (protocol.settings.get("questions") or {}).get("fingerprint")}
        if protocol.changed:
            of = f"{of}, modified: {', '.join(protocol.changed)}"
    if report.num_samples > 1:
        of = f"{of}, mean of {report.num_samples} answers"
    yield Figure(of, report.name, "accuracy", report.accuracy, facts)
    for name, found in report.benchmark.items():
        yield Figure(of, report.name, name, found, facts)


def _algorithm(settings: Mapping[str, Any]) -> str:
    module = _node(settings, "module")
    found = _node(module, "algorithm").get("_target_") or module.get("_target_") or "Training"
    return str(found).removesuffix("Module")


def _node(settings: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A group of settings; empty where there is none, or an object of a program in its place."""
    found = settings.get(key)
    return found if isinstance(found, Mapping) else {}


def _last_word(target: object) -> str:
    return str(target).rpartition(".")[2]


def _tools(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [one for one in _node(settings, "env").get("tools") or [] if isinstance(one, dict)]


def _looks(settings: Mapping[str, Any]) -> str:
    limits = _node(_node(settings, "env"), "limits")
    if not _tools(settings):
        return "points at what it reasons about and answers in one look"
    return (
        f"points at what it reasons about, looks again with its tools, in up to "
        f"{limits.get('max_turns')} turns, and answers"
    )


def _told_settings(settings: Mapping[str, Any]) -> dict[str, str]:
    """Those that say what was done, by what the table calls them."""
    found: dict[str, object] = {"algorithm": _last_word(_algorithm(settings))}
    for key in ("reward", "early_stop"):
        if target := _node(settings, key).get("_target_"):
            found[key] = _last_word(target)
    if lora := _node(settings["model"], "lora"):
        found["adapters"] = f"LoRA, rank {lora.get('rank')}, merged"
    found["weights in training"] = settings["model"]["dtype"]
    if optimizer := _node(settings, "optimizer"):
        found["learning rate"] = optimizer.get("lr")
    if (plan := _node(settings, "plan")) and _node(settings, "datamodule").get("plan"):
        found["a phase"] = f"{plan['prompts_per_phase']} questions, {plan['group_size']} answers"
    return {key: _shown(str(value)) for key, value in found.items()}


def _asked(settings: Mapping[str, Any]) -> str:
    limits = _node(_node(settings, "env"), "limits")
    named = [
        f"{_last_word(one.get('_target_'))}"
        + "".join(f", {k} {_shown(str(v))}" for k, v in one.items() if k != "_target_")
        for one in _tools(settings)
    ]
    parts = [
        f"tools {'; '.join(named)}" if named else "no tools",
        f"at most {limits.get('max_turns')} turns of {limits.get('max_new_tokens')} tokens",
    ]
    if pixels := _node(settings, "pixels"):
        parts.append(f"pictures of {pixels['min_pixels']} to {pixels['max_pixels']} pixels")
    return ", ".join(parts) + (", and this system prompt" if _tools(settings) else "")


def _system_text(run: Path, folder: Path) -> str:
    """The system prompt of a recorded rollout; "" where there is none."""
    files = sorted((run / "rollouts").glob("*_phase_*.jsonl"))
    for path in files[:1]:
        with open(path, encoding="utf-8") as file:
            line = file.readline()
        if line.endswith("\n"):
            ids = rollout_from_json(line, path=path, line=1).scored.rollout.prompt_ids
            first = ChatCodec.from_pretrained(folder).messages_of(ids)[0]
            said = first.text.splitlines() if first.role == "system" else []
            return "\n".join(_ELLIPSIS if _OF_MACHINE.search(one) else one for one in said)
    return ""


def _limits(settings: Mapping[str, Any], figures: Sequence[Figure]) -> list[str]:
    found = ["One training with one seed: another seed gives another model, and how far the two "
             "lie apart is not said here."]  # fmt: skip
    if not figures:
        found.append("Nothing was measured of these weights.")
    elif any(one.of.startswith("held-out") for one in figures):
        found.append("Held-out questions come from where the training's come from: they say little "
                     "of other pictures and questions.")  # fmt: skip
    if stop := _node(settings, "early_stop"):
        found.append(f"The phase was chosen by {stop.get('metric')} of the same held-out "
                     "questions, whose figure is the better for it.")  # fmt: skip
    if "MadeWorld" in str(_node(settings, "data").get("_target_")):
        found.append("The made world's questions are drawn: it has learned from no real picture "
                     "here.")  # fmt: skip
    if _tools(settings):
        found.append("It answers by looking: where no tool is run for it, it has not learned to "
                     "answer.")  # fmt: skip
    found.append("Nothing was done to make its answers safe, and where it points is no proof of "
                 "why it answers so.")  # fmt: skip
    return found
