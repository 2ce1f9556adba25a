"""`undrift fleet plan` against three real API servers: what pushing a fleet's files would change, and nothing changed."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reconciler.cluster import OpenGuard
from reconciler.devcluster import Running
from reconciler.fleet import expand, load
from reconciler.model.live import Resource
from reconciler.model.record import Memory, Order
from reconciler.pipeline.rooms import Rooms
from reconciler.pipeline.sync import sync
from reconciler.ports import ClusterApi
from reconciler.source import FolderTree
from reconciler.testing.git import Repo
from tests.fleets import application, cluster, documents, with_values
from tests.integration.workers.conftest import forget
from workers import wiring
from workers.cli import main as cli

pytestmark = pytest.mark.cluster

CONFIG_MAP = Resource("", "v1", "ConfigMap", "configmaps", True)
Answer = tuple[int, str, str]


class Lease:
    """The right to write, without a scheduler."""

    fence = 1

    def remaining_s(self) -> float:
        return 60.0

    def require_unfrozen(self) -> None:
        return None


@dataclass
class Place:
    """A fleet's folder, one repository and three clusters; `plan` is the command as a person types it."""

    folder: Path
    repo: Repo
    rooms: Rooms
    capsys: pytest.CaptureFixture[str]
    name: str = field(default_factory=lambda: f"plan-{uuid.uuid4().hex[:8]}")
    clusters: list[dict[str, object]] = field(default_factory=list)

    def write(self, **spec: object) -> None:
        """The application, of the folder of its name, in the namespace of its name."""
        given: dict[str, object] = {
            "source": {"repo": self.repo.url, "path": self.name},
            "namespace": self.name,
            "sync": {"createNamespace": True},
        }
        (self.folder / "fleet.yaml").write_text(documents(application(self.name, **{**given, **spec}), *self.clusters))

    def commit(self, **files: str | None) -> None:
        self.repo.commit({f"{self.name}/{name}.yaml": text for name, text in files.items()})

    def sync(self) -> None:
        """Bring every instance to what the files say now; what is not flushed to the inventory yet is forgotten."""
        for spec in expand(load(FolderTree(self.folder))).specs.values():
            record = sync(spec, Order(reasons=("test",), by_operator=True), Memory(), Lease(), self.rooms)
            assert record.sync == "Synced", record.message
            Lease.fence += 1

    def api(self, number: int) -> ClusterApi:
        """A cluster, as somebody else than Undrift sees it."""
        spec = expand(load(FolderTree(self.folder))).clusters[f"dev-{number}"]
        return self.rooms.clusters.api(spec, OpenGuard(), agent="somebody")

    def plan(self, *words: str) -> Answer:
        forget()
        with pytest.raises(SystemExit) as ended:
            cli.main(["fleet", "plan", str(self.folder), *words])
        said = self.capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err


def config_map(name: str, **data: str) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})


@pytest.fixture
def place(
    three_clusters: list[Running],
    git_repo: Repo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Place]:
    (tmp_path / "fleet").mkdir()
    (tmp_path / "credentials").mkdir()
    for one in three_clusters:
        (tmp_path / "credentials" / f"{one.name}.yaml").write_text(Path(one.kubeconfig).read_text())
    monkeypatch.setenv("UNDRIFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("UNDRIFT_CREDENTIALS", str(tmp_path / "credentials"))
    forget()
    rooms = wiring.open_rooms(wiring.settings())
    made = Place(tmp_path / "fleet", git_repo, rooms, capsys)
    made.clusters = [cluster(one.name) for one in three_clusters]
    made.commit(one=config_map("one", a="1"), two=config_map("two", a="1"))
    made.write()
    yield made
    rooms.close()
    forget()


def live(place: Place, number: int, name: str = "one") -> Mapping[str, Any] | None:
    return place.api(number).get(CONFIG_MAP, place.name, name)


def test_a_new_application_is_the_same_lines_everywhere_and_is_not_written(place: Place) -> None:
    code, out, err = place.plan()

    assert (code, err) == (1, "")
    assert out == (
        f"{place.name}: 3 clusters: the same 2 lines\n"
        "  dev-1, dev-2, dev-3:\n"
        f"    Create ConfigMap {place.name}/one\n"
        f"    Create ConfigMap {place.name}/two\n"
    )
    assert live(place, 1) is None


def test_what_was_synced_a_moment_ago_has_no_changes(place: Place) -> None:
    """Without Redis the proof of the last sync is not known yet; a dry run tells that nothing differs."""
    place.sync()

    assert place.plan() == (0, f"{place.name}: 3 clusters: no changes\n", "")


def test_equal_changes_are_grouped_and_what_differs_is_told_apart(place: Place) -> None:
    place.sync()
    patch = [{"op": "replace", "path": "/data/a", "value": "by hand"}]
    place.api(2).patch_json(CONFIG_MAP, place.name, "two", patch)
    place.commit(one=config_map("one", a="2"))

    code, out, _ = place.plan()

    changed = f'    Apply ConfigMap {place.name}/one .data.a: "1" -> "2"'
    assert code == 1
    assert out.splitlines() == [
        f"{place.name}: 2 clusters: the same 1 line; 1 differs",
        "  dev-1, dev-3:",
        changed,
        "  dev-2:",
        changed,
        f'    Apply ConfigMap {place.name}/two .data.a: "by hand" -> "1"',
    ]
    assert (live(place, 2, "two") or {})["data"] == {"a": "by hand"}
    assert (live(place, 1) or {})["data"] == {"a": "1"}


def test_placeholders_are_planned_per_cluster(place: Place) -> None:
    place.repo.commit({f"{place.name}-{region}/one.yaml": config_map("one", a=region) for region in ("eu", "us")})
    regions = ["eu", "us", "eu"]
    place.clusters = [with_values(one, region=region) for one, region in zip(place.clusters, regions, strict=True)]
    place.write(
        source={"repo": place.repo.url, "path": f"{place.name}-${{cluster.values.region}}"},
        namespace=f"{place.name}-${{cluster.values.region}}",
    )

    code, out, _ = place.plan("-o", "json")

    (application,) = json.loads(out)["applications"]
    assert code == 1
    assert [(one["clusters"], one["changes"][0]["object"]) for one in application["groups"]] == [
        (["dev-1", "dev-3"], f"ConfigMap {place.name}-eu/one"),
        (["dev-2"], f"ConfigMap {place.name}-us/one"),
    ]


def test_a_cluster_that_is_away_is_told_beside_the_others(place: Place, tmp_path: Path) -> None:
    kubeconfig = (tmp_path / "credentials" / "dev-1.yaml").read_text()
    server = next(line.split()[-1] for line in kubeconfig.splitlines() if "server:" in line)
    (tmp_path / "credentials" / "gone.yaml").write_text(kubeconfig.replace(server, "https://127.0.0.1:1"))
    place.clusters += [cluster("gone"), cluster("no-kubeconfig")]
    place.write()

    code, out, _ = place.plan()

    assert code == 5
    assert out.startswith(f"{place.name}: 3 clusters: the same 2 lines; 2 unreachable\n")
    assert "  gone: unreachable: " in out
    assert "  no-kubeconfig: unreachable: cluster no-kubeconfig: kubeconfig:" in out
    assert place.plan("--cluster", "dev-1")[0] == 1


def test_deletions_that_the_brakes_would_hold_are_told_so(place: Place) -> None:
    place.commit(**{f"more-{number}": config_map(f"more-{number}") for number in range(4)})
    place.sync()
    place.commit(**{f"more-{number}": None for number in range(4)})

    code, out, _ = place.plan("-o", "json")

    (application,) = json.loads(out)["applications"]
    (group,) = application["groups"]
    assert code == 4
    assert application["summary"] == "3 clusters: the same 5 lines; 3 held"
    assert [one["action"] for one in group["changes"]] == ["Delete"] * 4
    assert group["holds"][0]["reason"] == "TooManyDeletions"
    assert live(place, 1, "more-0") is not None


def test_an_object_that_somebody_else_has_is_told_as_first_contact(place: Place) -> None:
    place.sync()
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs", "namespace": place.name}}
    place.api(1).create(CONFIG_MAP, {**body, "data": {"a": "theirs"}})
    place.api(2).create(CONFIG_MAP, {**body, "data": {"a": "ours"}})
    place.commit(theirs=config_map("theirs", a="ours"))

    code, out, _ = place.plan()

    assert code == 4
    assert f"    HELD FirstContact: ConfigMap {place.name}/theirs" in out
    assert f"  dev-2:\n    Adopt ConfigMap {place.name}/theirs .metadata.labels" in out
    assert f"  dev-3:\n    Create ConfigMap {place.name}/theirs\n" in out
    assert (live(place, 1, "theirs") or {})["data"] == {"a": "theirs"}


def test_values_of_secrets_are_never_shown_and_equal_changes_of_them_are_equal(place: Place) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}}
    place.commit(login=json.dumps({**secret, "stringData": {"password": "not-to-be-shown-1"}}))
    place.sync()
    place.commit(login=json.dumps({**secret, "stringData": {"password": "not-to-be-shown-2"}}))

    table, document = place.plan(), place.plan("-o", "json")

    assert table[1].startswith(f"{place.name}: 3 clusters: the same ")
    for code, out, err in (table, document):
        assert code == 1
        assert "not-to-be-shown" not in out + err
        assert base64.b64encode(b"not-to-be-shown-2").decode() not in out + err


def test_what_the_api_server_would_refuse_and_what_does_not_render_end_with_3(place: Place) -> None:
    place.commit(
        one=json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"a": 1}})
    )
    refused = place.plan()
    place.commit(one="kind: [")
    broken = place.plan()

    assert refused[0] == 3
    assert f"Create ConfigMap {place.name}/one: refused: " in refused[1]
    assert broken[0] == 3
    assert broken[1].startswith(f"{place.name}: 3 failed\n  dev-1, dev-2, dev-3: failed: ")


def test_problems_of_the_files_are_told_and_the_rest_is_planned(place: Place) -> None:
    place.clusters[0] = with_values(place.clusters[0], region="x")
    place.write(namespace=f"{place.name}-${{cluster.values.region}}")

    code, out, err = place.plan()

    assert code == 2
    assert "on dev-2, dev-3: there is no ${cluster.values.region}" in err
    assert out.startswith(f"{place.name}: 1 cluster: 2 lines\n")
    assert len(json.loads(place.plan("-o", "json")[1])["problems"]) == 1


def test_a_repository_that_can_not_be_reached_is_told_once(place: Place) -> None:
    place.write(source={"repo": "http://127.0.0.1:1/apps.git"})

    code, out, _ = place.plan()
    assert code == 5
    assert out.startswith(f"{place.name}: 3 unreachable\n  dev-1, dev-2, dev-3: unreachable: ")


def test_a_plan_writes_nothing_at_all(place: Place, three_clusters: list[Running]) -> None:
    """The API servers' own audit logs: every write was a dry run."""
    place.sync()
    place.commit(one=config_map("one", a="2"), new=config_map("new"), two=None)
    before = [len(writes(one)) for one in three_clusters]

    assert place.plan()[0] == 1

    made = [line for one, count in zip(three_clusters, before, strict=True) for line in writes(one)[count:]]
    assert made != []
    assert all("dryRun=All" in line["requestURI"] for line in made)


def writes(one: Running) -> list[dict[str, Any]]:
    """What was written to the cluster by Undrift, finished requests only."""
    lines = [json.loads(line) for line in Path(one.audit_log or "").read_text().splitlines()]
    return [
        line
        for line in lines
        if line["verb"] in ("create", "update", "patch", "delete")
        and line.get("stage") == "ResponseComplete"
        and line.get("userAgent", "").startswith("undrift")
    ]
