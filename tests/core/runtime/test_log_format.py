import os
import pty
import subprocess
import sys

import pytest
from support.service import clean_environment


@pytest.mark.parametrize(
    ("log_format", "on_terminal", "expected"),
    [("auto", True, False), ("auto", False, True), ("json", True, True), ("console", False, False)],
)
def test_logs_and_refusals_are_json_unless_someone_reads_them_on_a_terminal(
    log_format: str, on_terminal: bool, expected: bool
) -> None:
    script = (
        "import structlog; from core.runtime.logs import configure_logs; from core.runtime.settings import Settings; "
        "from core.runtime.startup import print_refusal; configure_logs(Settings()); "
        "structlog.get_logger().info('started'); print_refusal('no')"
    )
    terminal, errors = pty.openpty() if on_terminal else os.pipe()
    environment = {**clean_environment(), "GENCONVNET_LOG_FORMAT": log_format}
    subprocess.run([sys.executable, "-c", script], env=environment, stderr=errors, timeout=60, check=True)
    lines = os.read(terminal, 65536).decode().splitlines()
    os.close(terminal)
    os.close(errors)
    assert [line.startswith("{") for line in lines] == [expected, expected]
