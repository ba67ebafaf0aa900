from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from vigorl.outbox.operations import LogModel


class Client:
    """A store that has a run's model, and has registered nothing yet."""

    def __init__(self) -> None:
        self.versions: list[SimpleNamespace] = []

    def get_run(self, run_id: str) -> SimpleNamespace:
        outputs = SimpleNamespace(model_outputs=[SimpleNamespace(step=4, model_id="m-1")])
        return SimpleNamespace(outputs=outputs)

    def create_registered_model(self, name: str) -> None: ...

    def search_model_versions(self, words: str) -> list[SimpleNamespace]:
        return self.versions

    def create_model_version(self, name: str, source: str, run_id: str, model_id: str) -> None:
        self.versions.append(SimpleNamespace(name=name, model_id=model_id))


def test_a_model_that_was_logged_before_is_registered_once() -> None:
    """As a resume does that names `register_as`."""
    client = Client()
    for _ in range(2):
        LogModel("x", "y", 4, register_as="zoomer").tell(cast(Any, client), "run")
    assert client.versions == [SimpleNamespace(name="zoomer", model_id="m-1")]
