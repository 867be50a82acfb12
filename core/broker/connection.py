"""Connections to the broker, by one URL (redis://, rediss:// or unix://) for both redis-py and Celery."""

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


def connect(broker_url: str, timeout_seconds: float | None = None) -> Redis:
    """Return a client that times out if the broker does not answer. With `timeout_seconds` it does not retry."""
    return Redis.from_url(
        broker_url,
        socket_timeout=timeout_seconds or SOCKET_TIMEOUT_SECONDS,
        socket_connect_timeout=timeout_seconds or CONNECT_TIMEOUT_SECONDS,
        health_check_interval=5,
        **({} if timeout_seconds is None else {"retry": Retry(NoBackoff(), 0)}),
    )


def connect_async(broker_url: str) -> AsyncRedis:
    """Return a client for asyncio. It waits longer for an answer, because it reads streams that may be silent."""
    return AsyncRedis.from_url(broker_url, socket_timeout=60, socket_connect_timeout=CONNECT_TIMEOUT_SECONDS)


def celery_app(broker_url: str) -> "Celery":
    """Return a Celery app that may lose or double a message but never blocks, because the database holds the jobs."""
    from celery import Celery  # not at the top: it is slow, and `import api.app` does not need it

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
        task_acks_late=False,  # leases replace acknowledgements
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_enable_remote_control=False,
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
