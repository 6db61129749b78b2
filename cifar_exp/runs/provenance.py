"""The software, the commit and the command that a run comes from."""

import platform
import re
import shlex
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

from cifar_exp import __version__
from cifar_exp.runs.result import Provenance

CLONE = Path(__file__).resolve().parents[2]
GIT_SECONDS = 10.0
PASSWORD = re.compile(r"(://[^:/@\s]*):[^@\s]+@")


def provenance(data_sha256: str) -> Provenance:
    """Return the origin of a result of this process, on images with this hash."""
    return Provenance(
        cifar_exp=__version__,
        torch=version("torch"),
        lightning=version("pytorch-lightning"),
        python=platform.python_version(),
        git_commit=git_commit(CLONE),
        data_sha256=data_sha256,
        command=command(),
    )


def command() -> str:
    """Return the command line of this process, as a shell reads it, without passwords in URLs."""
    program, *arguments = sys.argv or [""]
    is_ours = Path(program).stem == "cifar-exp" or Path(program).parts[-2:] == ("cifar_exp", "__main__.py")
    parts = ["cifar-exp", *arguments] if is_ours else sys.orig_argv
    return PASSWORD.sub(r"\1:***@", shlex.join(parts))


@cache
def git_commit(clone: Path) -> str | None:
    """Return the commit of a clone, with "-dirty" where tracked files differ; None where `clone` is none."""
    try:
        top = _git(clone, "rev-parse", "--show-toplevel")
        if Path(top) != clone:  # installed somewhere below another project's clone
            return None
        commit = _git(clone, "rev-parse", "HEAD")
        is_dirty = bool(_git(clone, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}-dirty" if is_dirty else commit


def _git(clone: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "--no-optional-locks", "-C", str(clone), *arguments],
        check=True,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=GIT_SECONDS,
    )
    return done.stdout.strip()
