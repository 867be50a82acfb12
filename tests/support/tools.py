"""Programs that only some tests need. Without them these tests are skipped, but not in CI."""

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest

NO_SKIPS = "GENCONVNET_TEST_NO_SKIPS"  # set by .ci/run, which installs the programs
FOLDERS = (str(Path(sys.executable).parent), "/usr/sbin", "/usr/local/sbin")  # not on every PATH


def require(program: str, install: str) -> str:
    """Return the path of a program. Without it, skip the test, saying what to do; fail if skips are forbidden."""
    path = shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", ""), *FOLDERS)))
    return path if path is not None else missing(program, install)


def missing(program: str, install: str) -> NoReturn:
    """Skip the test for want of a program, or fail if skips are forbidden."""
    message = f"needs {program}: {install}"
    if os.environ.get(NO_SKIPS):
        pytest.fail(message)
    pytest.skip(message)
