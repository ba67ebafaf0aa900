"""core/ promises to import with the standard library alone."""

import subprocess
import sys
from pathlib import Path

import vigorl.core

PROBE = """
import importlib, sys
for blocked in ("torch", "numpy", "PIL", "lightning", "transformers", "hydra"):
    sys.modules[blocked] = None
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def test_every_core_module_imports_without_third_parties():
    root = Path(vigorl.core.__file__).parent
    paths = [path.relative_to(root).with_suffix("") for path in root.rglob("*.py")]
    modules = [".".join(("vigorl.core", *path.parts)) for path in paths if path.stem != "__init__"]
    assert "vigorl.core.rewards.composite" in modules

    done = subprocess.run(
        [sys.executable, "-c", PROBE, "vigorl.core.rewards", *modules],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
