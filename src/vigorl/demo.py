"""Show it: `python -m vigorl.demo model.path=RUN/model`, a page where a picture is asked about and
the policy is watched turn by turn; `beside=tiny_start` asks a second model the same.

Takes the groups of `vigorl.evaluate`: `scale=`, `env=` (what it is told and may do), `engine=`,
`data=` (whose test questions are the examples). Needs the extra `[demo]`, in an environment of its
own since Gradio takes no Pillow 13: `make demo`. Dialogs that are kept stand in
outputs/demo/<time>/dialogs.jsonl and train by `data=traces data.path=...`.
"""

from __future__ import annotations

from vigorl.door import door, refuse_early

refuse_early(__name__, "demo")  # before the imports below, which take seconds

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from vigorl.asking.asker import Asker
from vigorl.asking.saved import SavedDialogs
from vigorl.build import build_asker, check_settings, prepare_process
from vigorl.core.errors import ConfigError
from vigorl.core.records import TaskRecord
from vigorl.data.splits import load_tasks
from vigorl.model_sources import short_name

prepare_process()
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # nothing is told to anybody


def build_page(cfg: DictConfig) -> Any:
    """The page, a `gradio.Blocks` that is not served yet.

    Raises:
        ConfigError: Gradio is not installed, or a setting is wrong.
    """
    check_settings(cfg)
    if find_spec("gradio") is None:
        raise ConfigError("the demo needs Gradio: make demo, or pip install 'vigorl[demo]'")
    from vigorl.demo_page import make_page

    askers = build_askers(cfg)
    examples = find_examples(cfg, askers[0])
    return make_page(askers, examples, saved=SavedDialogs(Path(cfg.paths.run)))


def build_askers(cfg: DictConfig) -> list[Asker]:
    """The model, and the one beside it."""
    askers = [build_asker(cfg, name=short_name(cfg.model.path), num_looks=cfg.own_looks)]
    if cfg.beside:
        other = cfg.copy()
        other.model.path, other.model.maker = cfg.beside, None
        other.paths.run = f"{cfg.paths.run}/beside"
        askers.append(build_asker(other, name=short_name(cfg.beside), num_looks=cfg.own_looks))
    return askers


def find_examples(cfg: DictConfig, asker: Asker) -> list[TaskRecord]:
    """Test questions of the data, the same for the same seed."""
    if not cfg.num_examples:
        return []
    source, asks = instantiate(cfg.data), asker.environment
    tasks, _ = load_tasks(source, "test", asks=asks, limit=cfg.num_examples, seed=cfg.seed)
    return list(tasks)


@door("demo")
def main(cfg: DictConfig) -> None:
    from vigorl.demo_page import serve

    serve(build_page(cfg), host=cfg.host, port=cfg.port)


if __name__ == "__main__":
    main()
