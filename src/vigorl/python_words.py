"""What goes wrong, said to a Python program: no words of a terminal where a call does the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from vigorl.core.errors import ConfigError, VigorlError
from vigorl.door import own_words

_CALLS = (
    (r"python -m vigorl\.(train|synthesize) 'resume=\"(.+?)\"' goes on",
     r"vigorl.\1(cfg, resume='\2') goes on"),
    (r"python -m vigorl\.evaluate 'resume=\"(.+?)\"' goes on",
     r"""vigorl.evaluate(cfg, "resume='\1'") goes on"""),
    (r"python -m vigorl\.(train|evaluate|synthesize) experiment=([\w/]+)",
     r'vigorl.\1(vigorl.compose("\2", door="\1"))'),
    (r"--config-dir (\S+?)(?=:| |$)", r"config_dir='\1'"),
    (r"(?<!train )--help", "python -m vigorl.train --help"),
    (r" on this command line", " to vigorl.compose"),
    (r" than the run's command line gives today", " than what was said to it gives today"),
    (r" \(HYDRA_FULL_ERROR=1 shows the whole trace\)", ""),
)  # fmt: skip


def in_python(text: str) -> str:
    """A message with calls in place of commands; settings are said the same in both.

    >>> in_python("python -m vigorl.train 'resume=\\"a/b\\"' goes on")
    "vigorl.train(cfg, resume='a/b') goes on"
    """
    for command, call in _CALLS:
        text = re.sub(command, call, text)
    return text


@contextmanager
def own_errors() -> Iterator[None]:
    """What Hydra and OmegaConf say of settings is raised as a ConfigError of one line; ours are
    raised as they are, in a program's words.
    """
    try:
        yield
    except VigorlError as error:
        if error.args and (said := in_python(str(error))) != str(error):
            error.args = (said,)
        raise
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(in_python(own_words(error))) from error
