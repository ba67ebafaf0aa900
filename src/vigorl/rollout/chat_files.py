"""What a model folder carries so that others ask the policy as it was trained: plain transformers,
`vllm serve FOLDER`.

    chat_template.jinja        the chat, with the system text where a request has none of its own
    generation_config.json     greedy; where a turn ends, and which tokens are never sampled
    preprocessor_config.json   the run's `pixels`
    vigorl.json                prompt, tools and limits, and how the folder is served

A run keeps them in RUN/chat from its start on; whoever writes one of its models adds them.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vigorl.core.files import written_whole
from vigorl.families.lookup import family_of
from vigorl.rollout.environment import Environment

CHAT = "chat"  # in a run's folder
NAME = "vigorl.json"
_PIXELS, _GENERATION = "preprocessor_config.json", "generation_config.json"
_PROCESSOR, _WITHIN = "processor_config.json", "image_processor"  # where newer folders have it
_TEMPLATE, _OLD_TEMPLATE = "chat_template.jinja", "chat_template.json"
_HOW = (
    "One turn, by any program: vllm serve FOLDER, or apply_chat_template of plain transformers. "
    "All turns, its tools carried out: python -m vigorl.serve model.path=FOLDER"
)


def write_chat_files(folder: Path, environment: Environment, *, source: Path) -> None:
    """Write them.

    Args:
        folder: Made when missing.
        environment: As the policy is trained in.
        source: A model folder of the same family, tokenizer and image processor.
    """
    codec, sizing = environment.codec, environment.images.sizing
    all_of_it, known = source / _PROCESSOR, {}
    if all_of_it.is_file():
        known = json.loads(all_of_it.read_text())
    pixels: dict[str, Any] = known.get(_WITHIN) or json.loads((source / _PIXELS).read_text())
    for old in ("min_pixels", "max_pixels"):  # which some released folders have beside `size`
        pixels.pop(old, None)
    pixels |= sizing.processor_settings()
    generation = {
        "do_sample": False,
        "eos_token_id": codec.end_id if len(codec.end_ids) == 1 else list(codec.end_ids),
        "pad_token_id": codec.pad_id,
        "suppress_tokens": list(codec.banned_ids),
    }
    told = {
        "how_to_serve": _HOW,
        "prompt": asdict(environment.prompt),
        "tools": {name: asdict(tool.spec) for name, tool in environment.tools.items()},
        "limits": asdict(environment.limits),
        "sampling": {"temperature": environment.temperature, "top_p": environment.top_p},
    }
    folder.mkdir(parents=True, exist_ok=True)
    template = family_of(source).chat.template(system=environment.prompt.system)
    texts = {_TEMPLATE: template} | {
        name: json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n"
        for name, content in ((_PIXELS, pixels), (_GENERATION, generation), (NAME, told))
    }
    if _WITHIN in known:  # transformers reads it first
        texts[_PROCESSOR] = json.dumps(known | {_WITHIN: pixels}, indent=2) + "\n"
    for name, text in texts.items():
        with written_whole(folder / name) as part:
            part.write_text(text, encoding="utf-8")


def add_chat_files(model: Path, chat: Path) -> bool:
    """Put what `write_chat_files` has written into a model folder, whose digests are then old.

    Returns:
        Whether there was anything; older runs have none.
    """
    if not (chat / NAME).is_file():
        return False
    shutil.copytree(chat, model, dirs_exist_ok=True)
    (model / _OLD_TEMPLATE).unlink(missing_ok=True)
    return True
