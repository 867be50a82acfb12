"""`python -P -m worker QUEUE`: one worker, as `genconvnet worker` starts it."""

import sys

from core.runtime.settings import BadSettings
from core.schemas.jobs import Queue
from worker.app import main

if __name__ == "__main__":
    try:
        main(Queue(sys.argv[1]))
    except BadSettings as error:
        sys.exit(f"genconvnet worker: {error}")
