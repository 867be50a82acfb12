"""The API in the test's own process, without a server: for tests that need settings of their own but no real HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal

from api.app import create_app
from api.app_state import AppState
from api.settings import ApiSettings


@dataclass(frozen=True)
class InProcessApi:
    app_state: AppState
    _client: httpx.AsyncClient
    _portal: BlockingPortal

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.request("GET", path, **headers)

    def request(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        """Send a request; `_` in the name of a header stands for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._portal.call(partial(self._client.request, method, path, json=body, headers=named))


@contextmanager
def running(settings: ApiSettings) -> Iterator[InProcessApi]:
    """Yield an API that runs during the block, in an event loop of its own."""
    app = create_app(settings)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost", timeout=60)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(app.router.lifespan_context(app)):
        try:
            yield InProcessApi(app.state.app_state, client, portal)
        finally:
            portal.call(client.aclose)
