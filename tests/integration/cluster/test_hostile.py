"""A server in an API server's place that sends without end, slowly, compressed, or in odd shapes: bounded, and told."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from reconciler.clock import SystemClock
from reconciler.cluster import Clusters, client, transport
from reconciler.credentials import CredentialMissing, Credentials
from reconciler.errors import InvalidObject, NoAnswer, TooManyRequests, UndriftError, Unreachable
from reconciler.model.spec import ClusterAccess, ClusterTarget, KubeconfigRef
from tests.fixtures import hosts, web
from tests.integration.cluster.test_faults import CONFIGS, OpenGuard, ShortLease, kubeconfig, reaching, said, serving

LIST = {"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "5"}}


@contextmanager
def sending(write: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A server whose answers are written by hand, until the client hangs up."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                write(self)
            except OSError:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with web.serving(Handler) as url:
        yield url


def begin(handler: BaseHTTPRequestHandler, **headers: str) -> None:
    handler.send_response(200)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def endless(handler: BaseHTTPRequestHandler) -> None:
    begin(handler)
    while True:
        handler.wfile.write(b"x" * (1 << 20))


def test_an_answer_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MOST_BYTES", 4 << 20)
    with sending(endless) as server, reaching(tmp_path, kubeconfig(server)) as api:
        with pytest.raises(Unreachable, match="its answer has more than 4 MiB; nothing is concluded") as refused:
            api.get(CONFIGS, "shop", "one")

    assert refused.value.reason == "Unreachable"


def test_an_answer_that_is_compressed_is_not_unpacked(tmp_path: Path) -> None:
    """We never ask for one; 13 MB of gzip were 7 GB of memory."""
    bomb = gzip.compress(b" " * (64 << 20) + b"{}")
    script = said(200, bomb, Content_Encoding="gzip")

    with serving(script) as server, reaching(tmp_path, kubeconfig(server)) as api:
        with pytest.raises(Unreachable, match=r"its answer is encoded as 'gzip', which was not asked for"):
            api.get(CONFIGS, "shop", "one")


def test_an_answer_that_drips_is_given_up_in_time(tmp_path: Path) -> None:
    """Each byte comes within the time of one read; together they would take a day."""
    ended = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        begin(handler, Content_Length="100000")
        while not ended.wait(0.05):
            handler.wfile.write(b"x")

    begun = SystemClock().boot_s()
    with sending(drip) as server, reaching(tmp_path, kubeconfig(server), ShortLease(0.4)) as api:
        with pytest.raises(NoAnswer, match="did not answer in time"):
            api.get(CONFIGS, "shop", "one")
        ended.set()

    assert SystemClock().boot_s() - begun < 5


OK, CHUNKED = b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
DRIPS: Mapping[str, tuple[bytes, bytes]] = {
    "in a header": (OK + b"X: ", b"a"),
    "of headers": (OK, b"X: a\r\n"),
    "of beginnings": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "in a chunk's head": (CHUNKED, b"0"),
    "in a chunk's extension": (CHUNKED + b"1;", b"a"),
    "of trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"X: y\r\n"),
    "in a body that the connection's end ends": (OK + b"\r\n", b" "),
    "in a TLS handshake": (b"\x16\x03\x03\x40\x00", b"\x02"),
}
"""What comes first, and what then comes again and again."""


@contextmanager
def dripping(first: bytes, again: bytes) -> Iterator[str]:
    def answer(request: bytes, send: Callable[[bytes], None]) -> None:
        send(first)
        while True:
            host.pause(0.02)
            send(again)

    is_tls = first.startswith(b"\x16")
    with hosts.Host(answer, is_whole=(lambda request: bool(request)) if is_tls else hosts.is_whole) as host:
        yield f"http{'s' if is_tls else ''}://127.0.0.1:{host.port}"


@pytest.mark.timeout(30)
@pytest.mark.parametrize(("first", "again"), DRIPS.values(), ids=DRIPS)
def test_an_answer_that_drips_anywhere_is_cut_in_time(tmp_path: Path, first: bytes, again: bytes) -> None:
    """The time-outs of a socket are for each read: these held a worker until its task was killed."""
    begun = SystemClock().boot_s()
    with dripping(first, again) as server, reaching(tmp_path, kubeconfig(server), ShortLease(0.4)) as api:
        with pytest.raises(NoAnswer, match="did not answer in time"):
            api.get(CONFIGS, "shop", "one")

        assert SystemClock().boot_s() - begun < 5


@pytest.mark.timeout(30)
def test_a_watch_that_drips_in_its_headers_is_cut_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "WATCH_GRACE_S", 0.4)
    with dripping(*DRIPS["in a header"]) as server, reaching(tmp_path, kubeconfig(server)) as api:
        with pytest.raises(NoAnswer, match="did not answer in time"):
            next(iter(api.watch(CONFIGS, selector="a", version="1", lasts_s=0)))


def test_a_request_that_ended_cuts_no_other_on_its_connection(tmp_path: Path) -> None:
    """Its time runs out while the next one waits for its answer."""
    asked: list[str] = []

    def script(method: str, path: str) -> Any:
        asked.append(path)
        if len(asked) > 1:
            threading.Event().wait(0.6)
        return 200, {}, json.dumps({"kind": "ConfigMap", "metadata": {"name": "one", "namespace": "shop"}}).encode()

    with serving(script) as server, reaching(tmp_path, kubeconfig(server), ShortLease(0.5, 30.0)) as api:
        assert api.get(CONFIGS, "shop", "one") is not None
        assert api.get(CONFIGS, "shop", "one") is not None

    assert len(asked) == 2  # none was sent again


@pytest.mark.parametrize("bound", ["MOST_LISTED_BYTES", "LIST_TIMEOUT_S"])
def test_a_list_whose_pages_never_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    monkeypatch.setattr(client, bound, 10_000 if bound == "MOST_LISTED_BYTES" else 0.2)
    asked: list[str] = []

    def script(method: str, path: str) -> Any:
        asked.append(path)
        page = {**LIST, "metadata": {"resourceVersion": "5", "continue": f"c{len(asked)}"}, "items": []}
        return 200, {}, json.dumps(page).encode()

    with serving(script) as server, reaching(tmp_path, kubeconfig(server)) as api:
        with pytest.raises(Unreachable, match="the list of configmaps did not end within"):
            api.list(CONFIGS)

    assert len(asked) < 2000


def test_a_list_of_large_objects_is_asked_for_in_smaller_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MOST_BYTES", 1 << 20)
    large = {"metadata": {"name": "one"}, "data": {"a": "x" * 10_000}}

    def script(method: str, path: str) -> Any:
        count = 500 if "limit=500" in path else 20
        return 200, {}, json.dumps({**LIST, "items": [large] * count}).encode()

    with serving(script) as server, reaching(tmp_path, kubeconfig(server)) as api:
        found = api.list(CONFIGS)

    assert len(found.items) == 20


def test_a_watch_whose_line_never_ends_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LONGEST_LINE", 1 << 20)
    with sending(endless) as server, reaching(tmp_path, kubeconfig(server)) as api:
        with pytest.raises(Unreachable, match="a line of the watch of configmaps has more than 1 MiB"):
            next(iter(api.watch(CONFIGS, selector="a", version="1", lasts_s=60)))


def test_the_events_of_a_watch_come_whole_and_at_once(tmp_path: Path) -> None:
    """Also when one is sent in parts, and while the answer goes on."""
    event = json.dumps({"type": "ADDED", "object": {"metadata": {"name": "one"}}}).encode()
    ended = threading.Event()

    def write(handler: BaseHTTPRequestHandler) -> None:
        begin(handler)
        for part in (event[:7], event[7:] + b"\n\n" + event, b"\n"):
            handler.wfile.write(part)
            handler.wfile.flush()
        ended.wait(20)

    with sending(write) as server, reaching(tmp_path, kubeconfig(server)) as api:
        events = api.watch(CONFIGS, selector="a", version="1", lasts_s=60)
        found = [next(events)["object"]["metadata"]["name"] for _ in range(2)]
        ended.set()
        events.close()  # type: ignore[attr-defined]

    assert found == ["one", "one"]


ODD: Mapping[str, object] = {
    "items of text": {**LIST, "items": ["a"]},
    "items that are a text": {**LIST, "items": "abc"},
    "metadata that is a text": {**LIST, "metadata": "abc", "items": []},
    "an item without metadata": {**LIST, "items": [{}]},
    "an item whose metadata is a list": {**LIST, "items": [{"metadata": []}]},
    "labels that are a list": {**LIST, "items": [{"metadata": {"name": "a", "labels": ["x"]}}]},
    "annotations of numbers": {**LIST, "items": [{"metadata": {"name": "a", "annotations": {"x": 1}}}]},
    "managedFields of text": {**LIST, "items": [{"metadata": {"name": "a", "managedFields": ["x"]}}]},
}


@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
def test_a_list_of_an_odd_shape_is_no_api_servers(tmp_path: Path, body: object) -> None:
    with serving(said(200, body)) as server, reaching(tmp_path, kubeconfig(server)) as api:
        with pytest.raises(Unreachable, match="cluster eu-1"):
            api.list(CONFIGS)


@pytest.mark.parametrize("body", [{"metadata": "one"}, {"metadata": {"name": "one", "labels": "x"}}, {}])
def test_an_object_of_an_odd_shape_is_no_api_servers(tmp_path: Path, body: object) -> None:
    desired = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": "shop"}}
    with serving(said(200, body)) as server, reaching(tmp_path, kubeconfig(server)) as api:
        with pytest.raises(Unreachable):
            api.get(CONFIGS, "shop", "one")
        with pytest.raises(Unreachable, match="no Kubernetes API server's answer"):
            api.apply(CONFIGS, desired, manager="m", force=False)


@pytest.mark.parametrize("details", ["x", ["x"], {"causes": "abc"}, {"causes": ["a", 1]}, {"causes": {"a": 1}}])
@pytest.mark.parametrize("status", [404, 409, 422])
def test_a_refusal_with_odd_details_is_a_refusal(tmp_path: Path, status: int, details: object) -> None:
    body = {"kind": "Status", "status": "Failure", "code": status, "message": "no", "details": details}
    desired = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": "shop"}}
    with serving(said(status, body)) as server, reaching(tmp_path, kubeconfig(server)) as api:
        with pytest.raises(UndriftError):
            api.apply(CONFIGS, desired, manager="m", force=False)


def test_a_cluster_without_a_uid_is_no_cluster(tmp_path: Path) -> None:
    with serving(said(200, {"metadata": {"name": "kube-system"}})) as server:
        with reaching(tmp_path, kubeconfig(server)) as api, pytest.raises(Unreachable, match="kube-system has no uid"):
            api.identity()


def test_a_time_to_wait_that_is_no_number_is_the_usual_one(tmp_path: Path) -> None:
    with serving(said(429, b"later", Retry_After="\u00b2")) as server, reaching(tmp_path, kubeconfig(server)) as api:
        with pytest.raises(TooManyRequests) as refused:
            api.get(CONFIGS, "shop", "one")

    assert refused.value.retry == 5.0


@pytest.mark.parametrize(
    "event", [{"type": "ADDED"}, {"type": "ERROR"}, {"type": "ADDED", "object": {"metadata": 1}}, {}]
)
def test_an_event_of_an_odd_shape_is_no_api_servers(tmp_path: Path, event: object) -> None:
    with (
        serving(said(200, json.dumps(event).encode() + b"\n")) as server,
        reaching(tmp_path, kubeconfig(server)) as api,
    ):
        with pytest.raises(Unreachable):
            next(iter(api.watch(CONFIGS, selector="a", version="1", lasts_s=60)))


def test_a_message_that_repeats_itself_is_judged_at_once(tmp_path: Path) -> None:
    """Finding the objects in it took the square of its length: 4 s for half a megabyte."""
    message = "Invalid value: {" * 500_000
    body = {"kind": "Status", "status": "Failure", "reason": "Invalid", "code": 422, "message": message}
    desired = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": "shop"}}
    begun = SystemClock().boot_s()
    with serving(said(422, body)) as server, reaching(tmp_path, kubeconfig(server)) as api:
        with pytest.raises(InvalidObject) as refused:
            api.apply(CONFIGS, desired, manager="m", force=False)

    assert SystemClock().boot_s() - begun < 3
    assert len(refused.value.message) < 1000


@pytest.mark.parametrize("items", [["a"], [{"metadata": "a"}], [{"versions": [{"resources": ["a"]}]}], 5])
def test_a_discovery_of_an_odd_shape_is_no_api_servers(tmp_path: Path, items: object) -> None:
    body = {"kind": "APIGroupDiscoveryList", "items": items}
    with serving(said(200, body)) as server, reaching(tmp_path, kubeconfig(server)) as api:
        with pytest.raises(Unreachable, match="cluster eu-1: its discovery has not the form"):
            api.discovery()


@pytest.mark.parametrize("file", ["contexts/prod.yaml", "dev-1/kubeconfig", "../local/contexts/prod.yaml"])
def test_a_file_of_the_fleet_reaches_no_login_of_the_users_own(tmp_path: Path, file: str) -> None:
    """Only `local:`, which no fleet file may say, leads to the folder of `up --context` and of local clusters."""
    local, credentials = tmp_path / "local", tmp_path / "credentials"
    for one in (local / "contexts" / "prod.yaml", local / "dev-1" / "kubeconfig"):
        one.parent.mkdir(parents=True, exist_ok=True)
        one.write_text(kubeconfig("http://127.0.0.1:1"))
    credentials.mkdir()
    clusters = Clusters(Credentials({}, credentials), local, SystemClock())

    def reach(name: str) -> None:
        access = ClusterAccess(kubeconfig=KubeconfigRef(file=name))
        clusters.api(ClusterTarget(name="eu-1", access=access), OpenGuard(), agent="test")

    with pytest.raises(CredentialMissing, match="eu-1"):
        reach(file)
    with pytest.raises(CredentialMissing, match="eu-1"):
        reach(f"local:../{file}")
    reach("local:contexts/prod.yaml")
    clusters.close()
