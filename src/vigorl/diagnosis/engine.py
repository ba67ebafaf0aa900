"""Whether the engine of the settings can be had: its code imports, its servers answer."""

from __future__ import annotations

import subprocess
import sys
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from hydra.utils import get_object
from omegaconf import DictConfig

from vigorl.diagnosis.report import Row, Status

IMPORT_TIMEOUT_S = 180.0
ANSWER_TIMEOUT_S = 5.0


def engine_kind(cfg: DictConfig) -> str:
    """The module in `rollout.engines` that the settings name; "" for an engine from elsewhere."""
    parts = cfg.engine._target_.split(".")
    return parts[parts.index("engines") + 1] if "engines" in parts[:-1] else ""


def check_engine(cfg: DictConfig) -> list[Row]:
    """The engine's code, the library behind it, and each server in `engine.urls`."""
    target = cfg.engine._target_
    try:
        get_object(target)
    except ImportError as error:
        return [Row(Status.FAIL, "engine", f"{target}: {_last_line(str(error))}")]
    rows = [Row(Status.OK, "engine", target)]
    if engine_kind(cfg) == "vllm":
        rows.append(check_library("vllm"))
    if cfg.get("overlap") and engine_kind(cfg) == "hf":
        told = "overlap=one_step: it shares the trainer's device, and gains little; engine=server"
        rows.append(Row(Status.NOTE, "engine", told))
    urls = cfg.engine.get("urls") or []
    return rows + [check_server(url) for url in ([urls] if isinstance(urls, str) else urls)]


def check_library(name: str, *, timeout_s: float = IMPORT_TIMEOUT_S) -> Row:
    """Import a slow and talkative library in a process of its own."""
    code = f"import {name}; print({name}.__version__)"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Row(Status.FAIL, name, f"import {name} took more than {timeout_s:.0f} s")
    if done.returncode:
        hint = f"pip install 'vigorl[{name}]', or engine=hf"
        return Row(Status.FAIL, name, f"{_last_line(done.stderr)}: {hint}")
    return Row(Status.OK, name, f"{_last_line(done.stdout)} imports")


def check_server(url: str) -> Row:
    """An OpenAI-compatible server: its health, and that it lists its models."""
    base = url.rstrip("/").removesuffix("/v1")
    for path in ("/health", "/v1/models"):
        if problem := ask(base + path):
            return Row(Status.FAIL, "engine server", f"{base}{path}: {problem}; is it started?")
    return Row(Status.OK, "engine server", f"{base} answers")


def ask(url: str) -> str:
    """What is wrong with a GET of this address; "" if nothing."""
    try:
        with urlopen(url, timeout=ANSWER_TIMEOUT_S):
            return ""
    except HTTPError as error:
        return f"HTTP {error.code}"
    except (URLError, TimeoutError, OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else "no message"
