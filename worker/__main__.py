"""`python -P -m worker QUEUE`: one worker, as `genconvnet worker` starts it."""

import sys

from core.runtime.processes import importing
from core.runtime.startup import exit_if_refused
from core.schemas.jobs import Queue

if __name__ == "__main__":
    with importing():  # not at the top: the work process imports this module too, and needs no Celery
        from worker.app import main

    with exit_if_refused("genconvnet worker"):
        main(Queue(sys.argv[1]))
