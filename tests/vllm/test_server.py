"""Real vLLM servers on the tiny model: the policy's own numbers, a kill in the middle of a phase,
new weights. `test_served_adapters.py` has adapters.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText

from tests import builders
from vigorl.build import ASSETS
from vigorl.core.rollout import Rollout
from vigorl.data.encoding import ChatCodec
from vigorl.data.images import ImageStore
from vigorl.data.prompts import Prompt
from vigorl.models.weight_export import export_weights
from vigorl.rollout.collector import build_dialogs, collect
from vigorl.rollout.engines.hf import HFEngine
from vigorl.rollout.engines.server import ServerEngine
from vigorl.rollout.environment import Environment
from vigorl.rollout.limits import RolloutLimits
from vigorl.rollout.tools.zoom_point import ZoomPoint

pytest.importorskip("vllm", reason="needs vllm")
pytestmark = [pytest.mark.vllm, pytest.mark.slow]

FOLDER = str(ASSETS / "tiny_start")
SETTINGS = [
    "--enable-scale-out", "--logprobs-mode", "processed_logprobs", "--generation-config", "vllm",
    "--limit-mm-per-prompt", '{"image": 5}', "--max-model-len", "4096", "--max-num-seqs", "32",
]  # fmt: skip
ON_CPU = [
    "--enforce-eager", "--dtype", "float32", "--no-async-scheduling", "--disable-chunked-mm-input",
    "--max-num-batched-tokens", "8192",
]  # fmt: skip
QUESTIONS = [  # the kind that the model knows, so that it zooms before it answers
    f"How do the stripes on the {colour} {shape} run?"
    for colour, shape in (
        ("red", "square"), ("blue", "square"), ("yellow", "disc"), ("green", "disc")
    )
]  # fmt: skip
TEMPLATE = (  # the tiny tokenizer has none, which only the chat format misses
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}"
    "{% if part.type == 'text' %}{{ part.text }}"
    "{% else %}<|vision_start|><|image_pad|><|vision_end|>{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass
class Served:
    """A vLLM server in processes of its own."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(
        cls,
        folder: Path,
        *settings: str,
        model: str = FOLDER,
        common: list[str] | None = None,
        **variables: str,
    ) -> Served:
        """`common` are settings in place of those that engines are tested with."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        (folder / "template.jinja").write_text(TEMPLATE)
        log = folder / f"vllm-{port}.log"
        env = {
            "VLLM_SERVER_DEV_MODE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        }  # fmt: skip
        where = ["--host", "127.0.0.1", "--port", str(port)]
        if common is None:
            common = ["--chat-template", str(folder / "template.jinja"), *SETTINGS]
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, *where, *common, *([] if has_gpu() else ON_CPU), *settings],
                env=os.environ | env | variables, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        return cls(f"http://127.0.0.1:{port}", process, log)

    def wait(self) -> None:
        deadline = time.monotonic() + 400
        while True:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            try:
                if requests.get(f"{self.url}/health", timeout=5).status_code == 200:
                    return
            except requests.ConnectionError:
                time.sleep(0.5)

    def kill(self) -> None:
        """All of its processes, as the out-of-memory killer would."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def has_gpu() -> bool:
    return torch.cuda.is_available()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Served]]:
    folder = tmp_path_factory.mktemp("vllm")
    started: list[Served] = []
    try:
        for _ in range(2):
            started.append(Served.start(folder))
        for server in started:
            server.wait()
        yield started
    finally:
        for server in started:
            server.kill()


@dataclass(frozen=True)
class Small:
    codec: ChatCodec
    images: ImageStore
    picture: str

    def environment(self, temperature: float) -> Environment:
        return Environment(
            prompt=Prompt("Point, zoom, then answer."), codec=self.codec, images=self.images,
            tools=[ZoomPoint(window_px=112, view_px=56)], temperature=temperature,
            limits=RolloutLimits(
                max_turns=3, max_images=3, max_new_tokens=64, max_response_tokens=400
            ),
        )  # fmt: skip

    def rollouts(self, engine: Any, *, temperature: float = 1.0, **given: Any) -> list[Rollout]:
        task = [
            builders.task(id=f"t{i}", images=(self.picture,), question=QUESTIONS[i % 4])
            for i in range(given.pop("num_tasks", 4))
        ]
        dialogs = build_dialogs(
            self.environment(temperature), task, phase="p", run_seed=0,
            group_size=given.pop("group_size", 1 if temperature == 0 else 4),
        )  # fmt: skip
        return collect(engine, dialogs, phase="p", **given).rollouts

    def connect(self, servers: list[Served], **given: Any) -> ServerEngine:
        settings: dict[str, Any] = {"backoff_s": 0.1, "give_up_s": 60} | given
        return ServerEngine(
            codec=self.codec, images=self.images, urls=[s.url for s in servers], **settings
        )


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    picture = tmp_path_factory.mktemp("small") / "noise.png"
    Image.effect_noise((448, 448), 90).convert("RGB").save(picture)
    limits = {"min_pixels": 112 * 112, "max_pixels": 112 * 112}
    images = ImageStore.from_pretrained(FOLDER, **limits)
    return Small(ChatCodec.from_pretrained(FOLDER), images, str(picture))


def assert_same(left: list[Rollout], right: list[Rollout], *, gap: float = 1e-3) -> None:
    assert [r.token_ids for r in left] == [r.token_ids for r in right]
    for one, other in zip(left, right, strict=True):
        assert one.sampling_logprobs == pytest.approx(other.sampling_logprobs, abs=gap)


def test_a_teacher_writes_what_the_tokens_format_writes(
    servers: list[Served], small: Small
) -> None:
    tokens = small.connect(servers[:1], transfer="none")
    teacher = small.connect(servers[:1], api="chat", transfer="none", model=FOLDER)
    expected = small.rollouts(tokens, temperature=0.0)
    found = small.rollouts(teacher, temperature=0.0)
    # later turns may differ: the server encodes the text of the first one anew, in its own way
    assert [r.turns[0].text for r in found] == [r.turns[0].text for r in expected]
    assert any(len(rollout.turns) > 1 for rollout in found)
    assert all(turn.sampling_logprobs == () for r in found for turn in r.turns)


def test_publishing_the_vision_tower_alone_changes_what_is_sampled(
    servers: list[Served], small: Small
) -> None:
    engine, own = small.connect(servers), HFEngine.from_pretrained(
        folder=FOLDER, codec=small.codec, images=small.images
    )  # fmt: skip
    model: Any = AutoModelForImageTextToText.from_pretrained(FOLDER)
    before = small.rollouts(engine, temperature=0.0)
    assert_same(before, small.rollouts(own, temperature=0.0))
    engine.publish(export_weights(model), version=1)
    assert_same(before, small.rollouts(engine, temperature=0.0))
    with torch.no_grad():
        for weight in model.model.visual.parameters():
            weight.mul_(1.5)
    engine.publish(export_weights(model), version=2)
    own.publish(export_weights(model), version=2)
    after = small.rollouts(engine, temperature=0.0)
    assert_same(after, small.rollouts(own, temperature=0.0))
    first = [[r.turns[0].sampling_logprobs[0] for r in rollouts] for rollouts in (before, after)]
    assert first[0] != pytest.approx(first[1], abs=1e-3)
    assert {rollout.policy_version for rollout in after} == {2}
    stats = engine.last_publish
    assert stats is not None
    assert stats.num_bytes == sum(weight.numel() * 4 for _, weight in export_weights(model))
    engine.close()


def test_a_server_killed_in_the_middle_of_a_phase_costs_no_rollout(
    servers: list[Served], small: Small
) -> None:
    model: Any = AutoModelForImageTextToText.from_pretrained(FOLDER)
    engine = small.connect(servers, max_concurrent=8)
    engine.publish(export_weights(model), version=3)
    size = {"num_tasks": 8, "group_size": 8}
    expected = small.rollouts(engine, **size)
    # groups go to servers by a hash that holds the port: the one with more of the 8 has 32 of the
    # 64 rollouts at least, so it has work left when 16 are done
    owners = Counter(engine._pool._ranked(group)[0].url for group in {r.group for r in expected})
    victim = max(servers, key=lambda server: owners[server.url])
    num_done = 0
    finished = threading.Event()

    def kill_once(_: Rollout) -> None:
        nonlocal num_done
        num_done += 1
        if num_done == 16:
            victim.kill()
            finished.set()

    found = small.rollouts(engine, on_done=kill_once, **size)
    assert finished.is_set()
    (left,) = (server.url for server in servers if server is not victim)
    assert engine._pool.up_urls == [left]  # its loss was noticed
    assert num_done == len(found) == 64
    assert [(r.group, r.index) for r in found] == [(r.group, r.index) for r in expected]
    assert_same(found, expected)
    engine.close()
