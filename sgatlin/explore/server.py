# SPDX-License-Identifier: Apache-2.0
"""The explorer's server: a page, its script and style, and an API that knows one secret.

Who asks needs the token that is in the address, and must ask from the page itself: another page of
the same browser cannot (its origin is another), nor one whose name was made to resolve to this
machine (the host is another). What is wrong with a request is told by 4xx and a line of JSON.
"""

import dataclasses
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
import pydantic
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sgatlin.errors import UserError
from sgatlin.explore import requests as ask
from sgatlin.explore.explorer import Answer, Explorer
from sgatlin.explore.page import static

MOST_BYTES = 1 << 16
"""Of a request."""
MOST_WAITING = 32
"""Requests; the next ones are told to come again."""
TOKEN_HEADER = "X-Explorer-Token"

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_ASSETS = {"explorer.js": "text/javascript", "explorer.css": "text/css"}


class Refused(Exception):
    """A request that is not answered, with the status and the line that say why."""

    def __init__(self, status: int, line: str):
        super().__init__(line)
        self.status = status


@dataclasses.dataclass(frozen=True)
class Access:
    """Who may ask."""

    token: str
    hosts: frozenset[str] | None
    """As requests name them, with the port; None lets any name pass, where others are to reach
    this machine by names that it does not know."""

    def check_host(self, request: Request) -> None:
        """Raises Refused for a name that is not this server's."""
        if self.hosts is not None and request.headers.get("host", "").lower() not in self.hosts:
            raise Refused(403, "this server answers at its own address only")

    def check(self, request: Request) -> None:
        """Raises Refused unless the page itself asks, with the token."""
        self.check_host(request)
        origin = request.headers.get("origin")
        if origin is not None and origin != f"{request.url.scheme}://{request.headers.get('host')}":
            raise Refused(403, "another page cannot ask this server")
        self.check_token(request.headers.get(TOKEN_HEADER, ""))

    def check_token(self, token: str) -> None:
        if not secrets.compare_digest(token.encode(), self.token.encode()):
            raise Refused(403, "the address needs its token: open the one that was printed")


def make_app(explorer: Explorer, access: Access) -> Starlette:
    """The page at /, its assets, and POST /api/NAME."""
    api: dict[str, tuple[type[pydantic.BaseModel], Callable[[Any], Answer]]] = {
        "model": (ask.ModelRequest, explorer.about),
        "text": (ask.TextRequest, explorer.text),
        "gates": (ask.LayerRequest, explorer.gates),
        "near": (ask.NearRequest, explorer.near),
        "map": (ask.MapRequest, explorer.map),
        "place": (ask.LayerRequest, explorer.place),
        "logits": (ask.PositionRequest, explorer.logits),
        "neuron": (ask.NeuronRequest, explorer.neuron),
        "changed": (ask.ChangedRequest, explorer.changed),
    }
    at_work = anyio.Lock()

    async def page(request: Request) -> Response:
        access.check_host(request)
        access.check_token(request.query_params.get("token", ""))
        return Response(static("index.html"), media_type="text/html")

    async def asset(request: Request) -> Response:
        access.check_host(request)
        name = request.path_params["name"]
        if name not in _ASSETS:
            raise Refused(404, "there is no such file")
        return Response(static(name), media_type=_ASSETS[name])

    async def answer(request: Request) -> Response:
        access.check(request)
        known = api.get(request.path_params["name"])
        if known is None:
            raise Refused(404, f"there are {', '.join(api)}")
        kind, method = known
        asked = _parsed(kind, await _body(request))
        if at_work.statistics().tasks_waiting >= MOST_WAITING:
            raise Refused(429, "the server has much to do: ask again")
        async with at_work:
            return JSONResponse(await run_in_threadpool(method, asked))

    routes = [
        Route("/", page),
        Route("/assets/{name}", asset),
        Route("/api/{name}", answer, methods=["POST"]),
    ]
    hide = {str(explorer.index.record.path): "the record", str(explorer.model.name): "the model"}
    return Starlette(
        routes=routes,
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=_with_headers)],
        exception_handlers={
            Refused: _refused,
            UserError: lambda request, error: _told(400, _hidden(str(error), hide)),
            404: lambda request, error: _told(404, "there is nothing here"),
            405: lambda request, error: _told(405, "ask by POST, the page by GET"),
            Exception: lambda request, error: _told(500, "the server failed"),
        },
    )


async def _with_headers(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await call_next(request)
    response.headers.update(_HEADERS)
    return response


async def _body(request: Request) -> bytes:
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise Refused(415, "send JSON, as application/json")
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                raise Refused(413, f"a request has {MOST_BYTES:,} bytes at most")
    except ClientDisconnect:
        raise Refused(400, "the request broke off") from None
    return bytes(body)


def _parsed(kind: type[pydantic.BaseModel], body: bytes) -> pydantic.BaseModel:
    try:
        return kind.model_validate_json(body)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise Refused(400, f"{place or 'request'}: {first['msg']}") from None
    except RecursionError:
        raise Refused(400, "request: nested too deeply") from None


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _told(error.status, str(error))


def _told(status: int, line: str) -> Response:
    return Response(
        json.dumps({"error": " ".join(line.split())}), status, media_type="application/json"
    )


def _hidden(line: str, names: Mapping[str, str]) -> str:
    """A line of an error without the paths of this machine."""
    for path, name in names.items():
        line = line.replace(path, name)
    return line
