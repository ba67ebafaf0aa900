from __future__ import annotations

import errno
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.demos.boring_classes import BoringModel

from vigorl.callbacks.checkpoint import (
    PhaseCheckpoint,
    check_whole,
    list_checkpoints,
    newest_whole,
)
from vigorl.core.digests import write_digest
from vigorl.core.errors import ConfigError, DataError, VigorlError


def fit(
    folder: Path, *, epochs: int, model: LightningModule | None = None, **settings: Any
) -> None:
    Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        limit_train_batches=1,
        limit_val_batches=0,
        logger=False,
        callbacks=[PhaseCheckpoint(folder=str(folder), **settings)],
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    ).fit(model or BoringModel())


def names(folder: Path) -> list[str]:
    """All files, those of digests left out: each checkpoint has its own."""
    found = sorted(path.name for path in folder.iterdir())
    checkpoints = [name for name in found if not name.endswith(".sha256")]
    assert found == sorted([*checkpoints, *(f"{name}.sha256" for name in checkpoints)])
    return checkpoints


def test_saves_every_so_many_phases_and_the_last(tmp_path: Path) -> None:
    fit(tmp_path, epochs=5, every=2, keep=9)
    assert names(tmp_path) == ["phase-00002.ckpt", "phase-00004.ckpt", "phase-00005.ckpt"]
    assert torch.load(tmp_path / "phase-00004.ckpt", weights_only=False)["global_step"] == 4


def test_keeps_the_newest(tmp_path: Path) -> None:
    fit(tmp_path, epochs=5, every=1, keep=2)
    assert names(tmp_path) == ["phase-00004.ckpt", "phase-00005.ckpt"]


def test_order_is_by_phase_and_half_written_ones_are_not_listed(tmp_path: Path) -> None:
    for name in ("phase-00010.ckpt", "phase-100000.ckpt", "phase-00009.ckpt"):
        (tmp_path / name).touch()
    for name in ("phase-00011.ckpt.part", "phase-last.ckpt", "other.ckpt"):
        (tmp_path / name).touch()
    found = [path.name for path in list_checkpoints(tmp_path)]
    assert found == ["phase-00009.ckpt", "phase-00010.ckpt", "phase-100000.ckpt"]


def test_no_folder_has_no_checkpoints(tmp_path: Path) -> None:
    assert list_checkpoints(tmp_path / "absent") == []


class DiesWhileSaving(BoringModel):
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.trainer.current_epoch == 1:
            checkpoint["cannot be pickled"] = lambda: None


def test_a_save_that_dies_leaves_the_last_checkpoint_alone(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"pickle|local object|Can't get"):
        fit(tmp_path, epochs=3, every=1, keep=1, model=DiesWhileSaving())
    assert [path.name for path in list_checkpoints(tmp_path)] == ["phase-00001.ckpt"]
    # what the dead save left behind is in nobody's way
    fit(tmp_path, epochs=3, every=1, keep=1)
    assert names(tmp_path) == ["phase-00003.ckpt"]


@pytest.mark.parametrize("wrong", [{"every": 0}, {"keep": 0}])
def test_settings_that_would_save_nothing_are_refused(
    wrong: dict[str, int], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        PhaseCheckpoint(folder=str(tmp_path), **wrong)


class Diverges(BoringModel):
    def on_train_epoch_end(self) -> None:
        if self.trainer.current_epoch == 1:
            self.layer.weight.data[0, 0] = float("inf")


def test_a_save_to_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(_: object, part: Path, **_settings: object) -> None:
        part.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Trainer, "save_checkpoint", save)
    with pytest.raises(OSError, match="No space left"):
        fit(tmp_path, epochs=1, every=1)
    assert not list(tmp_path.iterdir())


def test_what_is_not_finite_is_never_saved(tmp_path: Path) -> None:
    with pytest.raises(VigorlError, match="after phase 2 a weight is not finite"):
        fit(tmp_path, epochs=3, every=1, model=Diverges())
    assert [path.name for path in list_checkpoints(tmp_path)] == ["phase-00001.ckpt"]


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def text(path: Path) -> None:
    path.write_text("not a checkpoint")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def another_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"a": 1}))


def flipped_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(b"\x00" * 20 + bytes(4)) // 2] ^= 1
    path.write_bytes(data)


def other_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.txt", "a")


def without_optimizer(path: Path) -> None:
    torch.save({"state_dict": CONTENT["state_dict"]}, path)


def a_tensor(path: Path) -> None:
    torch.save(torch.zeros(3), path)


CONTENT: dict[str, Any] = {
    "state_dict": {"weight": torch.zeros(64)}, "optimizer_states": [], "loops": {},
}  # fmt: skip
OTHERS = [another_pickle, other_zip, without_optimizer, a_tensor]


@pytest.mark.parametrize("other", OTHERS)
def test_what_is_no_checkpoint_of_ours_is_named_whatever_its_digest(
    other: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "phase-00001.ckpt"
    other(path)
    write_digest(path, of=path)
    with pytest.raises(DataError, match=r"phase-00001\.ckpt: is (cut, or not a|no) checkpoint"):
        check_whole(path, parts=("state_dict", "optimizer_states"))


@pytest.mark.parametrize("has_digest", [True, False])
@pytest.mark.parametrize("damage", [empty, cut, text, folder, flipped_bit, *OTHERS])
def test_a_damaged_checkpoint_is_named_and_the_one_before_taken(
    damage: Callable[[Path], None],
    has_digest: bool,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for phase in (1, 2):
        path = tmp_path / f"phase-0000{phase}.ckpt"
        torch.save(CONTENT, path)
        if has_digest:
            write_digest(path, of=path)
    damage(path)
    assert newest_whole(tmp_path) == tmp_path / "phase-00001.ckpt"
    assert "phase-00002.ckpt: is" in caplog.text
    assert (tmp_path / "phase-00002.ckpt.damaged").exists()
    assert newest_whole(tmp_path) == tmp_path / "phase-00001.ckpt"


def test_where_none_is_whole_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "phase-00001.ckpt").touch()
    with pytest.raises(ConfigError, match="of 1 checkpoints none is whole"):
        newest_whole(tmp_path)
    assert newest_whole(tmp_path) is None
