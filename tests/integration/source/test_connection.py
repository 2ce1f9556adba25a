"""A session over HTTP/1.1, as Git hosts speak it: its requests go over one connection."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from reconciler.model.spec import Ref
from reconciler.source import SourceRoom
from tests.fixtures import hosts
from tests.integration.source.test_bad_hosts import HELD, OBJECTS
from tests.integration.source.test_room import access, read
from tests.integration.source.test_room import room as room

PACK = hosts.pack_of([*OBJECTS, hosts.packed(3, b"one")])


class Handler(BaseHTTPRequestHandler):
    """Answers in chunks, so that the end of an answer is one more read after its last packet."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(hosts.ADVERTISEMENT, hosts.advertised([(b"refs/heads/main", HELD)]))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(hosts.RESULT, hosts.sent_pack(PACK))

    def _answer(self, kind: str, body: bytes) -> None:
        self.server.asked.append((self.command, self.client_address))  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_a_look_up_and_its_fetch_use_one_connection(room: SourceRoom) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        found = access(f"http://127.0.0.1:{server.server_port}/x.git")

        with room.connected(found):
            room.refs(found)
            room.fetch(found, [HELD])

        server.shutdown()
        thread.join()
    assert read(room, found, "a.yaml", ref=Ref(commit=HELD)) == b"one"
    requests, clients = zip(*server.asked, strict=True)  # type: ignore[attr-defined]
    assert requests == ("GET", "POST")
    assert len(set(clients)) == 1
