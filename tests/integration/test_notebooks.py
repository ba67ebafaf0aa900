"""Every notebook runs from top to bottom, in a copy of its folder, with this Python; those that
train or evaluate with fewer questions and rollouts than they show.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import nbformat
import pytest
from ipykernel.kernelspec import install
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
EIGHT = '"plan.sequences_per_update=8", "plan.micro_batch_size=8"'
SMALLER = {  # what a cell says -> what is run in its place
    "03_train_and_watch": {
        '"plan.prompts_per_phase=8"': '"plan.prompts_per_phase=1"',
        '"plan.sequences_per_update=64"': EIGHT,
        '"data.num_train=48"': '"data.num_train=6"',
        '"data.num_val=32"': '"data.num_val=4"',
    },
    "04_evaluate_and_compare": {'"limit=96"': '"limit=12", "data.num_train=1", "data.num_test=12"'},
    "05_your_own_pictures": {
        "range(96)": "range(32)",
        '"num_phases=4"': '"num_phases=1"',
        '"plan.prompts_per_phase=8"': '"plan.prompts_per_phase=2"',
        '"plan.group_size=8"': '"plan.group_size=4"',
        '"plan.sequences_per_update=64"': EIGHT,
        '"rollout.eval_every=4"': '"rollout.eval_every=1"',
    },
}


@pytest.fixture
def kernel_of_this_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # JUPYTER_PATH is searched first: no "python3" that a user has installed can stand in
    install(prefix=str(tmp_path))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share" / "jupyter"))


def execute(notebook: nbformat.NotebookNode, folder: Path) -> None:
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()


def make_smaller(notebook: nbformat.NotebookNode, name: str) -> None:
    for said, small in SMALLER.get(name, {}).items():
        saying = [cell for cell in notebook.cells if said in cell.source]
        assert saying, f"{name} does not say {said}"
        for cell in saying:
            cell.source = cell.source.replace(said, small)


def test_there_are_notebooks():
    assert NOTEBOOKS
    assert set(SMALLER) <= {path.stem for path in NOTEBOOKS}


@pytest.mark.slow
@pytest.mark.usefixtures("kernel_of_this_python")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, tmp_path: Path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    make_smaller(notebook, path.stem)
    home = tmp_path / "notebooks"
    shutil.copytree(path.parent / "data", home / "data")  # those that train leave a run's folder
    execute(notebook, home)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells), "a code cell was not executed"


@pytest.mark.usefixtures("kernel_of_this_python")
def test_notebooks_run_in_this_python(tmp_path: Path):
    cell = nbformat.v4.new_code_cell("import sys; print(sys.executable, end='')")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    execute(notebook, tmp_path)
    assert cell.outputs[0].text == sys.executable
