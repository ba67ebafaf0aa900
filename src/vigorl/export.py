"""Export: `python -m vigorl.export checkpoint=RUN/checkpoints/phase-00120.ckpt folder=my_model`.

A training checkpoint becomes an ordinary Hugging Face folder (safetensors, tokenizer, image
processor). A finished run has one already, in RUN/model; this is for the phases before.
"""

from __future__ import annotations

from vigorl.door import door, refuse_early

refuse_early(__name__, "export")  # before the imports below, which take seconds

from omegaconf import DictConfig

from vigorl.build import prepare_process
from vigorl.families.lookup import import_plugins
from vigorl.model_sources import export

prepare_process()


@door("export")
def main(cfg: DictConfig) -> None:
    import_plugins(cfg.plugins)
    print(f"wrote {export(cfg.checkpoint, cfg.folder, dtype=cfg.dtype, plugins=cfg.plugins)}")


if __name__ == "__main__":
    main()
