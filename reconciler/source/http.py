"""Git's smart HTTP, by dulwich over urllib3, kept to one host and to the limits of an exchange.

What a host may make us do is what the protocol has: one GET for the refs, and POSTs to it. Redirects to another host, other
addresses (`packfile-uris`, alternates), the dumb protocol, whose loose objects have no bound, and answers that are packed
again are refused. Unread answers are closed, never drained.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import urllib3
from dulwich.client import LsRemoteResult, Urllib3HttpGitClient
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NameResolutionError, NewConnectionError

from reconciler.errors import GitBusy, GitDenied, GitUnreachable
from reconciler.source.exchange import Exchange

CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 5.0, 30.0
MOST_ADDRESSES = 4
MOST_REDIRECTS = 5
LONGEST_BUSY_S = 3600.0

Keep = Callable[[socket.socket], None]


class HttpClient(Urllib3HttpGitClient):
    """Looks refs up once for all that is asked over it: a fetch that follows a look-up is one request more, on its
    connection."""

    def __init__(self, base: str, pool: HostPool, **login: str) -> None:
        super().__init__(base, pool_manager=pool, **login)  # type: ignore[arg-type]  # a username and a password
        self._found: Any = None

    def get_refs(self, *options: Any, **named: Any) -> LsRemoteResult:
        self._found = None
        return super().get_refs(*options, **named)

    # The base class declares its options one by one; all of them are handed on.
    def _discover_references(self, service: bytes, base_url: str, *options: Any, **named: Any) -> Any:
        if service != b"git-upload-pack":
            return super()._discover_references(service, base_url, *options, **named)
        if self._found is None:
            self._found = super()._discover_references(service, base_url, *options, **named)
        refs, *rest = self._found
        return dict(refs), *rest  # the caller adds to its refs


class HostPool(urllib3.PoolManager):
    """Connections to one host, each of which the exchange can cut."""

    def __init__(self, exchange: Exchange, context: ssl.SSLContext, headers: dict[str, str]) -> None:
        super().__init__(
            ssl_context=context,
            headers=headers,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S),
        )
        self._exchange = exchange
        self._handles: list[socket.socket] = []
        exchange.cut_by(self._cut)

    def clear(self) -> None:
        super().clear()
        while self._handles:
            self._handles.pop().close()

    def _new_pool(self, scheme: str, *options: Any, **named: Any) -> Any:
        made = super()._new_pool(scheme, *options, **named)
        kind = _Https if scheme == "https" else _Http
        made.ConnectionCls = functools.partial(kind, keep=self._keep)  # type: ignore[assignment]  # as a class
        return made

    def _keep(self, made: socket.socket) -> None:
        """Keep a handle on a socket, by which another thread ends it whoever reads it then: a TLS handshake, or an answer
        whose connection was given up already."""
        self._handles.append(made.dup())
        if self._exchange.is_over:  # since before there was a handle to cut it by
            made.close()
            self._exchange.require_time()

    def _cut(self) -> None:
        for handle in tuple(self._handles):
            with contextlib.suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)

    def urlopen(self, method: str, url: str, redirect: bool = True, **options: Any) -> Any:  # type: ignore[override]
        origin = urlsplit(url)
        service = parse_qs(origin.query).get("service", [""])[0]
        if method == "GET" and not service:
            raise GitDenied(f"{self._exchange.url}: the Git host asks for a request that is not Git's", subject=url)
        for _ in range(MOST_REDIRECTS):
            self._exchange.require_time()
            # Asked for as it is; an answer that is gzipped all the same would grow in memory.
            response = super().urlopen(method, url, redirect=False, decode_content=False, **options)
            target = response.get_redirect_location() if redirect else None
            if not target:
                return self._answer(response, url, service)
            response.close()
            target = urljoin(url, target)
            if urlsplit(target)[:2] != origin[:2]:
                host = urlsplit(target).netloc
                raise GitDenied(
                    f"{self._exchange.url}: redirects to another host ({host}), which is not followed", subject=url
                )
            url = target
        raise GitUnreachable(f"{self._exchange.url}: redirects in circles", subject=url)

    def _answer(self, response: Any, url: str, service: str) -> Any:
        """The answer, when it may be read on."""
        if self._exchange.is_over:
            response.close()  # of a cut in its head, which is then taken for the whole of it
            self._exchange.require_time()
        if response.status in (429, 503):
            response.close()
            raise _busy(url, response.status, response.headers.get("Retry-After", ""))
        if response.status != 200:
            response.close()  # dulwich tells what it means, and reads nothing of it
            return response
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
        if service and kind != f"application/x-{service}-advertisement":
            response.close()
            raise GitUnreachable(
                f"{self._exchange.url}: the host does not speak Git's smart HTTP (it answered {kind[:80] or 'nothing'!r})",
                subject=self._exchange.url,
            )
        return _Answer(response, self._exchange)


class _Answer:
    """A response of which each read is counted. Once all of it was read, its connection is used again."""

    def __init__(self, response: Any, exchange: Exchange) -> None:
        self._response, self._exchange = response, exchange

    def __getattr__(self, name: str) -> Any:
        return getattr(self._response, name)

    def read(self, size: int | None = None) -> bytes:
        data = bytes(self._response.read(size))
        self._exchange.count(len(data))
        return data

    def close(self) -> None:
        # dulwich stops at the last packet, one step before the end of the answer that would free the connection.
        with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
            self._response.read(1)
        self._response.close()


class _Http(HTTPConnection):
    def __init__(self, *options: Any, keep: Keep, **named: Any) -> None:
        super().__init__(*options, **named)
        self._keep = keep

    def _new_conn(self) -> socket.socket:
        made = _connected(self)
        self._keep(made)
        return made


class _Https(_Http, HTTPSConnection):
    pass


def _connected(connection: HTTPConnection) -> socket.socket:
    """A socket to one of the host's first addresses: each that is silent costs a time-out, and a name can have hundreds."""
    try:
        found = socket.getaddrinfo(connection.host, connection.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise NameResolutionError(connection.host, connection, error) from error
    problem = OSError("no address")
    for family, kind, protocol, _, address in found[:MOST_ADDRESSES]:
        made = socket.socket(family, kind, protocol)
        try:
            for option in connection.socket_options or ():
                made.setsockopt(*option)
            made.settimeout(CONNECT_TIMEOUT_S)
            made.connect(address)
        except OSError as error:
            made.close()
            problem = error
        else:
            return made
    raise NewConnectionError(connection, f"Failed to establish a new connection: {problem}") from problem


def _busy(url: str, status: int, after: str) -> GitBusy:
    """Retry-After in seconds; a date there, or nothing, counts as a minute."""
    wait_s = min(max(float(after), 1.0), LONGEST_BUSY_S) if after.isdecimal() else 60.0
    host = urlsplit(url).netloc
    return GitBusy(
        f"{host}: the Git host asks us to come back in {wait_s:.0f} s ({status})", subject=host, retry=wait_s
    )
