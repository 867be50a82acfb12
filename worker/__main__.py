"""`python -P -m worker QUEUE`: one worker, as `genconvnet worker` starts it."""

import sys

from core.runtime.startup import exit_if_refused
from core.schemas.jobs import Queue
from worker.app import main

if __name__ == "__main__":
    with exit_if_refused("genconvnet worker"):
        main(Queue(sys.argv[1]))
