"""`python -P -m worker QUEUE`: one worker process, as `genconvnet worker` starts it."""

import sys

from core.contracts.jobs import Queue
from worker.app import main

if __name__ == "__main__":
    main(Queue(sys.argv[1]))
