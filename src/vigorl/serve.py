"""Serve a policy with its tools: `python -m vigorl.serve model.path=RUN/model`, an
OpenAI-compatible `/v1/chat/completions` that answers once the policy has looked as often as it
wants.

Takes the groups of `vigorl.evaluate`: `scale=`, `env=` (what it is told and may do), `engine=`. A
request without temperature is answered as an evaluation answers; requests that come together are
sampled together. docs/serve.md has what a request may say, and examples. Ctrl-C ends it.
"""

from __future__ import annotations

from vigorl.door import door, refuse_early

refuse_early(__name__, "serve")  # before the imports below, which take seconds

import os

from omegaconf import DictConfig

from vigorl.asking.asker import Asker
from vigorl.asking.shared_engine import SharedEngine
from vigorl.build import build_engine, build_parts, build_rule, check_settings, prepare_process
from vigorl.core.errors import ConfigError
from vigorl.data.images import ImageStore
from vigorl.model_sources import short_name
from vigorl.rollout.engines.server_api import DataUrls
from vigorl.serving.server import Bounds, PolicyServer
from vigorl.stopping import Stopped

prepare_process()
_CROP_BYTES = 1 << 26  # of pictures that are kept for crops


def build_server(cfg: DictConfig) -> PolicyServer:
    """The endpoint, which answers once its `serve_forever` is called.

    Raises:
        ConfigError: A setting is wrong, or the port is taken.
    """
    check_settings(cfg)
    bounds = Bounds(
        max_in_flight=cfg.max_in_flight,
        max_request_bytes=cfg.max_request_bytes,
        max_pictures=cfg.max_pictures,
        max_picture_pixels=cfg.max_picture_pixels,
        allow_urls=cfg.allow_urls,
        api_key=_key(cfg.api_key_env),
    )
    parts = build_parts(cfg)
    engine = build_engine(cfg, parts)
    rule = build_rule(cfg, engine)
    name = cfg.served_as or short_name(cfg.model.path)
    asker = Asker(name, SharedEngine(engine), parts.eval_environment, rule)
    pixels = {**cfg.pixels, "cache_bytes": _CROP_BYTES}
    crops = ImageStore.from_pretrained(parts.model_folder, **pixels)
    try:
        return PolicyServer(
            (cfg.host, cfg.port),
            asker,
            crops=DataUrls(crops, cache_bytes=_CROP_BYTES),
            bounds=bounds,
        )
    except OSError as error:
        asker.engine.close()
        raise ConfigError(
            f"host={cfg.host} port={cfg.port}: {error}; port=0 takes one that is free"
        ) from error


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable, "")
    if not key:
        raise ConfigError(f"api_key_env={variable}: there is no such variable, or it is empty")
    return key


def serve(server: PolicyServer) -> None:
    """Answer until Ctrl-C or SIGTERM, which is how it is meant to end; then close all."""
    try:
        print(f"{server.asker.name} is at {server.url}/v1, Ctrl-C ends it", flush=True)
        server.serve_forever()
    except Stopped:
        print("the server has ended", flush=True)
    finally:
        server.asker.engine.close()
        server.server_close()


@door("serve")
def main(cfg: DictConfig) -> None:
    serve(build_server(cfg))


if __name__ == "__main__":
    main()
