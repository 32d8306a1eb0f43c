"""Environments of their own for peers and data whose pins fit nothing else, made on first use."""

from __future__ import annotations

import os
import subprocess
import venv
from pathlib import Path

FOLDER = Path(__file__).parent / "environments"


def environment(name: str) -> Path:
    """The folder of the environment pinned in NAME.txt. Raises CalledProcessError where pip cannot make it."""
    folder = FOLDER / name
    if not (folder / "ready").exists():
        venv.create(folder, with_pip=True, clear=True)
        pins = FOLDER / f"{name}.txt"
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-qq", "--no-deps", "--requirement", str(pins)]
        subprocess.run(pip, check=True)
        (folder / "ready").touch()
    return folder


def run(name: str, script: Path, *arguments: object, patience: float | None = None, **variables: str) -> None:
    """Run a script by the Python of an environment, which sees no other packages, for so many seconds at most."""
    python = environment(name) / "bin" / "python"
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [str(python), str(script), *map(str, arguments)]
    subprocess.run(command, check=True, env=clean | variables, timeout=patience)
