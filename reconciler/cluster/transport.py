"""The requests to one cluster: each asks the guard first, and gets no more time than the lease has left.

So no request begun in time can be finished by us long after. Nothing is retried but a read or an apply that found its
keep-alive connection closed by the server: those may be repeated, while a create or replace that did arrive would then look
like somebody else's. What an answer means is for the client to say; that there was none is said here.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import orjson
import urllib3
from urllib3.exceptions import (
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    SSLError,
    TimeoutError,
)

from reconciler.cluster import answers
from reconciler.errors import Frozen, LeaseLost, NoAnswer, Unreachable
from reconciler.ports import Guard

if TYPE_CHECKING:
    from reconciler.cluster.connect import Connection

READ_TIMEOUT_S = 15.0
WRITE_TIMEOUT_S = 34.0  # the API server itself gives a PATCH 34 s
CONNECT_TIMEOUT_S = 5.0
CHUNK = 1 << 18
APPLY_PATCH = "application/apply-patch+yaml"


class Transport:
    """One cluster's requests under one guard and one User-Agent. Safe to use from several threads.

    `codes` counts the requests by the status of their answer; `none` for those that were not answered.
    """

    def __init__(self, name: str, connection: Connection, guard: Guard, *, agent: str, is_read_only: bool) -> None:
        self.name, self.is_read_only = name, is_read_only
        self.codes = Counter[str]()
        self._connection, self._guard, self._agent = connection, guard, agent
        self._lock = threading.Lock()

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        *,
        content: str = "application/json",
        accept: str = "application/json",
        known: str = "",
    ) -> answers.Answer:
        url = self._connection.server + path + (f"?{urlencode(query)}" if query else "")
        payload = orjson.dumps(body) if body is not None else None
        headers = {"Accept": accept, "User-Agent": self._agent}
        if known:
            headers["If-None-Match"] = known
        if payload is not None:
            headers["Content-Type"] = content
        if authorization := self._authorization():
            headers["Authorization"] = authorization
        # The server may close a kept-alive connection as we send; a fresh one tells whether it is there at all.
        tries = 2 if method == "GET" or content == APPLY_PATCH else 1
        if method != "GET" and "dryRun" not in (query or ()):
            self._require_writable()
        try:
            return self._tried(method, url, payload, headers, tries=tries)
        except HTTPError as error:
            raise self._unreachable(error) from error

    def lines(self, path: str, query: Mapping[str, str], accept: str, within_s: float, what: str) -> Iterator[bytes]:
        """The lines of an answer that goes on for as long as it is followed."""
        url = f"{self._connection.server}{path}?{urlencode(query)}"
        headers = {"Accept": accept, "User-Agent": self._agent}
        if authorization := self._authorization():
            headers["Authorization"] = authorization
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=within_s)
        try:
            response = self._connection.pool.request(
                "GET",
                url,
                headers=headers,
                timeout=timeout,
                redirect=False,
                preload_content=False,
                pool_timeout=within_s,
            )
            try:
                if response.status != 200:
                    answer = answers.Answer(response.status, response.headers, response.read())
                    raise answers.error_of(answer, cluster=self.name, subject=what)
                left = b""
                for chunk in response.stream(CHUNK):
                    *lines, left = (left + chunk).split(b"\n")
                    yield from (line for line in lines if line)
            finally:
                response.close()
                response.release_conn()
        except HTTPError as error:
            raise self._unreachable(error) from error

    def _require_writable(self) -> None:
        if self.is_read_only:
            raise Frozen(
                f"cluster {self.name} is in mode Observe: nothing is written to it", kind="Observed", until=None
            )
        self._guard.require_unfrozen()

    def _tried(
        self, method: str, url: str, payload: bytes | None, headers: Mapping[str, str], *, tries: int
    ) -> answers.Answer:
        try:
            return self._once(method, url, payload, headers)
        except ProtocolError:
            if tries <= 1:
                raise
        return self._tried(method, url, payload, headers, tries=tries - 1)

    def _authorization(self) -> str | None:
        try:
            with self._connection.lock:
                return self._connection.authorization()
        except Exception as error:  # a token program's failures share no base; each means that nobody may be asked
            raise Unreachable(
                f"cluster {self.name}: its kubeconfig gives no login now: {type(error).__name__}; run its token "
                "command by hand to see why",
                subject=self.name,
            ) from error

    def _once(self, method: str, url: str, payload: bytes | None, headers: Mapping[str, str]) -> answers.Answer:
        left_s = self._guard.remaining_s()
        if left_s <= 0:
            raise LeaseLost(f"cluster {self.name}: the lease ended before {method} {url.partition('?')[0]}")
        limit_s = min(READ_TIMEOUT_S if method == "GET" else WRITE_TIMEOUT_S, left_s)
        timeout = urllib3.Timeout(total=limit_s, connect=min(CONNECT_TIMEOUT_S, limit_s))
        ends_at, status = time.monotonic() + limit_s, "none"
        try:
            response = self._connection.pool.request(
                method,
                url,
                body=payload,
                headers=headers,
                timeout=timeout,
                redirect=False,
                preload_content=False,
                pool_timeout=limit_s,
            )
            data = self._received(response, ends_at)
            status = str(response.status)
        finally:
            with self._lock:
                self.codes[status] += 1
        if date := response.headers.get("Date"):
            with contextlib.suppress(ValueError):  # not an API server's; what it answered is judged elsewhere
                at = parsedate_to_datetime(date)
                # HTTP knows no other zone than GMT; `-0000`, as some gateways write it, gives a time without one.
                self._connection.note_server_time(at if at.tzinfo else at.replace(tzinfo=UTC))
        return answers.Answer(response.status, response.headers, data)

    def _received(self, response: urllib3.BaseHTTPResponse, ends_at: float) -> bytes:
        """The whole answer. urllib3 bounds each read, not their sum: an answer that drips is given up here."""
        chunks = []
        try:
            for chunk in response.stream(CHUNK):
                chunks.append(chunk)
                if time.monotonic() > ends_at:
                    raise NoAnswer(
                        f"cluster {self.name}: its answer did not end in time; nothing is concluded from it",
                        subject=self.name,
                    )
        except BaseException:
            response.close()
            response.release_conn()  # closed, it still holds its place in the pool
            raise
        response.release_conn()
        return b"".join(chunks)

    def _unreachable(self, error: HTTPError) -> NoAnswer:
        if isinstance(error, SSLError):
            what = f"TLS: its certificate is not accepted, or ours is not: {error}"
        elif isinstance(error, NameResolutionError):
            what = "its name can't be resolved"
        elif isinstance(error, ProxyError):
            what = "the proxy in its kubeconfig does not lead to it"
        elif isinstance(error, NewConnectionError):
            what = "it refuses connections"
        elif isinstance(error, TimeoutError):
            what = "it did not answer in time"
        else:
            what = f"{type(error).__name__}: {error}"
        where = self._connection.server
        return NoAnswer(
            f"cluster {self.name} ({where}) is unreachable: {what}; what runs there stays as it is", subject=self.name
        )
