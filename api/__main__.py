"""Entry point of the API process: `python -P -m api`, which `genconvnet api` and `genconvnet serve` run.

With arguments it is the command line: `python -m api serve` is `genconvnet serve`.
"""

import sys

if __name__ == "__main__":
    if sys.argv[1:]:
        from api.console import main as command_line

        command_line()
        raise SystemExit
    from core.runtime.processes import importing
    from core.runtime.startup import exit_if_refused

    with importing():
        from api.server import main

    with exit_if_refused("genconvnet api"):
        main()
