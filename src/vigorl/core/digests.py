"""What a checkpoint or a model folder held when it was written, so that damage is seen on reading.

    phase-00010.ckpt.sha256   beside a file
    SHA256SUMS                in a folder

`sha256sum --check` reads both. What has no digest (another program wrote it) is taken as it is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from os.path import isfile
from pathlib import Path

from vigorl.core.errors import DataError
from vigorl.core.files import written_whole

IN_FOLDER = "SHA256SUMS"
_LINE = re.compile(r"[0-9a-f]{64}  .+")


def digest_path(path: Path) -> Path:
    """Where the digests of a folder, or else of a file, are."""
    return path / IN_FOLDER if path.is_dir() else path.with_name(f"{path.name}.sha256")


def write_digest(path: Path, *, of: Path) -> None:
    """Beside `path`: the digest of `of`, which is about to be moved there."""
    with written_whole(path.with_name(f"{path.name}.sha256")) as part:
        part.write_text(f"{sha256_of(of)}  {path.name}\n")


def write_folder_digests(folder: Path, files: Iterable[Path]) -> None:
    """Of these files of a folder; any digests that it had before are forgotten."""
    named = {file.relative_to(folder).as_posix(): file for file in files}
    named.pop(IN_FOLDER, None)
    lines = [f"{sha256_of(file)}  {name}\n" for name, file in sorted(named.items())]
    with written_whole(folder / IN_FOLDER) as part:
        part.write_text("".join(lines))


def check_digests(path: Path) -> bool:
    """Compare a file, or the files of a folder, with what was written.

    Returns:
        Whether there were digests to compare with.
    Raises:
        DataError: A file is missing or has another content, or the digests are damaged.
    """
    listed = digest_path(path)
    if not listed.is_file():
        return False
    lines = listed.read_text(errors="replace").splitlines()
    if not lines or not all(map(_LINE.fullmatch, lines)):
        raise DataError("is cut or damaged, so nobody knows what it was written for", path=listed)
    for line in lines:
        digest, _, name = line.partition("  ")
        file = listed.parent / name
        if not isfile(file) or sha256_of(file) != digest:  # `Path.is_file` raises of long names
            raise DataError(
                f"is damaged, or was changed: its sha256 is not that in {listed.name}",
                path=listed.parent / name[:255],
            )
    return True


def sha256_of(path: str | Path) -> str:
    """Of a file's content, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
