from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from vigorl.core.digests import check_digests, write_digest, write_folder_digests
from vigorl.core.errors import DataError


def model(folder: Path) -> Path:
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text(name)
    write_folder_digests(folder, list(folder.iterdir()))
    write_folder_digests(folder, list(folder.iterdir()))  # its own list is not of it
    return folder


def test_what_was_written_is_whole(tmp_path: Path) -> None:
    assert check_digests(model(tmp_path))
    (tmp_path / "a.part").write_text("weights")
    write_digest(tmp_path / "a.ckpt", of=tmp_path / "a.part")
    (tmp_path / "a.part").rename(tmp_path / "a.ckpt")
    assert check_digests(tmp_path / "a.ckpt")
    for listed in ("SHA256SUMS", "a.ckpt.sha256"):
        subprocess.run(["sha256sum", "--check", "--status", listed], cwd=tmp_path, check=True)


def test_without_a_digest_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.ckpt").touch()
    assert not check_digests(tmp_path / "a.ckpt")
    assert not check_digests(tmp_path)


def test_damage_is_named(tmp_path: Path) -> None:
    model(tmp_path)
    (tmp_path / "model.safetensors").write_text("model.safetensort")
    with pytest.raises(DataError, match=r"model\.safetensors: is damaged"):
        check_digests(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(DataError, match=r"model\.safetensors: is damaged"):
        check_digests(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff\x00\n", b"0123  model.safetensors\n"])
def test_damaged_digests_are_named_and_never_taken_for_none(content: bytes, tmp_path: Path) -> None:
    (model(tmp_path) / "SHA256SUMS").write_bytes(content)
    with pytest.raises(DataError, match="SHA256SUMS: is cut or damaged"):
        check_digests(tmp_path)
