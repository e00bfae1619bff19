"""The one place that starts git: about the folder it is given, whoever started this process.

A hook of git hands its processes GIT_DIR, GIT_INDEX_FILE and more. They outrank `-C`: git would
read, and write, the repository of the hook instead.
"""

import os
import subprocess
from pathlib import Path


def environment() -> dict[str, str]:
    """Return the environment without GIT_DIR and all else that begins with GIT_."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


def git(folder: Path | str, *arguments: str) -> str:
    """Run git in `folder` and return what it prints, stripped.

    Raises OSError where git cannot be started, subprocess.CalledProcessError when it fails.
    """
    # No optional locks: killed in the middle, git would leave the reader's index locked.
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    return done.stdout.strip()
