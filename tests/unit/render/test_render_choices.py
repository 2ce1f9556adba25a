"""What a folder is taken for, the links in it, and what becomes part of the closure's inputs."""

from __future__ import annotations

import io
import tarfile

import pytest

from reconciler.errors import NotRepeatable
from reconciler.model.manifest import ManifestSet
from reconciler.model.revision import ABSENT
from reconciler.render import Renderer, helm
from reconciler.render.helm import merge
from reconciler.testing.trees import MemoryTree, checkout_of
from tests.renders import CHART, config_map, discovery, spec

BASE = {"base/kustomization.yaml": "resources: [x.yaml, more]", "base/x.yaml": config_map("x")}
MORE = {"more/kustomization.yaml": "resources: [../y]", "y/kustomization.yaml": "resources: [y.yaml]"}


@pytest.fixture
def render(renderer: Renderer):
    def one(tree: MemoryTree, path: str, options: dict | None = None, **cluster: str) -> ManifestSet:
        return renderer.render(checkout_of(tree, path), spec(options), discovery(**cluster))

    return one


def names(found: ManifestSet) -> list[str]:
    return [one.key.name for one in found]


@pytest.mark.parametrize("name", ["kustomization.yaml", "kustomization.yml", "Kustomization"])
def test_a_kustomization_by_any_of_its_names_is_built(name, render):
    found = render(MemoryTree({f"a/{name}": "namePrefix: p-\nresources: [x]", "a/x": config_map("x")}), "a")

    assert names(found) == ["p-x"]


def test_a_chart_goes_before_a_kustomization_and_an_explicit_kind_before_both(render):
    both = MemoryTree({**CHART, "c/kustomization.yaml": "resources: [x.yaml]", "c/x.yaml": config_map("x")})

    assert names(render(both, "c")) == []
    assert names(render(both, "c", {"kind": "Kustomize"})) == ["x"]
    only = {"include": ["x.yaml"]}
    assert names(render(both, "c", {"kind": "Directory", "directory": only})) == ["x"]


def test_what_was_looked_for_and_missing_is_in_the_closure(render):
    found = render(MemoryTree({"a/kustomization.yml": "resources: [x]", "a/x": config_map("x")}), "a")

    missing = {path for path, oid in found.closure.paths.items() if oid == ABSENT}
    assert missing == {"a/Chart.yaml", "a/kustomization.yaml", "a/Kustomization"}


def test_the_repository_itself_may_be_the_folder(render):
    tree = MemoryTree({"Chart.yaml": CHART["c/Chart.yaml"], "templates/a.yaml": config_map("{{ .Release.Name }}")})

    [manifest] = render(tree, "")

    assert (manifest.key.name, manifest.origin) == ("app", "templates/a.yaml#1")


def test_links_inside_the_repository_are_followed_in_a_plain_folder(render):
    files = {"one.yaml": config_map("one"), "far/two.yaml": config_map("two"), "app/own.yaml": config_map("own")}
    tree = MemoryTree(files, links={"app/one.yaml": "../one.yaml", "app/far": "../far", "link": "app"})

    found = render(tree, "link")

    assert [one.origin for one in found] == ["link/far/two.yaml#1", "link/one.yaml#1", "link/own.yaml#1"]
    assert found.closure.paths.keys() == {"link", "app/", "one.yaml", "far/"}


def test_links_inside_the_repository_are_followed_by_kustomize_as_on_disk(render):
    """A base behind a link finds its own bases from where it really lies."""
    tree = MemoryTree({**BASE, **MORE, "y/y.yaml": config_map("y")}, links={"base/more": "../more"})

    assert sorted(names(render(tree, "base"))) == ["x", "y"]


def test_links_inside_the_repository_are_followed_in_a_chart(render):
    tree = MemoryTree(
        {**CHART, "shared/a.yaml": config_map("{{ .Values.name }}"), "v.yaml": "name: linked"},
        links={"c/templates": "../shared", "c/values.yaml": "../v.yaml"},
    )

    assert names(render(tree, "c")) == ["linked"]


def test_other_options_and_other_clusters_are_other_inputs(render):
    tree = MemoryTree({**CHART, "c/templates/a.yaml": config_map("x")})
    plain = MemoryTree({"a.yaml": config_map("x")})
    values = {"helm": {"values": {"a": 1}}}

    assert render(tree, "c").closure == render(tree, "c").closure
    assert render(tree, "c").closure.inputs != render(tree, "c", values).closure.inputs
    assert render(tree, "c").closure.capabilities != render(tree, "c", server_version="v1.30.0").closure.capabilities
    assert render(plain, "").closure == render(plain, "", values, server_version="v1.30.0").closure


@pytest.mark.parametrize("render_options", [{"helm": {"skipCrds": True}}, {}], ids=["skipped", "by default"])
def test_crds_of_a_chart_come_first_unless_skipped(render_options, render):
    crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: a.b.c}\n"
    tree = MemoryTree({**CHART, "c/templates/a.yaml": config_map("x"), "c/crds/a.yaml": crd})

    assert names(render(tree, "c", render_options)) == (["x"] if render_options else ["a.b.c", "x"])


def test_an_old_chart_keeps_its_dependencies_in_a_file_of_their_own(render):
    tree = MemoryTree({
        "c/Chart.yaml": "apiVersion: v1\nname: old\nversion: 1.0.0\n",
        "c/requirements.yaml": "dependencies: [{name: d, version: 1.0.0, repository: 'file://../d'}]\n",
        "d/Chart.yaml": "apiVersion: v1\nname: d\nversion: 1.0.0\n",
        "d/templates/a.yaml": config_map("from-d"),
    })  # fmt: skip

    assert names(render(tree, "c")) == ["from-d"]


VARYING = {
    **CHART,
    "c/templates/a.yaml": config_map("a", password="{{ randAlphaNum 20 | quote }}", fixed="x"),
    "c/templates/b.yaml": config_map("b", now="{{ if false }}{{ now }}{{ end }}x"),
}


def kept(kind: str, name: str, *paths: str) -> dict[str, object]:
    return {"helm": {"keepGenerated": [{"kind": kind, "name": name, "paths": list(paths)}]}}


def test_a_chart_that_renders_otherwise_each_time_is_refused_with_each_path(render):
    """Its objects would change at every sync, and nobody would know why."""
    with pytest.raises(NotRepeatable) as refused:
        render(MemoryTree(VARYING), "c")

    assert "ConfigMap a /data/password (c/templates/a.yaml#1)" in refused.value.message
    assert "/data/fixed" not in refused.value.message
    assert "ConfigMap b" not in refused.value.message


def test_a_path_that_is_to_be_generated_once_is_no_reason(render):
    once, again = (render(MemoryTree(VARYING), "c", kept("ConfigMap", "a", "/data/password")) for _ in range(2))

    assert len(once) == 2
    assert once.digest != again.digest, "what varies is not kept by the cache"
    with pytest.raises(NotRepeatable):
        render(MemoryTree(VARYING), "c", kept("ConfigMap", "a", "/data/other"))


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("name: a-{{ randAlpha 5 | lower }}", "by its name"),
        ("name: a\n  annotations: {at: {{ now | unixEpoch | quote }}}", "/metadata/annotations/at"),
    ],
    ids=["a name", "the time"],
)
def test_names_and_times_vary_too(render, line: str, path: str):
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  {line}\n"

    with pytest.raises(NotRepeatable, match=path):
        render(MemoryTree({**CHART, "c/templates/a.yaml": text}), "c")


@pytest.mark.parametrize(
    "call",
    [
        'date "150405" "x"',
        '"x" | date `150405`',
        "date .Values.format nil",
        '(date (print "150405") "x")',
        'dateInZone "150405" "x" "UTC"',
    ],
)
def test_a_date_of_what_is_no_date_is_the_time(render, call: str):
    """Sprig takes the time at hand then; before, it passed for repeatable, and was kept by the cache."""
    chart = {**CHART, "c/values.yaml": 'format: "150405"\n'}
    text = config_map("a", t=f'"{{{{ {call} }}}}"')

    with pytest.raises(NotRepeatable, match="ConfigMap a /data/t"):
        render(MemoryTree({**chart, "c/templates/a.yaml": text}), "c")


@pytest.mark.parametrize(
    "call",
    [
        'htmlDate "x"',
        'htmlDateInZone "x" "UTC"',
        'date_in_zone "05" 1 "UTC"',
        "durationRound .at",
        'tpl "{{ date \\"05\\" 1 }}" .',
    ],
)
def test_days_and_hours_are_the_time_too(call: str):
    """They change too seldom for a test to see it, or in a text that becomes a template."""
    assert helm._TELLS_TIME.search(b"{{ %s }}" % call.encode())


@pytest.mark.parametrize(
    "text",
    [
        "{{ .Values.date }}",
        '{{ eq $date "x" }}',
        "date: 2026-11-28",
        '{"date": "2026-11-28"}',
        "Keep it up to date with the chart, update (often), see to-date .",
        '{{ dict "date" .Values.from }}',
        '{{ toDate "2006-01-02" "2026-11-28" | unixEpoch }}',
        '{{ .Values.date "x" }}',
    ],
)
def test_a_date_that_is_only_called_so_costs_no_second_render(text: str):
    assert not helm._TELLS_TIME.search(text.encode())


def packed(**files: str) -> bytes:
    """A chart `d` as `helm package` packs it."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, text in {"Chart.yaml": "apiVersion: v2\nname: d\nversion: 1.0.0\n", **files}.items():
            entry = tarfile.TarInfo(f"d/{name}")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return archive.getvalue()


@pytest.mark.parametrize(
    "value", ["{{ randAlphaNum 20 | quote }}", "{{ now | unixEpoch | quote }}"], ids=["random", "time"]
)
def test_what_varies_in_a_packed_dependency_is_refused_too(render, value: str):
    """Compressed, it does not show that it asks for chance or for the time."""
    dependency = packed(**{"templates/a.yaml": config_map("a", password=value)})

    with pytest.raises(NotRepeatable, match="ConfigMap a /data/password"):
        render(MemoryTree({**CHART, "c/charts/d-1.0.0.tgz": dependency}), "c")


def test_values_are_merged_deep_and_a_null_stays():
    under = {"a": {"b": 1, "c": [1, 2]}, "d": 1, "e": {"f": 1}}

    assert merge(under, {"a": {"c": [3]}, "d": None, "e": 2}) == {"a": {"b": 1, "c": [3]}, "d": None, "e": 2}
