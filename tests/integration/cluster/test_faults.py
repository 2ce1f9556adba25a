"""What is made of a server that is slow, lies, hangs up or is no API server at all, and of logins that fail."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from reconciler.clock import ManualClock, SystemClock
from reconciler.cluster import Clusters, OpenGuard, observe, survey
from reconciler.credentials import CredentialMissing, Credentials
from reconciler.errors import AccessDenied, InvalidObject, LeaseLost, TooManyRequests, UndriftError, Unreachable
from reconciler.model.inventory import Inventory, Member
from reconciler.model.live import Resource
from reconciler.model.manifest import GroupKind, ObjectKey
from reconciler.model.spec import ClusterAccess, ClusterTarget, KubeconfigRef
from reconciler.ports import ClusterApi, Guard
from tests.fixtures import web
from tests.worlds import KEY

CONFIGS = Resource("", "v1", "ConfigMap", "configmaps", True)
SECRETS = Resource("", "v1", "Secret", "secrets", True)
Answer = tuple[int, dict[str, str], bytes]
Script = Callable[[str, str], Answer | None]
"""Given the method and path, the answer; None hangs up."""


@contextmanager
def serving(script: Script) -> Iterator[str]:
    """A server that follows a script."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = script(self.command, self.path)
            if answer is None:
                self.close_connection = True
                return
            status, headers, body = answer
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_PATCH = do_POST = do_DELETE = do_PUT = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with web.serving(Handler) as url:
        yield url


def kubeconfig(server: str, user: dict[str, Any] | None = None) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": user or {"token": "t0ken"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }
    )


@contextmanager
def reaching(folder: Path, text: str, guard: Guard | None = None) -> Iterator[ClusterApi]:
    (folder / "kube.yaml").write_text(text)
    clusters = Clusters(Credentials({}, folder), None, SystemClock())
    target = ClusterTarget(name="eu-1", access=ClusterAccess(kubeconfig=KubeconfigRef(file="kube.yaml")))
    try:
        yield clusters.api(target, guard or OpenGuard(), agent="test")
    finally:
        clusters.close()


def said(status: int, body: object, **headers: str) -> Script:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda method, path: (status, {name.replace("_", "-"): text for name, text in headers.items()}, data)


@pytest.mark.parametrize("name", ["..", ".", "a/status", "a%2fstatus", "a\n"])
def test_a_name_never_leads_to_another_resources_url(tmp_path: Path, name: str) -> None:
    """`..` is collapsed before it is sent, and an encoded slash is one to the API server."""
    asked: list[str] = []

    def script(method: str, path: str) -> Any:
        asked.append(path)
        return 200, {}, b"{}"

    with serving(script) as server, reaching(tmp_path, kubeconfig(server)) as api:
        with pytest.raises(InvalidObject, match="nothing was sent"):
            api.get(CONFIGS, "shop", name)
        with pytest.raises(InvalidObject, match="nothing was sent"):
            api.get(CONFIGS, name, "one")

    assert asked == []


def test_plain_text_of_flow_control_is_a_later(tmp_path: Path) -> None:
    script = said(429, b"Too many requests, please try again later.", Retry_After="7")
    with serving(script) as server, reaching(tmp_path, kubeconfig(server)) as api:
        with pytest.raises(TooManyRequests) as refused:
            api.get(CONFIGS, "shop", "one")

    assert refused.value.retry == 7.0


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>log in</html>"),
        (200, b"[]"),
        (302, b""),
        (404, b"404 page not found"),
        (502, b"bad gateway"),
        (200, {"kind": "ConfigMap", "metadata": {"name": "another"}}),
        (200, {"kind": "Status", "status": "Success"}),
    ],
    ids=["a login page", "a list", "a redirect", "404", "502", "another object", "a Status"],
)
def test_what_is_no_api_servers_answer_is_not_taken_for_an_absence(tmp_path: Path, status: int, body: object) -> None:
    with serving(said(status, body)) as server, reaching(tmp_path, kubeconfig(server)) as api:
        with pytest.raises(Unreachable, match="cluster eu-1"):
            api.get(CONFIGS, "shop", "one")


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "ConfigMapList", "metadata": {}, "items": []},
        {"kind": "ConfigMapList", "metadata": {"resourceVersion": "5"}},
        {"kind": "Hello", "metadata": {"resourceVersion": "5"}, "items": []},
        {},
    ],
    ids=["no resourceVersion", "no items", "no list", "nothing"],
)
def test_an_empty_answer_is_no_empty_list(tmp_path: Path, body: object) -> None:
    with serving(said(200, body)) as server, reaching(tmp_path, kubeconfig(server)) as api:
        with pytest.raises(Unreachable):
            api.list(CONFIGS)


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, {"kind": "Status", "reason": "NotFound"}), (200, {"kind": "APIGroupList"}), (200, b"<html>")],
    ids=["404", "no aggregated discovery", "a page"],
)
def test_discovery_that_is_none_is_unreachable_and_names_the_cluster(tmp_path: Path, status: int, body: object) -> None:
    with serving(said(status, body)) as server, reaching(tmp_path, kubeconfig(server)) as api:
        with pytest.raises(Unreachable, match="cluster eu-1"):
            api.discovery()


def discovering(stale: bool) -> Script:
    """An API server with ConfigMaps, whose group example.com is stale or not; lists of all are empty."""
    version = {
        "version": "v1",
        "resources": [{"resource": "configmaps", "scope": "Namespaced", "responseKind": {"kind": "ConfigMap"}}],
    }
    widgets = {"version": "v1", "resources": [{"resource": "widgets", "responseKind": {"kind": "Widget"}}]}
    core = {"kind": "APIGroupDiscoveryList", "items": [{"metadata": {}, "versions": [version]}]}
    group = {"metadata": {"name": "example.com"}, "versions": [widgets | ({"freshness": "Stale"} if stale else {})]}
    answers = {
        "/api": core,
        "/apis": {"kind": "APIGroupDiscoveryList", "items": [group]},
        "/version": {"gitVersion": "v1.37.2"},
    }
    empty = {"kind": "PartialObjectMetadataList", "metadata": {"resourceVersion": "5"}, "items": None}

    def script(method: str, path: str) -> Answer:
        return 200, {}, json.dumps(answers.get(path, empty)).encode()

    return script


def test_a_stale_group_is_unseen_and_an_empty_list_is_seen(tmp_path: Path) -> None:
    kinds = {GroupKind("", "ConfigMap"): {"shop"}, GroupKind("example.com", "Widget"): {"shop"}}
    with serving(discovering(True)) as server, reaching(tmp_path, kubeconfig(server)) as api:
        found = survey(api, kinds, SystemClock())

    assert found.unseen == {GroupKind("example.com", "Widget")}
    assert found.live == {}


def test_a_kind_that_discovery_lacks_is_unseen(tmp_path: Path) -> None:
    key = ObjectKey("example.com", "Gadget", "shop", "one")
    inventory = Inventory("one", {key: Member(datetime(2026, 1, 1, tzinfo=UTC))})
    with serving(discovering(False)) as server, reaching(tmp_path, kubeconfig(server)) as api:
        found = observe(api, inventory, KEY, ManualClock())

    assert found.unseen == {key.group_kind}


@pytest.mark.parametrize(
    ("allowed", "unseen"),
    [({"shop", "web"}, False), ({"shop"}, True), (set(), True)],
    ids=["both namespaces", "one of two", "none"],
)
def test_a_refused_list_is_asked_namespace_by_namespace(tmp_path: Path, allowed: set[str], unseen: bool) -> None:
    """What may not be listed in one of them is unseen as a whole: nothing follows from its absence."""
    denied = {"kind": "Status", "reason": "Forbidden", "code": 403, "message": "User u cannot list resource"}
    known = discovering(False)

    def script(method: str, path: str) -> Answer | None:
        namespace = path.split("/")[4] if path.startswith("/api/v1/namespaces/") else None
        if path.startswith("/api/v1/") and namespace not in allowed:
            return 403, {}, json.dumps(denied).encode()
        return known(method, path)

    kind = GroupKind("", "ConfigMap")
    with serving(script) as server, reaching(tmp_path, kubeconfig(server)) as api:
        found = survey(api, {kind: {"shop", "web"}}, SystemClock())

    assert (kind in found.unseen) == unseen


@pytest.mark.parametrize(
    ("namespaces", "listed"),
    [({"shop"}, "/api/v1/namespaces/shop/configmaps"), ({"shop", "web"}, "/api/v1/configmaps")],
    ids=["one namespace", "two"],
)
def test_what_an_instance_has_in_one_namespace_is_listed_there(
    tmp_path: Path, namespaces: set[str], listed: str
) -> None:
    known, asked = discovering(False), list[str]()

    def script(method: str, path: str) -> Answer | None:
        asked.append(path.partition("?")[0])
        return known(method, path)

    since = Member(datetime(2026, 1, 1, tzinfo=UTC))
    inventory = Inventory("one", {ObjectKey("", "ConfigMap", name, "config"): since for name in namespaces})
    with serving(script) as server, reaching(tmp_path, kubeconfig(server)) as api:
        found = observe(api, inventory, KEY, ManualClock())

    assert found.unseen == frozenset()
    assert [path for path in asked if path.endswith("configmaps")] == [listed]


def test_an_expired_list_begins_again_once(tmp_path: Path) -> None:
    page = {"kind": "PartialObjectMetadataList", "metadata": {"resourceVersion": "5"}, "items": []}
    first = {**page, "metadata": {"resourceVersion": "4", "continue": "more"}}
    gone = {"kind": "Status", "status": "Failure", "reason": "Expired", "code": 410, "message": "too old"}
    lists = iter([(200, first), (410, gone), (200, page)])
    known = discovering(False)

    def script(method: str, path: str) -> Answer | None:
        if not path.startswith("/api/v1/"):
            return known(method, path)
        status, body = next(lists)
        return status, {}, json.dumps(body).encode()

    with serving(script) as server, reaching(tmp_path, kubeconfig(server)) as api:
        found = survey(api, {GroupKind("", "ConfigMap"): {"shop"}}, SystemClock())

    assert found.unseen == frozenset()
    assert next(lists, None) is None


@pytest.mark.parametrize(
    ("act", "sent"),
    [
        (lambda api, body: api.get(CONFIGS, "shop", "one"), 2),
        (lambda api, body: api.apply(CONFIGS, body, manager="m", force=False), 2),
        (lambda api, body: api.create(CONFIGS, body), 1),
        (lambda api, body: api.replace(CONFIGS, body), 1),
        (lambda api, body: api.delete(CONFIGS, "shop", "one", uid="x"), 1),
    ],
    ids=["get", "apply", "create", "replace", "delete"],
)
def test_only_what_may_be_repeated_is_tried_again_when_the_server_hangs_up(
    tmp_path: Path, act: Callable[[ClusterApi, Any], object], sent: int
) -> None:
    seen: list[str] = []

    def script(method: str, path: str) -> None:
        seen.append(method)

    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": "shop"}}
    with serving(script) as server, reaching(tmp_path, kubeconfig(server)) as api:
        with pytest.raises(Unreachable):
            act(api, body)

    assert len(seen) == sent == api.requests


class ShortLease:
    fence = 1

    def __init__(self, *left_s: float) -> None:
        self._left = iter(left_s)

    def remaining_s(self) -> float:
        return next(self._left)

    def require_unfrozen(self) -> None:
        return None


def test_no_request_outlasts_the_lease(tmp_path: Path) -> None:
    waits = threading.Event()

    def script(method: str, path: str) -> None:
        waits.wait(10)

    begun = SystemClock().boot_s()
    with serving(script) as server, reaching(tmp_path, kubeconfig(server), ShortLease(0.3)) as api:
        with pytest.raises(Unreachable, match="did not answer in time"):
            api.get(CONFIGS, "shop", "one")
        waits.set()

    assert SystemClock().boot_s() - begun < 5


def test_no_request_is_sent_once_the_lease_is_over(tmp_path: Path) -> None:
    with serving(said(200, {})) as server, reaching(tmp_path, kubeconfig(server), ShortLease(0.0)) as api:
        with pytest.raises(LeaseLost):
            api.get(CONFIGS, "shop", "one")

        assert api.requests == 0


@pytest.mark.parametrize(
    "message",
    [
        'Secret "s" is invalid: data[pin]: Invalid value: "hunter2secret": no',
        "failed to create typed patch object (s; /v1, Kind=Secret): .data.pin: expected string, got &{hunter2secret}",
        "admission webhook denied the request: found aHVudGVyMnNlY3JldA== in it, which is hunter2secret",
        'data.pin: Invalid value: "line\\nhunter2secret',
    ],
)
def test_a_secrets_value_never_comes_back_in_a_message(tmp_path: Path, message: str) -> None:
    status = {"kind": "Status", "status": "Failure", "reason": "Invalid", "code": 422, "message": message}
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "shop"},
        "data": {"pin": "aHVudGVyMnNlY3JldA=="},
    }
    with serving(said(422, status)) as server, reaching(tmp_path, kubeconfig(server)) as api:
        with pytest.raises(UndriftError) as refused:
            api.apply(SECRETS, body, manager="m", force=False)

    assert "hunter2" not in refused.value.message
    assert "aHVudGVy" not in str(refused.value)


def test_a_message_that_repeats_the_whole_object_is_cut(tmp_path: Path) -> None:
    status = {"kind": "Status", "status": "Failure", "reason": "Invalid", "code": 422, "message": "no: " + "x" * 9000}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": "shop"}}
    with serving(said(422, status)) as server, reaching(tmp_path, kubeconfig(server)) as api:
        with pytest.raises(InvalidObject) as refused:
            api.apply(CONFIGS, body, manager="m", force=False)

    assert len(refused.value.message) < 1000


@pytest.mark.parametrize(
    ("status", "reason", "message", "expected"),
    [
        (
            403,
            "Forbidden",
            'configmaps "one" is forbidden: exceeded quota: few, requested: 1, used: 3',
            "QuotaExceeded",
        ),
        (403, "Forbidden", 'pods "p" is forbidden: failed quota: q: must specify limits.cpu', "QuotaExceeded"),
        (403, "Forbidden", "User u cannot patch resource", "AccessDenied"),
        (403, "Forbidden", "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no", "AdmissionDenied"),
        (400, "BadRequest", 'admission webhook "w" denied the request: no', "AdmissionDenied"),
        (500, "InternalError", 'failed calling webhook "w": connection refused', "AdmissionDenied"),
        (403, "Forbidden", "create not allowed while custom resource definition is terminating", "UnknownKind"),
        (409, "Conflict", "the object has been modified", "PreconditionFailed"),
        (409, "AlreadyExists", "exists", "PreconditionFailed"),
        (422, "Invalid", "spec.clusterIP: Invalid value: x: may not change once set", "ImmutableField"),
        (
            422,
            "Invalid",
            "updates to statefulset spec for fields other than 'replicas' are forbidden",
            "ImmutableField",
        ),
        (422, "Invalid", "metadata.name: Invalid value", "InvalidObject"),
        (500, "", "failed to create typed patch object: .x: field not declared in schema", "InvalidObject"),
        (500, "", "etcdserver: request is too large", "InvalidObject"),
        (500, "", "etcdserver: leader changed", "Unreachable"),
        (503, "ServiceUnavailable", "not ready", "TooManyRequests"),
        (504, "Timeout", "request did not complete in time", "Unreachable"),
    ],
)
def test_a_refusal_is_told_apart_by_the_servers_words(
    tmp_path: Path, status: int, reason: str, message: str, expected: str
) -> None:
    answer = {"kind": "Status", "status": "Failure", "reason": reason, "code": status, "message": message}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": "shop"}}
    with serving(said(status, answer)) as server, reaching(tmp_path, kubeconfig(server)) as api:
        with pytest.raises(UndriftError) as refused:
            api.apply(CONFIGS, body, manager="m", force=False)

    assert refused.value.reason == expected
    assert message in refused.value.message


def test_credentials_that_are_refused_are_named(tmp_path: Path) -> None:
    status = {"kind": "Status", "status": "Failure", "reason": "Unauthorized", "code": 401, "message": "Unauthorized"}
    with serving(said(401, status)) as server, reaching(tmp_path, kubeconfig(server)) as api:
        with pytest.raises(AccessDenied, match="renew its kubeconfig"):
            api.get(CONFIGS, "shop", "one")


def test_the_object_that_was_asked_for_is_returned(tmp_path: Path) -> None:
    with serving(said(200, {"kind": "ConfigMap", "metadata": {"name": "one"}})) as server:
        with reaching(tmp_path, kubeconfig(server)) as api:
            assert api.get(CONFIGS, "shop", "one") == {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "one"},
            }


@pytest.mark.parametrize(
    "text",
    ["", "{}", "token: s3cret: [", "- s3cret", kubeconfig("http://127.0.0.1:1").replace('"c"', '"d"', 1)],
    ids=["empty", "no kubeconfig", "no YAML", "a list", "no such context"],
)
def test_a_kubeconfig_that_is_none_is_named_without_its_content(tmp_path: Path, text: str) -> None:
    with pytest.raises(Unreachable, match="cluster eu-1: its kubeconfig") as refused, reaching(tmp_path, text):
        pass

    assert "s3cret" not in refused.value.message


def test_a_token_program_that_fails_is_named(tmp_path: Path) -> None:
    program = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/false", "interactiveMode": "Never"}
    with pytest.raises(UndriftError), reaching(tmp_path, kubeconfig("http://127.0.0.1:1", {"exec": program})) as api:
        api.get(CONFIGS, "shop", "one")


def test_a_missing_kubeconfig_names_the_cluster(tmp_path: Path) -> None:
    clusters = Clusters(Credentials({}, tmp_path), None, SystemClock())
    target = ClusterTarget(name="eu-1", access=ClusterAccess(kubeconfig=KubeconfigRef(file="none.yaml")))

    with pytest.raises(CredentialMissing, match="eu-1"):
        clusters.api(target, OpenGuard(), agent="test")


def test_a_changed_kubeconfig_makes_a_new_connection_and_the_same_one_keeps_it(tmp_path: Path) -> None:
    seen: list[str] = []

    def script(method: str, path: str) -> Answer:
        seen.append(path)
        return 200, {}, json.dumps({"kind": "ConfigMap", "metadata": {"name": "one"}}).encode()

    clusters = Clusters(Credentials({}, tmp_path), None, SystemClock())
    target = ClusterTarget(name="eu-1", access=ClusterAccess(kubeconfig=KubeconfigRef(file="kube.yaml")))
    with serving(script) as server:
        (tmp_path / "kube.yaml").write_text(kubeconfig("http://127.0.0.1:1"))
        with pytest.raises(Unreachable, match="refuses connections"):
            clusters.api(target, OpenGuard(), agent="test").get(CONFIGS, "shop", "one")
        (tmp_path / "kube.yaml").write_text(kubeconfig(server))
        clusters.api(target, OpenGuard(), agent="test").get(CONFIGS, "shop", "one")
    clusters.close()

    assert seen == ["/api/v1/namespaces/shop/configmaps/one"]


@pytest.mark.cluster
def test_client_keys_do_not_stay_on_disk(bare_cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()

    with reaching(tmp_path, bare_cluster.kubeconfig.read_text()) as api:
        assert api.discovery().server_version.startswith("v1.")

    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_date_without_a_zone_is_taken_as_http_has_it(tmp_path: Path) -> None:
    """A gateway's `-0000` gave a time without a zone, by which `undrift doctor` ended with a traceback."""
    script = said(429, b"later", Date="Sat, 28 Nov 2026 10:00:00 -0000")
    with serving(script) as server, reaching(tmp_path, kubeconfig(server)) as api:
        with pytest.raises(TooManyRequests):
            api.get(CONFIGS, "shop", "one")
        at = api.server_time()

    assert at is not None
    assert at.tzinfo is not None
