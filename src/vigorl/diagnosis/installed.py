"""What is installed against what vigorl was tested with.

The pins are the requirements that vigorl itself was installed with, so they are found in a wheel
too; a checkout adds constraints.txt, which pins what those need in turn.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from omegaconf import DictConfig
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from vigorl.build import CONFIGS, is_deepspeed
from vigorl.diagnosis.report import Row, Status

Installed = Callable[[str], str | None]


def installed_version(name: str) -> str | None:
    """Of a package; None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def check_installed(cfg: DictConfig) -> list[Row]:
    """Python, vigorl's requirements with the extras that these settings need, and the lock."""
    try:
        lines, python = requires("vigorl") or [], metadata("vigorl")["Requires-Python"]
    except PackageNotFoundError:
        return [Row(Status.FAIL, "vigorl", "not installed: make setup, or pip install .")]
    extras = ["deepspeed"] if is_deepspeed(cfg.strategy) else []
    lock = Path(CONFIGS).parent / "constraints.txt"
    pins = lock.read_text().split() if lock.is_file() else []
    return [
        check_python(platform.python_version(), python),
        *check_requirements(lines, extras=extras, installed=installed_version),
        *(check_lock(pins, installed=installed_version) if pins else ()),
    ]


def check_python(found: str, wanted: str) -> Row:
    """The running Python against `requires-python`."""
    status = Status.OK if found in SpecifierSet(wanted) else Status.FAIL
    return Row(status, "Python", f"{found}; vigorl needs {wanted}")


def check_requirements(
    lines: Iterable[str], *, extras: Sequence[str], installed: Installed
) -> list[Row]:
    """One row per package that is pinned or missing; extras that are not needed only where they
    are installed in another version.
    """
    rows: list[Row] = []
    for requirement in map(Requirement, lines):
        marker = requirement.marker
        is_needed = marker is None or any(marker.evaluate({"extra": e}) for e in ("", *extras))
        found = installed(requirement.name)
        is_right = found is not None and requirement.specifier.contains(found, prereleases=True)
        wanted = f"tested with {requirement.specifier}" if requirement.specifier else "any version"
        if is_right and requirement.specifier:
            rows.append(Row(Status.OK, requirement.name, f"{found}; {wanted}"))
        elif not is_right and is_needed:
            text = f"{found or 'not installed'}; {wanted}: make setup, or pip install"
            rows.append(Row(Status.FAIL, requirement.name, f"{text} '{requirement!s}'"))
        elif not is_right and found is not None:
            text = f"{found}; {wanted} (these settings do not use it)"
            rows.append(Row(Status.WARN, requirement.name, text))
    return rows


def check_lock(lines: Iterable[str], *, installed: Installed) -> list[Row]:
    """One row for all of constraints.txt; what is pinned there and not installed does not count."""
    pairs = [(one, installed(one.name)) for one in map(Requirement, lines)]
    there = [(one, found) for one, found in pairs if found is not None]
    odd = [f"{one.name} {found} ({one.specifier})" for one, found in there
           if not one.specifier.contains(found, prereleases=True)]  # fmt: skip
    text = f"{len(there) - len(odd)} of {len(there)} installed packages as pinned"
    if not odd:
        return [Row(Status.OK, "constraints.txt", text)]
    return [Row(Status.WARN, "constraints.txt", f"{text}; not: {', '.join(odd[:8])}")]
