"""The end of one request to an API server, whatever comes: its connection is cut from another thread.

An API server, or what answers in its place, that sends a byte now and then in a TLS handshake, in headers, between chunks or
after the last, or that says `100 Continue` for ever, keeps the library inside one read. What the library then makes of the
cut is no answer: it may look like the end of one.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

from reconciler import timer

_thread = threading.local()


class Deadline:
    """Cuts the connection that a request holds when its time, which begins now, is over. `end` it with the request."""

    def __init__(self, seconds: float) -> None:
        self.is_over = False
        self._lock = threading.Lock()
        self._connection: _Cuttable | None = None
        self._call: timer.Call | None = timer.call_after(seconds, self._cut)

    @contextlib.contextmanager
    def taking(self) -> Iterator[None]:
        """The connection that this thread takes in the block is the request's."""
        _thread.deadline = self
        try:
            yield
        finally:
            _thread.deadline = None

    def end(self) -> None:
        call, self._call = self._call, None
        self._connection = None  # neither is kept, or each request would be one for the garbage collector
        if call is not None:
            timer.call_off(call)

    def hold(self, connection: _Cuttable) -> None:
        with self._lock:
            self._connection = connection
            is_over = self.is_over
        if is_over:
            connection.cut(self)

    def _cut(self) -> None:
        with self._lock:
            self.is_over = True
            connection = self._connection
        if connection is not None:
            connection.cut(self)


class _Cuttable(HTTPConnection):
    """A connection that knows which request holds it."""

    def __init__(self, *options: Any, **named: Any) -> None:
        super().__init__(*options, **named)
        self._lock = threading.Lock()
        self._holder: Deadline | None = None
        self._cut_by: socket.socket | None = None

    def cut(self, holder: Deadline) -> None:
        """End it for whoever reads it now, unless another request holds it by now."""
        with self._lock, contextlib.suppress(OSError):  # it is closed already
            if self._holder is holder and self._cut_by is not None:
                # Not the TLS socket's own way, which would have the reader take what is encrypted for plain.
                socket.socket.shutdown(self._cut_by, socket.SHUT_RDWR)

    def connect(self) -> None:
        try:
            super().connect()
        finally:
            handle = self._cut_by
            with self._lock:
                # Kept here, too: an answer after which the server closes is read when the connection has let go of it.
                self._cut_by = getattr(self.sock, "socket", self.sock)  # of TLS in TLS, the socket below
            if handle is not None:
                handle.close()

    def _new_conn(self) -> socket.socket:
        made = super()._new_conn()
        with self._lock:
            self._cut_by = made.dup()  # a TLS handshake takes a socket over, and gives it back when it is done
        self._hold()
        return made

    def request(self, *options: Any, **named: Any) -> None:
        self._hold()
        super().request(*options, **named)

    def _hold(self) -> None:
        holder: Deadline | None = getattr(_thread, "deadline", None)
        with self._lock:
            self._holder = holder
        if holder is not None:
            holder.hold(self)


class _CuttableTls(_Cuttable, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Cuttable


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _CuttableTls


def cuttable(manager: PoolManager) -> PoolManager:
    """The same, whose connections deadlines cut."""
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
    return manager
