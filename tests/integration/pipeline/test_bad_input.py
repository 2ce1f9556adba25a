"""What a cluster or a repository does wrong: each has a name, one clear line, and deletes nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import yaml

from reconciler.devcluster import Running
from reconciler.errors import InventoryError
from reconciler.model.live import Resource
from reconciler.model.record import Phase, Sync
from reconciler.model.spec import ClusterAccess, ClusterTarget, KubeconfigRef, Ref
from tests.fixtures import web
from tests.integration.pipeline.conftest import CONFIG_MAP, World, config_map

SECRET = Resource("", "v1", "Secret", "secrets", True)
POLICY = Resource(
    "admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", False
)
BINDING = Resource(
    "admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", False
)

CHART = "apiVersion: v2\nname: c\nversion: 1.0.0\n"


def reach(world: World, kubeconfig: dict[str, object], folder: Path) -> None:
    """Reach the world's cluster in another way."""
    (folder / "other.yaml").write_text(yaml.safe_dump(kubeconfig))
    access = ClusterAccess(kubeconfig=KubeconfigRef(file="other.yaml"))
    world.target = ClusterTarget(name=world.target.name, access=access)


def kubeconfig(server: str, token: str, ca: str = "") -> dict[str, object]:
    cluster = {"server": server} | (
        {"certificate-authority-data": base64.b64encode(ca.encode()).decode()} if ca else {}
    )
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"a.yaml": "a: [1"}, "InvalidManifest"),
        ({"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\nkind: Secret\n"}, "InvalidManifest"),
        ({"a.yaml": config_map("one"), "b.yaml": config_map("one")}, "DuplicateObject"),
        ({"a.yaml": "apiVersion: example.com/v1\nkind: Nope\nmetadata: {name: x}\n"}, "UnknownKind"),
        ({"a.yaml": config_map("one") + "colour: red\n"}, "InvalidObject"),
        (
            {"Chart.yaml": "apiVersion: v2\nname: c\nversion: 1.0.0\n", "templates/a.yaml": "a: {{ .Values.x.y.z }}\n"},
            "TemplateFailed",
        ),
        ({"kustomization.yaml": "resources: ['https://example.com/base']\n"}, "RemoteBase"),
        (
            {"a.yaml": config_map("one").replace("name: one", "name: one, annotations: {helm.sh/hook: post-install}")},
            "HooksNotYet",
        ),
    ],
    ids=[
        "broken YAML",
        "doubled key",
        "two of one",
        "unknown kind",
        "unknown field",
        "template",
        "remote base",
        "hook",
    ],
)
def test_a_bad_repository_is_named_and_deletes_nothing(world: World, files: dict[str, str], reason: str) -> None:
    world.write({"good.yaml": config_map("good")})
    world.sync()
    world.write({"good.yaml": None} | files)

    record = world.sync()

    assert (record.phase, record.reason) == (Phase.FAILED, reason), record.message
    assert world.config_map("good") is not None


def test_a_missing_ref_is_named(world: World) -> None:
    world.write({"a.yaml": config_map()})
    world.ref = Ref(branch="nope")

    record = world.sync()

    assert (record.phase, record.reason, record.sync) == (Phase.FAILED, "RefNotFound", Sync.UNKNOWN)


def test_a_missing_path_is_named(world: World) -> None:
    world.repo.commit({"elsewhere/a.yaml": config_map()})

    record = world.sync()

    assert (record.phase, record.reason) == (Phase.FAILED, "PathNotFound")


def test_a_renderer_that_never_ends_is_stopped(world: World) -> None:
    endless = "a: {{ range until 2000000000 }}{{ if eq . -1 }}x{{ end }}{{ end }}\n"
    world.write({"Chart.yaml": CHART, "templates/a.yaml": endless})

    record = world.sync()

    assert (record.phase, record.reason) == (Phase.FAILED, "RenderLimit")


def test_an_admission_refusal_is_told_in_its_own_words(world: World) -> None:
    name = f"no-red-{world.name}"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}
    selector = {"matchLabels": {"kubernetes.io/metadata.name": world.name}}
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [rule], "namespaceSelector": selector},
            "validations": [{"expression": "object.metadata.name != 'red'", "message": "red is not allowed"}],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
    world.api.create(POLICY, policy)
    world.api.create(BINDING, binding)
    world.write({"a.yaml": config_map("red"), "b.yaml": config_map("blue")})

    # The API server takes a moment to compile a new policy; until then nothing is refused.
    for attempt in range(100):
        world.write({"a.yaml": config_map("red", n=str(attempt))})
        record = world.sync()
        if record.phase is Phase.FAILED:
            break

    assert (record.reason, "red is not allowed" in record.message) == ("AdmissionDenied", True), record.message
    assert world.config_map("blue") is not None


def test_a_missing_namespace_is_named_with_the_way_out(world: World) -> None:
    world.options["namespace"] = f"{world.name}-nope"
    world.write({"a.yaml": config_map()})

    record = world.sync()

    assert (record.phase, record.reason) == (Phase.FAILED, "NamespaceMissing")
    assert "createNamespace" in record.message
    world.options["sync"] = {"create_namespace": True}
    assert world.sync().sync is Sync.SYNCED


def test_a_powerless_user_is_refused_by_name(world: World, bare_cluster: Running, tmp_path: Path) -> None:
    world.write({"a.yaml": config_map()})
    reach(world, kubeconfig(bare_cluster.server_url, bare_cluster.powerless_token, bare_cluster.ca), tmp_path)

    record = world.sync()

    assert (record.phase, record.reason, record.sync) == (Phase.FAILED, "AccessDenied", Sync.UNKNOWN)
    assert "powerless" in record.message


def test_wrong_credentials_of_a_cluster_are_named(world: World, bare_cluster: Running, tmp_path: Path) -> None:
    world.write({"a.yaml": config_map()})
    reach(world, kubeconfig(bare_cluster.server_url, "nobody", bare_cluster.ca), tmp_path)

    assert world.sync().reason == "AccessDenied"


def test_a_certificate_that_is_not_known_is_refused(world: World, bare_cluster: Running, tmp_path: Path) -> None:
    world.write({"a.yaml": config_map()})
    reach(world, kubeconfig(bare_cluster.server_url, bare_cluster.token), tmp_path)

    record = world.sync()

    assert (record.reason, "certificate" in record.message) == ("Unreachable", True)


def test_a_cluster_that_is_down_reads_unknown(world: World, tmp_path: Path) -> None:
    world.write({"a.yaml": config_map()})
    world.sync()
    reach(world, kubeconfig("https://127.0.0.1:1", "x"), tmp_path)

    record = world.sync()

    assert (record.phase, record.reason, record.sync) == (Phase.FAILED, "Unreachable", Sync.UNKNOWN)


@contextmanager
def proxy(status: int, body: str, content_type: str) -> Iterator[str]:
    """Something in between that answers everything alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_PATCH = do_POST = do_DELETE = do_PUT = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with web.serving(Handler) as url:
        yield url


@pytest.mark.parametrize(
    ("status", "body", "content_type"),
    [
        (404, "404 page not found", "text/plain"),
        (
            404,
            json.dumps({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}),
            "application/json",
        ),
        (200, "<html>log in</html>", "text/html"),
        (200, json.dumps({"kind": "List", "items": []}), "application/json"),
        (502, "bad gateway", "text/plain"),
    ],
    ids=["404", "404 as Status", "a login page", "empty lists", "502"],
)
def test_a_proxy_that_answers_for_the_cluster_is_not_believed(
    world: World, tmp_path: Path, status: int, body: str, content_type: str
) -> None:
    world.write({f"{n}.yaml": config_map(f"c{n}") for n in range(5)})
    world.sync()
    target = world.target
    world.write({"3.yaml": None})

    with proxy(status, body, content_type) as server:
        reach(world, kubeconfig(server, "x"), tmp_path)
        record = world.sync()

    assert (record.phase, record.sync) == (Phase.FAILED, Sync.UNKNOWN), record.message
    world.target = target
    assert world.config_map("c3") is not None


def test_another_installations_inventory_is_read_only_to_us(world: World) -> None:
    world.write({"a.yaml": config_map()})
    world.sync()
    world.rooms.inventories.installation = "another"

    record = world.sync()

    assert (record.phase, record.reason) == (Phase.FAILED, "InventoryError")
    assert "another installation" in record.message


def test_a_damaged_inventory_changes_nothing(world: World) -> None:
    world.write({"a.yaml": config_map()})
    world.sync()
    value = base64.b64encode(b"rubbish").decode()
    patch = [{"op": "replace", "path": "/data/inventory", "value": value}]
    world.api.patch_json(SECRET, "undrift-system", world.key.inventory_name, patch)

    record = world.sync()

    assert (record.phase, record.reason) == (Phase.FAILED, "InventoryError")
    with pytest.raises(InventoryError, match="damaged"):
        world.inventory()
    assert world.config_map() is not None


def test_a_refused_secret_is_told_without_its_value(world: World) -> None:
    bad = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {password: 'hunter2 is no base64'}\n"
    world.write({"a.yaml": bad})

    record = world.sync()

    assert record.phase is Phase.FAILED
    assert "hunter2" not in record.message
    assert world.api.get(CONFIG_MAP, world.name, "s") is None
