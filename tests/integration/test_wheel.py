"""The package as it is installed: built as a wheel, unpacked, and started outside any checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.forked import run_forked
from tests.integration.door import SMALL
from vigorl.build import CONFIGS

pytestmark = pytest.mark.slow
ROOT = Path(CONFIGS).parent
IN_SOURCES = shutil.ignore_patterns("__pycache__", "*.egg-info")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a wheel of this checkout unpacks to; nothing is fetched."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a build leaves files in its sources
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("src", "configs"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=IN_SOURCES)
    build = ["-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "--no-index"]
    subprocess.run([sys.executable, *build, "-w", str(folder), str(source)], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "installed")
    return folder / "installed"


def test_a_wheel_holds_every_yaml_of_the_checkout(installed: Path) -> None:
    yamls = {path.relative_to(CONFIGS) for path in Path(CONFIGS).rglob("*.yaml")}
    packed = installed / "vigorl/configs"
    assert {path.relative_to(packed) for path in packed.rglob("*.yaml")} == yamls
    assert (installed / "vigorl/py.typed").is_file()
    assert (installed / "vigorl/assets/tiny_trained/model.safetensors").is_file()
    assert (installed / "vigorl/pages/templates/dialog.css").is_file()


def test_an_installed_door_trains_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    env = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    env.pop("MLFLOW_TRACKING_URI", None)
    words = ["experiment=grpo_vstar", *SMALL, "num_phases=1", "rollout.eval_every=0"]
    done = run_forked("vigorl.train", words, folder=tmp_path, env=env, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (model,) = tmp_path.glob("outputs/grpo_vstar/*/model/model.safetensors")
    config = model.parents[1] / "config.yaml"
    assert f"start: {installed}/vigorl/assets/tiny_start" in config.read_text()
