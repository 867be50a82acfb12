"""Programs that only some tests need. Without them these tests are skipped, but not in CI."""

import os
import shutil

import pytest

NO_SKIPS = "GENCONVNET_TEST_NO_SKIPS"  # set by .ci/run, which installs the programs
FOLDERS = ("/usr/sbin", "/usr/local/sbin")  # not on every user's PATH


def require(program: str, install: str) -> str:
    """Return the path of a program. Without it, skip the test, saying what to do; fail if skips are forbidden."""
    path = shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", ""), *FOLDERS)))
    if path is None:
        message = f"needs {program}: {install}"
        if os.environ.get(NO_SKIPS):
            pytest.fail(message)
        pytest.skip(message)
    return path
