"""A values schema may not lead Helm to the network or to the worker's disk, however it is written and packed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler.errors import InvalidManifest, RemoteBase, TemplateFailed
from reconciler.render import Renderer
from reconciler.testing.trees import MemoryTree, checkout_of
from tests.renders import CHART, config_map, discovery, packed, spec

SCHEMA = "c/values.schema.json"
DEPENDENCY = {"Chart.yaml": "apiVersion: v2\nname: db\nversion: 1.2.3\n", "templates/a.yaml": config_map("db")}
LEADS_OUT = {
    "the network": '{"$ref": "https://example.invalid/schema.json"}',
    "an escaped keyword": '{"\\u0024ref": "file:///etc/passwd"}',
    "an escaped value": '{"$ref": "\\u0066ile:///etc/passwd"}',
    "a path of the disk": '{"$ref": "/etc/passwd"}',
    "a file beside it": '{"$ref": "other.json"}',
    "no text at all": '{"$ref": ""}',
    "below, in a list": '{"allOf": [{"properties": {"a": {"$ref": "/etc/passwd"}}}]}',
    "written twice": '{"$ref": "/etc/passwd", "$ref": "#/a"}',
    "relative to an id": '{"$id": "file:///etc/", "$ref": "passwd"}',
    "a dynamic reference": '{"$dynamicRef": "http://example.invalid/#x"}',
    "a dialect of its own": '{"$schema": "file:///etc/passwd"}',
    "a byte order mark": '\ufeff{"$ref": "/etc/passwd"}',
}


def refusal(renderer: Renderer, files: dict[str, str | bytes], kind: type[Exception] = RemoteBase) -> str:
    with pytest.raises(kind) as caught:
        renderer.render(checkout_of(MemoryTree({**CHART, **files}), "c"), spec(), discovery())
    return str(caught.value)


def names(renderer: Renderer, files: dict[str, str | bytes]) -> list[str]:
    found = renderer.render(checkout_of(MemoryTree({**CHART, **files}), "c"), spec(), discovery())
    return sorted(one.key.name for one in found)


@pytest.mark.parametrize("schema", LEADS_OUT.values(), ids=LEADS_OUT)
def test_a_schema_is_refused_that_leads_out_of_its_file(schema: str, renderer: Renderer) -> None:
    says = refusal(renderer, {SCHEMA: schema})

    assert says.startswith("c/values.schema.json: a $")
    assert says.endswith("leads out of the repository; put the schema into this file")


@pytest.mark.parametrize("place", ["charts/db-1.2.3.tgz", "charts/up/charts/db-1.2.3.tgz"])
def test_a_schema_in_a_packed_chart_is_refused_the_same(place: str, renderer: Renderer) -> None:
    archive = packed({**DEPENDENCY, "values.schema.json": LEADS_OUT["an escaped keyword"]})
    above = {"c/charts/up/Chart.yaml": "apiVersion: v2\nname: up\nversion: 1.0.0\n"} if "up" in place else {}

    says = refusal(renderer, {f"c/{place}": archive, **above})

    assert says.startswith(f"c/{place}/values.schema.json: a $ref leads out")


def test_a_chart_packed_in_a_packed_chart_is_looked_into(renderer: Renderer) -> None:
    inner = packed({**DEPENDENCY, "values.schema.json": LEADS_OUT["a path of the disk"]})
    archive = packed({"Chart.yaml": "apiVersion: v2\nname: up\nversion: 1.0.0\n", "charts/db-1.2.3.tgz": inner})

    assert "c/charts/up-1.0.0.tgz/charts/db-1.2.3.tgz/values.schema.json: a $ref" in refusal(
        renderer, {"c/charts/up-1.0.0.tgz": archive}
    )


def test_a_name_that_helm_cleans_first_hides_nothing(renderer: Renderer) -> None:
    archive = packed({**DEPENDENCY, "./values.schema.json/.": LEADS_OUT["a path of the disk"]})

    assert "values.schema.json: a $ref" in refusal(renderer, {"c/charts/db-1.2.3.tgz": archive})


def test_references_within_the_file_are_followed(renderer: Renderer) -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "https://example.invalid/values.json",
        "definitions": {"port": {"type": "integer"}},
        "properties": {"port": {"$ref": "#/definitions/port"}, "$ref": {"type": "string"}},
    }
    files = {SCHEMA: json.dumps(schema), "c/templates/a.yaml": config_map("a"), "c/values.yaml": "port: 1\n"}

    assert names(renderer, dict(files)) == ["a"]
    with pytest.raises(TemplateFailed, match="port"):
        names(renderer, {**files, "c/values.yaml": "port: none\n"})


def test_what_is_no_json_is_refused_before_helm_reads_it(renderer: Renderer) -> None:
    assert refusal(renderer, {SCHEMA: "{'$ref': 1}"}, InvalidManifest) == f"{SCHEMA}: the values schema is no JSON"
    assert "no JSON" in refusal(renderer, {SCHEMA: "[" * 100_000}, InvalidManifest)


def test_a_packed_chart_renders_as_it_would_unpacked(renderer: Renderer) -> None:
    """Files beside the templates, long names and a chart's own ignore file included."""
    inner = {**DEPENDENCY, "files/" + "x" * 150: "words", "tests/t.yaml": "words"}
    inner["templates/b.yaml"] = config_map("files", v='{{ .Files.Get (printf "files/%s" (repeat 150 "x")) }}')
    inner["templates/c.yaml"] = config_map("kept", v='{{ .Files.Get "tests/t.yaml" }}')
    files: dict[str, str | bytes] = {"c/charts/db-1.2.3.tgz": packed(inner), "c/.helmignore": "tests/\n"}

    found = renderer.render(checkout_of(MemoryTree({**CHART, **files}), "c"), spec(), discovery())

    assert {one.key.name: one.body.get("data") for one in found} == {
        "db": None,
        "files": {"v": "words"},
        "kept": {"v": "words"},
    }


@pytest.mark.parametrize(
    ("archive", "says"),
    [
        pytest.param(b"words", "is no packed chart that can be read", id="no archive"),
        pytest.param(packed(DEPENDENCY)[:-20], "is no packed chart that can be read", id="cut short"),
        pytest.param(packed({"../../Chart.yaml": "x"}), "does not lie in its chart's folder", id="leading out"),
    ],
)
def test_a_packed_chart_that_can_not_be_read_is_refused(archive: bytes, says: str, renderer: Renderer) -> None:
    assert says in refusal(renderer, {"c/charts/db-1.2.3.tgz": archive}, InvalidManifest)


def test_random_values_in_a_packed_chart_are_noticed(renderer: Renderer) -> None:
    archive = packed({**DEPENDENCY, "templates/a.yaml": config_map("db", v="{{ randAlphaNum 20 }}")})

    assert "two renders of the same inputs differ" in refusal(renderer, {"c/charts/db-1.2.3.tgz": archive}, Exception)


@pytest.mark.skipif(not Path("/proc/self/ns/net").exists(), reason="network namespaces are Linux's")
def test_the_helper_says_whether_it_left_the_network(tmp_path: Path) -> None:
    renderer = Renderer(tmp_path / "work")

    said = renderer.is_offline()

    theirs = Path(f"/proc/{renderer._helper.pid}/ns/net").readlink()
    assert said == (theirs != Path("/proc/self/ns/net").readlink())
    renderer.close()
