"""A Git host for benchmarks: `git http-backend`, as hosts run it, so that no server written in Python is measured.

Undrift itself needs no git program; a machine without one measures against the test server, whose own cost grows with the
repository, and the results say so.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import PIPE
from typing import Any

from reconciler.testing.git import GitServer

WITHIN_S = 300.0
CHUNK = 1 << 16


def open_host(root: Path) -> GitHost | GitServer:
    """Serves the repositories below a folder, over HTTP, for as long as the block lasts."""
    return GitHost(root) if shutil.which("git") else GitServer(root)


def pack(repository: Path) -> None:
    """Pack what was committed, as hosts do now and then."""
    if shutil.which("git"):
        subprocess.run(["git", "-C", str(repository), "repack", "-adq"], check=True, timeout=WITHIN_S)


class GitHost:
    """`url(name)` is where a repository is."""

    def __init__(self, root: Path) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"root": root}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> GitHost:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{name}"


class _Handler(BaseHTTPRequestHandler):
    """CGI, as RFC 3875 has it, to the program."""

    protocol_version = "HTTP/1.1"
    root: Path

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        env: dict[str, Any] = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        if encoding := self.headers.get("Content-Encoding"):
            env["HTTP_CONTENT_ENCODING"] = encoding
        with subprocess.Popen(["git", "http-backend"], stdin=PIPE, stdout=PIPE, env=env) as child:
            assert child.stdin is not None
            out: Any = child.stdout
            child.stdin.write(body)
            child.stdin.close()
            headers = [line.decode().strip().partition(": ")[::2] for line in iter(out.readline, b"\r\n")]
            self._begin(headers)
            for some in iter(lambda: out.read1(CHUNK), b""):  # a large pack comes as it is made
                self.wfile.write(b"%x\r\n%b\r\n" % (len(some), some))
            self.wfile.write(b"0\r\n\r\n")

    def _begin(self, headers: list[tuple[str, str]]) -> None:
        status = next((text for name, text in headers if name == "Status"), "200 OK")
        self.send_response(int(status.split()[0]))
        for name, text in headers:
            if name not in ("Status", "Content-Length"):
                self.send_header(name, text)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    do_POST = do_GET

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # a client that has what it asked for may close at once
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
