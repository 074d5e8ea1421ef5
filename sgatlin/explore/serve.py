# SPDX-License-Identifier: Apache-2.0
"""Serving the explorer until it is interrupted."""

import contextlib
import ipaddress
import secrets
import socket
from collections.abc import Iterator

import uvicorn

from sgatlin.errors import UserError
from sgatlin.explore.explorer import Explorer
from sgatlin.explore.server import Access, make_app


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket at an address; UserError where it cannot be had."""
    if not 0 <= port < 1 << 16:
        raise UserError(f"cannot listen at --port {port}: there are 0, for any, to {(1 << 16) - 1}")
    try:
        info = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(info[0], socket.SOCK_STREAM)
    except (OSError, OverflowError) as error:
        raise UserError(f"cannot listen at --host {host} --port {port}: {error}") from None
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(info[4])
            listener.listen()
        except OSError as error:
            raise UserError(
                f"cannot listen at --host {host} --port {port}: {error.strerror}; choose another"
            ) from None
        yield listener


def serve(explorer: Explorer, listener: socket.socket, host: str) -> None:
    """Prints the address, and answers until SIGINT or SIGTERM."""
    port = listener.getsockname()[1]
    token = secrets.token_urlsafe(18)
    app = make_app(explorer, Access(token, own_names(host, port)))
    config = uvicorn.Config(
        app, log_level="error", access_log=False, server_header=False, timeout_graceful_shutdown=2
    )
    print(f"\n  {address(host, port)}/?token={token}\n\nCtrl-C ends it", flush=True)
    with contextlib.suppress(KeyboardInterrupt):  # how it is ended
        uvicorn.Server(config).run(sockets=[listener])


def address(host: str, port: int) -> str:
    """Of the page, for a browser."""
    if host in ("", "0.0.0.0", "::"):
        host = socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def own_names(host: str, port: int) -> frozenset[str] | None:
    """What requests may call this server; None, anything, where others are let in."""
    try:
        is_own = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_own = host == "localhost"
    if not is_own:
        return None
    return frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]", host))
