"""Every notebook runs from top to bottom, in a copy of its folder, with this Python; those that
train or evaluate with fewer questions and rollouts than they show.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
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


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NotebookClient]:
    """A kernel for all of them, which imports once, in a copy of their folder."""
    home, kernels = (tmp_path_factory.mktemp(name) for name in ("notebooks", "kernels"))
    shutil.copytree(FOLDER / "data", home / "data")  # those that train leave a run's folder
    install(prefix=str(kernels))
    with pytest.MonkeyPatch.context() as patch:
        # JUPYTER_PATH is searched first: no "python3" that a user has installed can stand in
        patch.setenv("JUPYTER_PATH", str(kernels / "share" / "jupyter"))
        resources = {"metadata": {"path": str(home)}}
        empty = nbformat.v4.new_notebook()
        client = NotebookClient(empty, timeout=300, kernel_name="python3", resources=resources)
        client.execute(cleanup_kc=False)
        yield client
        client.execute(cleanup_kc=True)


def execute(client: NotebookClient, notebook: nbformat.NotebookNode) -> None:
    """As if the kernel were a new one: nothing is left of the names of another notebook."""
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    client.nb = notebook
    client.execute(cleanup_kc=False)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells), "a code cell was not executed"


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
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, client: NotebookClient):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    make_smaller(notebook, path.stem)
    execute(client, notebook)


def test_notebooks_run_in_this_python_and_know_nothing_of_each_other(client: NotebookClient):
    codes = ["import sys; print(sys.executable, end='')", "print('Path' in dir())"]
    for more in (["from pathlib import Path"], []):
        cells = [nbformat.v4.new_code_cell(code) for code in [*codes, *more]]
        notebook = nbformat.v4.new_notebook(cells=cells)
        execute(client, notebook)
        assert notebook.cells[1].outputs[0].text == sys.executable
        assert notebook.cells[2].outputs[0].text == "False\n"
