"""How to reach the broker: one URL, redis:// or rediss:// or unix://, for redis-py and for Celery."""

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from celery import Celery
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.backoff import NoBackoff
from redis.retry import Retry

from core.schemas.jobs import Queue

RUN_TASK = "genconvnet.run"
SOCKET_TIMEOUT_SECONDS = 10
CONNECT_TIMEOUT_SECONDS = 5


def connect(broker_url: str, seconds: float | None = None) -> Redis:
    """A client that gives up on a silent broker, and decodes nothing; after `seconds`, and for good, where given."""
    return Redis.from_url(
        broker_url,
        socket_timeout=seconds or SOCKET_TIMEOUT_SECONDS,
        socket_connect_timeout=seconds or CONNECT_TIMEOUT_SECONDS,
        health_check_interval=5,
        **({} if seconds is None else {"retry": Retry(NoBackoff(), 0)}),
    )


def connect_async(broker_url: str) -> AsyncRedis:
    """The same for asyncio; it waits longer for an answer, since it reads streams that may be silent."""
    return AsyncRedis.from_url(broker_url, socket_timeout=60, socket_connect_timeout=CONNECT_TIMEOUT_SECONDS)


def celery_app(broker_url: str) -> "Celery":
    """Celery, set so that it may lose or double a message but never blocks: the rows are the truth."""
    from celery import Celery  # here, since it takes long, and `import api.app` does without

    app = Celery("genconvnet", broker=_celery_url(broker_url), backend=None, set_as_current=False)
    app.conf.update(
        broker_transport_options={
            "socket_timeout": SOCKET_TIMEOUT_SECONDS,
            "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "health_check_interval": 5,
            "visibility_timeout": 3600,
        },
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        task_acks_late=False,  # the lease in the row replaces acknowledgements
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_enable_remote_control=False,
        worker_proc_alive_timeout=120,  # a child imports torch before it says that it is up
        worker_send_task_events=False,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_queues=None,
        task_create_missing_queues=True,
        task_default_queue=Queue.TRAIN,
    )
    return app


def _celery_url(broker_url: str) -> str:
    parts = urlsplit(broker_url)
    if parts.scheme != "unix":
        return broker_url
    database = parse_qs(parts.query).get("db", ["0"])[0]
    return f"redis+socket://{parts.path}?virtual_host={database}"
