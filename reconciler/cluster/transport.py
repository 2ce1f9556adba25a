"""The requests to one cluster: each asks the guard first, and gets no more time than the lease has left.

So no request begun in time can be finished by us long after. Nothing is retried but a read or an apply that found its
keep-alive connection closed by the server: those may be repeated, while a create or replace that did arrive would then look
like somebody else's. What an answer means is for the client to say; that there was none is said here.

One worker serves all clusters, so none may fill its memory: an answer is bounded in bytes, and so is a line of one that goes
on; what is compressed, which we never ask for, is refused. urllib3's times are for each read, so what drips is cut
(`cluster.deadline`).
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
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
from reconciler.cluster.deadline import Deadline
from reconciler.errors import Frozen, LeaseLost, NoAnswer, Unreachable
from reconciler.ports import Guard

if TYPE_CHECKING:
    from reconciler.cluster.connect import Connection

READ_TIMEOUT_S = 15.0
WRITE_TIMEOUT_S = 34.0  # the API server itself gives a PATCH 34 s
CONNECT_TIMEOUT_S = 5.0
CHUNK = 1 << 18
MOST_BYTES = 64 << 20
"""Of one answer. An object has 1.5 MiB at most (etcd's limit), some 3 MiB as JSON; a list that has more is asked for in
smaller pages."""
LONGEST_LINE = 8 << 20
"""Of a watch: one event, metadata only."""
APPLY_PATCH = "application/apply-patch+yaml"


class TooMuch(Unreachable):
    """An answer goes beyond its bound; nothing is concluded from it."""

    @property
    def reason(self) -> str:
        return Unreachable.__name__


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
            with self._within(within_s) as deadline:
                response = self._asked(deadline, "GET", url, headers, timeout=timeout, pool_timeout=within_s)
                try:
                    if response.status != 200:
                        data = b"".join(self._chunks(response, deadline, most=MOST_BYTES))
                        answer = answers.Answer(response.status, response.headers, data)
                        raise answers.error_of(answer, cluster=self.name, subject=what)
                    yield from self._split(self._chunks(response, deadline), what)
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
        status = "none"
        try:
            with self._within(limit_s) as deadline:
                response = self._asked(
                    deadline, method, url, headers, body=payload, timeout=timeout, pool_timeout=limit_s
                )
                data = self._received(response, deadline)
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

    @contextlib.contextmanager
    def _within(self, seconds: float) -> Iterator[Deadline]:
        """All of a request has so long. Raises NoAnswer for whatever comes of its being cut."""
        deadline = Deadline(seconds)
        try:
            yield deadline
        except HTTPError as error:
            if deadline.is_over:
                raise self._late() from error
            raise
        finally:
            deadline.end()

    def _asked(
        self, deadline: Deadline, method: str, url: str, headers: Mapping[str, str], **options: Any
    ) -> urllib3.BaseHTTPResponse:
        """The answer as far as its headers, of a request that is made once."""
        with deadline.taking():
            return self._connection.pool.request(
                method, url, headers=headers, redirect=False, preload_content=False, **options
            )

    def _received(self, response: urllib3.BaseHTTPResponse, deadline: Deadline) -> bytes:
        """The whole answer."""
        try:
            data = b"".join(self._chunks(response, deadline, most=MOST_BYTES))
        except BaseException:
            response.close()
            response.release_conn()  # closed, it still holds its place in the pool
            raise
        response.release_conn()
        return data

    def _chunks(
        self, response: urllib3.BaseHTTPResponse, deadline: Deadline, *, most: int | None = None
    ) -> Iterator[bytes]:
        """What comes, as it comes (`read1`)."""
        if (encoding := response.headers.get("Content-Encoding", "identity").lower()) != "identity":
            raise TooMuch(
                f"cluster {self.name}: its answer is encoded as {encoding[:20]!r}, which was not asked for (a proxy in "
                "between?); nothing is concluded from it",
                subject=self.name,
            )
        size = 0
        while chunk := response.read1(CHUNK, decode_content=False):
            size += len(chunk)
            if most is not None and size > most:
                raise self._too_much(f"its answer has more than {most >> 20} MiB")
            if deadline.is_over:
                raise self._late()
            yield chunk
        if deadline.is_over:  # the cut, which looks like the end of an answer without a length
            raise self._late()

    def _split(self, chunks: Iterator[bytes], what: str) -> Iterator[bytes]:
        """The lines that chunks are parts of, without empty ones and what follows the last line's end."""
        pieces, size = [b""], 0
        for chunk in chunks:
            first, *others = chunk.split(b"\n")
            pieces.append(first)
            for other in others:
                if line := b"".join(pieces):
                    yield line
                pieces, size = [other], 0
            size += len(pieces[-1])
            if size > LONGEST_LINE:
                raise self._too_much(f"a line of {what} has more than {LONGEST_LINE >> 20} MiB")

    def _late(self) -> NoAnswer:
        return self._unreachable(TimeoutError())

    def _too_much(self, what: str) -> TooMuch:
        return TooMuch(f"cluster {self.name}: {what}; nothing is concluded from it", subject=self.name)

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
