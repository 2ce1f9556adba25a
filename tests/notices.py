"""Statuses and books for tests of notices, and a receiver of them over real HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from reconciler.model.instance import InstanceKey
from reconciler.model.status import InstanceStatus, RevisionStatus
from reconciler.notify import Current, Topic, Trouble, current
from reconciler.notify.topic import Condition

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
REPO = "https://git.example.com/apps.git"


def status(
    name: str, phase: str = "Idle", reason: str = "Synced", *, revision: str = "a1", **more: Any
) -> InstanceStatus:
    """An instance's status; Synced and Healthy by default."""
    key = InstanceKey.parse(name)
    return InstanceStatus(
        instance=str(key),
        project=key.project,
        application=key.application,
        cluster=key.cluster,
        phase=phase,
        reason=reason,
        revisions=(RevisionStatus(source=REPO, ref="main", revision=revision),),
        **{"sync": "Synced", "health": "Healthy", "message": f"{name}: {reason}", **more},
    )


def seen(
    *statuses: InstanceStatus, clusters: Mapping[str, Trouble] = {}, repositories: Mapping[str, Trouble] = {}
) -> Current:
    """These statuses sorted, all of one repository."""
    found = {InstanceKey.parse(one.instance): one for one in statuses}
    return current(iter(sorted(found.items())), dict.fromkeys(found, REPO), clusters, repositories, (), NOW)


def failed_topic(application: str = "web", revision: str = "a1", reason: str = "TemplateFailed") -> Topic:
    return Topic(Condition.FAILED, reason, "default", application, revision=revision)


@dataclass
class Receiver:
    """What a receiver was sent, and how it answers: with a status code, or in a way of its own."""

    url: str = ""
    answer: int | Callable[[BaseHTTPRequestHandler], None] = 204
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    location: str = ""
    came: threading.Event = field(default_factory=threading.Event)

    @property
    def notices(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]

    def wait_for(self, count: int, within_s: float = 30.0) -> list[dict[str, Any]]:
        """The notices, once so many have come."""
        deadline = time.monotonic() + within_s
        while len(self.got) < count:
            self.came.clear()
            left_s = deadline - time.monotonic()
            assert left_s > 0, f"{len(self.got)} of {count} notices within {within_s:.0f} s"
            self.came.wait(min(left_s, 0.2))
        return self.notices


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on 127.0.0.1 for as long as the block lasts."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.append((dict(self.headers), body))
            receiver.came.set()
            if not isinstance(receiver.answer, int):
                receiver.answer(self)
                return
            self.send_response(receiver.answer)
            if receiver.location:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook/s3cret-path?token=s3cret-query"
    yield receiver
    server.shutdown()
    server.server_close()
    thread.join()
