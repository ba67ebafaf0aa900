"""To the hub and back over HTTP: the door's own settings, huggingface_hub's own client, a server
that speaks as the hub does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard, constants
from hydra import compose, initialize_config_dir

from tests.hub_server import Hub, serving
from tests.unit.test_model_card import a_run
from vigorl.build import ASSETS
from vigorl.core.errors import ConfigError
from vigorl.export import export_model
from vigorl.model_sources import as_folder
from vigorl.resolvers import CONFIGS


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving() as found:
        monkeypatch.setenv("HF_TOKEN", "hf_ann")
        for name, value in {
            "ENDPOINT": found.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": found.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_OFFLINE": False,
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_CACHE": str(tmp_path / "cache"),
        }.items():
            monkeypatch.setattr(constants, name, value)
        yield found


def exported(*words: str) -> Any:
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        return export_model(compose("export", list(words)))


# huggingface_hub 2.4 hands its large files to httpx2 in the old way
@pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")
def test_a_run_goes_to_the_hub_and_comes_back(hub: Hub, tmp_path: Path) -> None:
    run = a_run(tmp_path)
    hub.add("ann/tiny", private=True)
    hub.commits["ann/tiny"][0]["model-00002-of-00002.safetensors"] = b"of a larger model"
    (place,) = exported(f"run={run}", "push_to=ann/tiny", "licence=apache-2.0")
    assert place == f"{hub.url}/ann/tiny/commit/{1:040x}"
    sent = hub.commits["ann/tiny"][-1]
    assert sent.keys() == {path.name for path in (run / "model").iterdir()} | {"README.md"}
    assert sent["model.safetensors"] == (ASSETS / "tiny_start/model.safetensors").read_bytes()
    card = ModelCard(sent["README.md"].decode())
    assert card.data.license == "apache-2.0"
    assert "model.path=hub:ann/tiny" in card.text
    never = tmp_path / "never"
    for name in ("hub:ann/tiny", "ann/tiny@main"):
        back = Path(as_folder(name, into=never, dtype="float32"))
        assert (back / "model.safetensors").read_bytes() == sent["model.safetensors"]
        assert (back / "config.json").is_file()
    with pytest.raises(ConfigError, match=r"/0{40}: no config\.json"):
        as_folder(f"hub:ann/tiny@{0:040x}", into=never, dtype="float32")  # before it had one
    exported(f"run={run}", "push_to=ann/other", "private=false")
    assert (hub.private["ann/tiny"], hub.private["ann/other"]) == (True, False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["push_to=tiny"], "no name on the hub: it is owner/name"),
        (["push_to=bob/mine"], r"refuses \(40[34]\): the name is another's, or the token"),
        (["push_to=bob/open"], "everyone can see it: private=false says"),
        (["push_to=bob/open", "private=false"], r"refuses \(403\): the name is another's"),
        ([], "say where to"),
    ],
)
def test_what_cannot_be_pushed_is_said_in_a_line(
    hub: Hub, tmp_path: Path, words: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        exported(f"run={a_run(tmp_path)}", *words)
    assert hub.commits == {"bob/open": [{}]}


def test_without_a_token_or_the_hub_nothing_is_pushed(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [f"run={a_run(tmp_path)}", "push_to=ann/tiny"]
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"ann/tiny: the Hugging Face hub is not reached"):
        exported(*words)
    with pytest.raises(ConfigError, match=r"hub:ann/no: no such folder, and the Hugging Face hub"):
        as_folder("hub:ann/no", into=tmp_path / "never", dtype="float32")
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="there is no token for the Hugging Face hub; set HF_TOK"):
        exported(*words)


def test_a_run_without_a_model_says_how_it_gets_one(tmp_path: Path) -> None:
    run = a_run(tmp_path, with_model=False)
    with pytest.raises(
        ConfigError, match=r"has no model yet: .* resume=.*/run goes on to its end$"
    ):
        exported(f"run={run}", "folder=x")
    (run / "checkpoints").mkdir()
    (run / "checkpoints/phase-00003.ckpt").touch()
    with pytest.raises(ConfigError, match=r"or export checkpoint=.*phase-00003\.ckpt$"):
        exported(f"run={run}", "folder=x")
    with pytest.raises(ConfigError, match=r"has no run\.json"):
        exported(f"run={tmp_path / 'nowhere'}", "folder=x")
    with pytest.raises(ConfigError, match="say which model"):
        exported("folder=x")
