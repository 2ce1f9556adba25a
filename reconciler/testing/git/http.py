"""Serves repositories over smart HTTP, with logins and with faults to switch on."""

from __future__ import annotations

import base64
import ssl
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIServer

from dulwich.web import WSGIRequestHandlerLogger, make_wsgi_chain

from reconciler.testing.git.folder import Folder

Start = Callable[..., Any]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandlerLogger):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: tests read their own output."""


class GitServer:
    """Serves the repositories below a folder over HTTP on 127.0.0.1, or over HTTPS with a context for `tls`.

    `login` is (user, password), or ("", token) for Bearer. `fault`, while set, is what every request gets: `401`, `403`,
    `404`, `500`, `garbage`, `slow`, or a URL to redirect to. `requests` counts them.
    """

    def __init__(
        self,
        root: Path,
        *,
        port: int = 0,
        login: tuple[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._scheme = "https" if tls else "http"
        self.login, self.fault, self.requests = login, "", 0
        self.last_authorization = ""
        self._folder = Folder(root)
        self._git = make_wsgi_chain(self._folder)
        self._released = threading.Event()
        self._server = _Server(("127.0.0.1", port), _Quiet)
        self._server.set_app(self._answer)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> GitServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        return self._server.server_port

    def url(self, name: str) -> str:
        """The URL of a repository by its path below the folder."""
        return f"{self._scheme}://127.0.0.1:{self.port}/{name}"

    def stop(self) -> None:
        """End the server; requests that are being slow end too."""
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def serve(self) -> None:
        """Serve until interrupted, in this thread."""
        self._server.serve_forever(0.2)

    def _answer(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        self.requests += 1
        self.last_authorization = environ.get("HTTP_AUTHORIZATION", "")
        if self.fault == "slow":
            self._released.wait(60)
        elif self.fault == "garbage":
            start("200 OK", [("Content-Type", "text/html")])
            return [b"<html>please log in</html>"]
        elif self.fault.startswith("http"):
            start("302 Found", [("Location", self.fault + environ["PATH_INFO"])])
            return [b""]
        elif self.fault:
            start(f"{self.fault} Fault", [("Content-Type", "text/plain")])
            return [b"a fault was asked for\n"]
        if not self._is_logged_in():
            start("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="git"')])
            return [b"log in\n"]
        try:
            return list(self._git(environ, start))
        finally:
            self._folder.close()

    def _is_logged_in(self) -> bool:
        if self.login is None:
            return True
        user, secret = self.login
        if not user:
            return self.last_authorization == f"Bearer {secret}"
        basic = base64.b64encode(f"{user}:{secret}".encode()).decode()
        return self.last_authorization == f"Basic {basic}"
