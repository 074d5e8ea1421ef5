# SPDX-License-Identifier: Apache-2.0
"""An explorer's server on this machine, for a test."""

import contextlib
import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import uvicorn

from sgatlin.explore.explorer import Explorer
from sgatlin.explore.serve import listening, own_names
from sgatlin.explore.server import TOKEN_HEADER, Access, make_app

TOKEN = "secret"


class Answered(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Served(NamedTuple):
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/?token={TOKEN}"

    def ask(
        self,
        path: str,
        body: Any = None,
        *,
        method: str = "POST",
        headers: dict[str, str] | None = None,
    ) -> Answered:
        """As the page asks; `body` is sent as JSON, or as it is if it is bytes."""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        usual = {"Content-Type": "application/json", TOKEN_HEADER: TOKEN}
        with contextlib.closing(connection):
            connection.request(method, path, sent, {**usual, **(headers or {})})
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return Answered(response.status, response.read(), named)


@contextlib.contextmanager
def serving(explorer: Explorer) -> Iterator[Served]:
    with listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        app = make_app(explorer, Access(TOKEN, own_names("127.0.0.1", port)))
        config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Served(port)
        finally:
            server.should_exit = True
            thread.join()
