"""Entry point of a service for one command: `genconvnet serve` that ends with the process that started it.

Its arguments are the queues whose workers are to start at once.
"""

import sys

from api.embedded.serve import serve
from api.settings import ApiSettings
from core.runtime.logs import configure_logs
from core.runtime.processes import die_with_starter
from core.runtime.startup import exit_if_refused
from core.schemas.jobs import Queue


def main() -> None:
    die_with_starter()
    settings = ApiSettings()
    configure_logs(settings)
    broker_url = settings.broker_url if "broker_url" in settings.model_fields_set else None
    serve(settings, broker_url, [Queue(name) for name in sys.argv[1:]])


if __name__ == "__main__":
    with exit_if_refused("genconvnet"):
        main()
