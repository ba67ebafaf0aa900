"""Every example is run by the commands of its docstring, in a folder of a user's own."""

from __future__ import annotations

import importlib
import json
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient
from omegaconf import OmegaConf

import vigorl
from tests.integration.door import NO_TRACES
from vigorl.callbacks.mlflow_logger import plain_name
from vigorl.core.errors import DataError
from vigorl.core.geometry import Size
from vigorl.core.media import FileImage, ImageView, TextFrame
from vigorl.core.protocols import Scene
from vigorl.core.records import TaskRecord
from vigorl.data.images import ImageStore
from vigorl.data.prompt_writer import call_example
from vigorl.families.lookup import family_of, known_families
from vigorl.rollout.recorder import read_rollouts

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
RECIPES = {path.stem: path for path in EXAMPLES.glob("configs/experiment/*.yaml")}
RECIPES["my_table"] = EXAMPLES / "configs/benchmark/my_table.yaml"
NAMES = sorted([*(path.stem for path in EXAMPLES.glob("*.py")), *RECIPES])
SMALL = ["num_threads=1", "trainer.accelerator=cpu", *NO_TRACES]
WORLD = ["data.num_train=8", "data.num_val=2", "data.num_test=4"]
PROGRAM = "examples/train_from_python.py"
ONE_PHASE = [
    "num_phases=1",
    "rollout.eval_every=1",
    "plan.prompts_per_phase=4",
    "plan.group_size=4",
    "plan.sequences_per_update=16",
    "plan.micro_batch_size=8",
]
ONE_UPDATE_OF_FOUR = ["plan.sequences_per_update=4", "plan.micro_batch_size=4"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds nothing but a copy of the examples."""
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(EXAMPLES, home / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    return home


@pytest.fixture(autouse=True)
def families_that_ship() -> Iterator[None]:
    """A family that an example brings is forgotten again."""
    yield
    known_families.cache_clear()


def commands(name: str) -> list[str]:
    """The indented lines at the top of an example, a line that ends in a backslash continued; of a
    recipe or a table, which is a YAML alone, its lines at the top.
    """
    if name in RECIPES:
        lines = RECIPES[name].read_text().splitlines()
        return [line[2:] for line in lines if re.match(r"# (PYTHONPATH=\S+ )?python ", line)]
    docstring = runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name=name)["__doc__"]
    return re.findall(r"^    (\S.*)$", docstring.replace("\\\n", " "), flags=re.MULTILINE)


def run_command(command: str, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    """In this process, which has all imports behind it; in the smallest size that shows it."""
    words = shlex.split(command)
    if words[0].startswith("PYTHONPATH="):
        monkeypatch.syspath_prepend(str(Path(words.pop(0).partition("=")[2]).resolve()))
    assert words.pop(0) == "python"
    if words[0] != "-m":
        runs = [*SMALL, *WORLD, *ONE_PHASE, f"paths.base={folder}"]
        monkeypatch.setattr(sys, "argv", [*words, *(runs if words[0] == PROGRAM else [])])
        runpy.run_path(words[0], run_name="__main__")
        return
    has_own_data = any(word.startswith(("data=", "benchmark=")) for word in words)
    small = [*SMALL, f"paths.base={folder}", *([] if has_own_data else WORLD)]
    if "experiment=sft_vstar" in words:
        small += ["data.num_traces=48", "max_epochs=1"]
    elif words[1] == "vigorl.train":
        small += ONE_PHASE
    if "engine=my_engine" in words:  # it reads the whole dialog for each token
        small += ["plan.prompts_per_phase=1", *ONE_UPDATE_OF_FOUR]
    monkeypatch.setattr(sys, "argv", [*words[1:], *small])
    importlib.import_module(words[1]).main()


def metrics(folder: Path) -> dict[str, float]:
    """What the run in a folder has logged, each metric's last value."""
    client = MlflowClient("sqlite:///outputs/mlflow.db")
    run_id = json.loads((folder / "run.json").read_text())["mlflow_run_id"]
    found = client.get_run(run_id).data.metrics
    return {plain_name(name): value for name, value in found.items()}


def report(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text())


def pictures(train: Path, evaluate: Path) -> None:
    assert metrics(train)["rollout/zooms_mean"] > 0
    ids = {one["id"] for one in report(evaluate)["questions"]}
    assert len(ids) == 20
    assert all(one.startswith("dots/") for one in ids)


def reward(train: Path) -> None:
    assert 0 < metrics(train)["reward/brevity"] < 1


def group_reward(train: Path) -> None:
    assert 0 < metrics(train)["reward/rarity"] < 1


def tool(evaluate: Path, train: Path) -> None:
    rollouts = [one.scored.rollout for one in read_rollouts(evaluate / "rollouts.jsonl")]
    seen = [turn.observation for rollout in rollouts for turn in rollout.turns]
    assert any("Pin 1" in text for text in seen)
    assert metrics(train)["rollout/zooms_mean"] > 0

    pins = importlib.import_module("my_tool").PinTool(name="pin", window_px=112, view_px=112)
    assert '{"name": "pin", "arguments": {"coordinate": [x, y]}}' in call_example(pins)
    scene = Scene((ImageView(FileImage("a.png"), Size(448, 448), Size(112, 112)),))
    stem = pins.open(TaskRecord("a", "?", "b", ("a.png",)))
    stem.call({"coordinate": [50, 20]}, scene=scene)
    branch = stem.fork()
    branch.call({"coordinate": [10, 10]}, scene=scene)
    assert (len(stem.pins), len(branch.pins)) == (1, 2)


def benchmark(evaluate: Path) -> None:
    found = report(evaluate)
    assert list(found["benchmark"]) == ["mean of few and many", "overall"]
    assert found["protocol"]["name"] == "my_counts"
    assert found["protocol"]["changed"] == []
    assert found["protocol"]["settings"]["scorers"] == ["my_benchmark.NearNumber"]
    told = found["protocol"]["settings"]["env"]["prompt"]["system"]
    assert told.startswith("You count what you are asked about.")
    assert told.endswith("The answer is a whole number, in digits.")

    scorer = importlib.import_module("my_benchmark").NearNumber(tolerance=2)
    task = TaskRecord("a", "?", "7", ("a.png",), scorer=scorer)
    assert [task.score(answer) for answer in ("7", "9", "4", "seven")] == [1.0, 0.5, 0.0, 0.0]


def engine(train: Path) -> None:
    found = metrics(train)
    assert found["rollout/zooms_mean"] > 0
    assert found["kl/sampling_gap_max"] < 1e-5


def data_format(train: Path, evaluate: Path) -> None:
    (record,) = (train / "rollouts").glob("train*.jsonl")
    asked = {one.scored.rollout.task.question for one in read_rollouts(record)}
    assert asked == {"Which colour is the dot?"}
    assert {one["id"] for one in report(evaluate)["questions"]} < {str(n) for n in range(2, 42)}

    read_table = importlib.import_module("my_format").read_table
    table = train.parents[1] / "my_table" / "questions.csv"
    table.write_text(table.read_text().replace("7.png,", "gone.png,", 1))
    with pytest.raises(DataError, match=r"questions\.csv:9: picture 'gone\.png' is not in"):
        read_table(table)


def family(train: Path) -> None:
    assert family_of(train / "model").frame is TextFrame.UNIT
    images = ImageStore.from_pretrained(train / "model")
    assert images.whole(str(EXAMPLES.parent / "docs/rollout.png")).frame is TextFrame.UNIT
    assert metrics(train)["val/nll"] > 0


def recipe(train: Path) -> None:
    settings = OmegaConf.load(train / "settle/config.yaml")
    assert settings.name == "my_recipe/settle"
    assert settings.model.path == str(train / "explore/model")
    assert "reward/grounding" in metrics(train / "settle")
    assert "reward/zoom_diversity" not in metrics(train / "settle")


def algorithm(train: Path) -> None:
    assert metrics(train)["rloo/credit"] > 0


def probe(train: Path) -> None:
    assert 0 <= metrics(train)["probe/steadiness"] <= 1


def own_table(evaluate: Path) -> None:
    found = report(evaluate)
    assert len(found["questions"]) == 40
    assert found["protocol"]["changed"] == []
    assert found["questions"][0]["id"] == "questions:2"


def own_file(inspected: Path, train: Path) -> None:
    page = inspected.parents[1] / "outputs" / "inspected" / "questions.jsonl.html"
    assert "Which colour is the dot?" in page.read_text()
    assert "40 of 40 questions have options, which the prompt does not show" in page.read_text()
    (record,) = (train / "rollouts").glob("train*.jsonl")
    tasks = [one.scored.rollout.task for one in read_rollouts(record)]
    assert {len(task.options) for task in tasks} == {4}
    assert all(len(task.target_boxes) == 1 for task in tasks)


def program(train: Path) -> None:
    _, _, code = (EXAMPLES / "train_from_python.py").read_text().split('"""', 2)
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    run = vigorl.open_run(train)
    assert run.metrics["reward/brief"].values[0] == run.metrics.frame()["reward/brief"].dropna()[0]
    assert len(run.rollouts(0)) == 16
    assert (train / "asked.png").is_file()
    (evaluated,) = (train.parent / "eval_grpo_vstar").iterdir()
    assert len(report(evaluated)["questions"]) == 4
    with pytest.raises(vigorl.ConfigError, match="reward was an object of a Python program"):
        vigorl.train(vigorl.compose("grpo_vstar", f"paths.root={train.parents[1]}"), resume=train)


def sampler(train: Path) -> None:
    assert metrics(train)["data/skipped_frac"] > 0
    (record,) = (train / "rollouts").glob("train*.jsonl")
    asked = {one.scored.rollout.task.category for one in read_rollouts(record)}
    assert asked == {"direct_attributes"}


SHOWS: dict[str, Callable[..., None]] = {
    "my_algorithm": algorithm,
    "my_benchmark": benchmark,
    "my_engine": engine,
    "my_family": family,
    "my_file": own_file,
    "my_format": data_format,
    "my_group_reward": group_reward,
    "my_pictures": pictures,
    "my_probe": probe,
    "my_recipe": recipe,
    "my_reward": reward,
    "my_sampler": sampler,
    "my_table": own_table,
    "my_tool": tool,
    "train_from_python": program,
}


def test_no_settings_are_without_an_example() -> None:
    assert {path.stem for path in EXAMPLES.glob("configs/*/*.yaml")} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_commands_of_an_example_do_what_it_says(
    name: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    folders = []
    for number, command in enumerate(commands(name)):
        folder = home / "outputs" / f"{name}_{number}"
        run_command(command, monkeypatch, str(folder))
        folders += [folder] if "-m vigorl." in command or PROGRAM in command else []
    assert folders
    SHOWS[name](*folders)
