"""Broken folders, and in which words each is refused."""

from __future__ import annotations

import pytest

from reconciler.errors import (
    DuplicateObject,
    HooksNotYet,
    InvalidManifest,
    PathNotFound,
    RemoteBase,
    RenderLimit,
    TemplateFailed,
    Unreachable,
)
from reconciler.ports import TreeEntry
from reconciler.render import Renderer
from reconciler.testing.trees import MemoryTree, checkout_of
from tests.renders import CHART, config_map, discovery, spec

KUSTOMIZATION = "over/kustomization.yaml"
HOOKED = "apiVersion: v1\nkind: Pod\nmetadata: {{name: {}, annotations: {{{}: {}}}}}\n"


def named(name: str) -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n"


PLAIN = {
    "broken YAML": ("a: [1\nb: 2\n", InvalidManifest, r"^f\.yaml: line 2: did not find expected ',' or ']'"),
    "a doubled key": ("a: 1\na: 2\n", InvalidManifest, r"^f\.yaml: line 2: key 'a' stands twice, first in line 1$"),
    "no mapping": ("- 1\n", InvalidManifest, r"^f\.yaml#1 \(line 1\): expected a Kubernetes object, found a list$"),
    "no kind": (
        "a: 1\n---\n\n",
        InvalidManifest,
        r"^f\.yaml#1 \(line 1\): apiVersion is missing .*directory\.exclude",
    ),
    "the second document": (config_map("x") + "---\nkind: X\n", InvalidManifest, r"^f\.yaml#2 \(line 5\): apiVersion"),
    "no metadata": ("apiVersion: v1\nkind: Pod\n", InvalidManifest, r"Pod: metadata is missing$"),
    "no name": ("apiVersion: v1\nkind: Pod\nmetadata: {a: b}\n", InvalidManifest, r"metadata\.name is missing"),
    "a name that is no text": (config_map("1.50"), InvalidManifest, r"metadata\.name is 1\.5 \(put it in quotes\)"),
    "a namespace that is no": (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: x, namespace: no}\n",
        InvalidManifest,
        r"metadata\.namespace is false \(put it in quotes\), expected a text",
    ),
    "a name that steps up": (named("'..'"), InvalidManifest, r"metadata\.name '\.\.' is no name, but a step in a path"),
    "a name that stays": (named("."), InvalidManifest, r"metadata\.name '\.' is no name"),
    "a name of two parts": (named("a/b"), InvalidManifest, r"metadata\.name 'a/b' holds '/'"),
    "a name that is encoded": (named("a%2fb"), InvalidManifest, r"holds '%'"),
    "a name with our bar": (named("a|b"), InvalidManifest, r"holds '\|'"),
    "a name that rings": (named(r'"a\eb"'), InvalidManifest, r"metadata\.name 'a\\x1bb' holds '\\x1b'"),
    "a name of two lines": (named(r'"a\nb"'), InvalidManifest, r"holds '\\n'"),
    "a name without end": (named("a" * 20_000_000), InvalidManifest, r"has 20000000 characters, and 253 are the most$"),
    "a namespace that steps up": (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: x, namespace: '..'}\n",
        InvalidManifest,
        r"metadata\.namespace '\.\.' is no name",
    ),
    "a namespace too long": (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: x, namespace: " + "a" * 64 + "}\n",
        InvalidManifest,
        r"has 64 characters, and 63 are the most",
    ),
    "an empty group": (
        "apiVersion: /v1\nkind: Secret\nmetadata: {name: x}\n",
        InvalidManifest,
        r"'/v1', expected `v1`",
    ),
    "a group of two parts": (
        "apiVersion: a/b/v1\nkind: X\nmetadata: {name: x}\n",
        InvalidManifest,
        r"'a/b/v1', expected",
    ),
    "a kind without end": (
        f"apiVersion: v1\nkind: {'K' * 64}\nmetadata: {{name: x}}\n",
        InvalidManifest,
        r"kind is 'K+', expected letters and digits, 63 at most",
    ),
    "generateName": (
        "apiVersion: v1\nkind: Pod\nmetadata: {generateName: x-}\n",
        InvalidManifest,
        r"Pod: metadata\.generateName gives another name each time",
    ),
    "a list that is none": (
        "apiVersion: v1\nkind: List\nitems: 3\n",
        InvalidManifest,
        r"items of a list must be a list",
    ),
    "one object twice": (
        config_map("x") + "---\n" + config_map("x"),
        DuplicateObject,
        r"^ConfigMap x is defined twice: in f\.yaml#1 and in f\.yaml#2; remove one$",
    ),
    "two versions of one object": (
        "apiVersion: a.b/v1\nkind: X\nmetadata: {name: x}\n---\napiVersion: a.b/v2\nkind: X\nmetadata: {name: x}\n",
        DuplicateObject,
        r"^X\.a\.b x is defined twice",
    ),
    "an alias bomb": (
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{y}: &{y} [{', '.join([f'*{x}'] * 9)}]\n" for x, y in zip("abcdefg", "bcdefgh", strict=True)),
        InvalidManifest,
        r"more than 500000 values once its aliases are followed",
    ),
    "a Helm hook": (
        HOOKED.format("x", "helm.sh/hook", "post-delete"),
        HooksNotYet,
        r"^hooks are not run yet: Pod x \(post-delete; f\.yaml#1\); set render\.hooks: Skip to leave them out$",
    ),
    "Argo CD hooks": (
        "---\n".join(HOOKED.format(name, "argocd.argoproj.io/hook", "Sync") for name in "abcdefg"),
        HooksNotYet,
        r"Pod a \(Sync; f\.yaml#1\), Pod b .* and 2 more; set render\.hooks",
    ),
}


@pytest.mark.parametrize(("text", "kind", "says"), PLAIN.values(), ids=PLAIN)
def test_a_plain_file_is_refused(text, kind, says, renderer):
    with pytest.raises(kind, match=says):
        renderer.render(checkout_of(MemoryTree({"f.yaml": text})), spec(), discovery())


def remote(reference: str) -> str:
    return f'resources: ["{reference}"]\n'


FOLDERS = {
    "a path that no disk can hold": (
        "c",
        {**CHART, f"c/templates/{'/'.join(['a' * 200] * 30)}.yaml": ""},
        {},
        RenderLimit,
        r"^c/templates/a+…: the path has \d+ bytes, more than 4096; give its folders shorter names$",
    ),
    "a path that is too long below the folder of the render": (
        "c",
        {**CHART, f"c/templates/{'/'.join(['a' * 202] * 20)}.yaml": ""},
        {},
        InvalidManifest,
        r"^chart/templates/a+.*…: the file's name is too long to be stored; shorten it$",
    ),
    "no such folder": ("nowhere", {"a.yaml": ""}, {}, PathNotFound, r"^no folder nowhere$"),
    "a kind that does not fit": ("", {"a.yaml": ""}, {"kind": "Helm"}, InvalidManifest, r"but / holds no Chart\.yaml$"),
    "no kustomization": (
        "a",
        {"a/b": ""},
        {"kind": "Kustomize"},
        InvalidManifest,
        r"but a holds no kustomization\.yaml",
    ),
    "one object in two files": (
        "a",
        {"a/x.yaml": config_map("x"), "a/y.json": '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"}}'},
        {},
        DuplicateObject,
        r"in a/x\.yaml#1 and in a/y\.json#1",
    ),
    "a chart below a plain folder": (
        "",
        {"b/Chart.yaml": ""},
        {},
        InvalidManifest,
        r"^b/Chart\.yaml belongs to a Helm",
    ),
    "a remote file": ("over", {KUSTOMIZATION: remote("https://example.invalid/x.yaml")}, {}, RemoteBase, r"^over/kust"),
    "a remote base": ("over", {KUSTOMIZATION: remote("github.com/a/b?ref=v1")}, {}, RemoteBase, r"outside the repo"),
    "a remote base by ssh": (
        "over",
        {KUSTOMIZATION: remote("git@example.invalid:a/b")},
        {},
        RemoteBase,
        r"git@example",
    ),
    "a remote base of a base": (
        "over",
        {KUSTOMIZATION: remote("../base"), "base/kustomization.yml": remote("ssh://example.invalid/a")},
        {},
        RemoteBase,
        r"^base/kustomization\.yml: ssh://example\.invalid/a lies outside the repository",
    ),
    "a remote patch": ("over", {KUSTOMIZATION: "patches: [{path: 'http://example.invalid'}]"}, {}, RemoteBase, "http:"),
    "a remote generator file": (
        "over",
        {KUSTOMIZATION: "configMapGenerator: [{name: x, files: ['a=https://example.invalid/x']}]"},
        {},
        RemoteBase,
        r"https://example\.invalid/x lies outside",
    ),
    "a base above the root": (
        "over",
        {KUSTOMIZATION: remote("../../x")},
        {},
        RemoteBase,
        r"leads out of the repository",
    ),
    "charts in a kustomization": (
        "over",
        {KUSTOMIZATION: "helmCharts: [{name: x}]"},
        {},
        RemoteBase,
        r"helmCharts is not",
    ),
    "a missing resource": (
        "over",
        {KUSTOMIZATION: remote("gone.yaml")},
        {},
        TemplateFailed,
        r"gone\.yaml does not exist",
    ),
    "a base without kustomization": (
        "over",
        {KUSTOMIZATION: remote("../base"), "base/x.yaml": config_map("x")},
        {},
        TemplateFailed,
        r"^base is used as a base, but holds no kustomization\.yaml$",
    ),
    "two kustomizations": (
        "over",
        {KUSTOMIZATION: "", "over/Kustomization": ""},
        {},
        TemplateFailed,
        r"^over holds over/kustomization\.yaml and over/Kustomization; Kustomize takes one$",
    ),
    "a circle of bases": (
        "a",
        {"a/kustomization.yaml": remote("../b"), "b/kustomization.yaml": remote("../a")},
        {},
        TemplateFailed,
        r"^a: the kustomization includes itself",
    ),
    "an unknown field": ("over", {KUSTOMIZATION: "resorces: [a]"}, {}, TemplateFailed, r'unknown field "resorces"'),
    "a file above its kustomization": (
        "over",
        {KUSTOMIZATION: remote("../x.yaml"), "x.yaml": config_map("x")},
        {},
        TemplateFailed,
        r"security; file .*x\.yaml' is not in or below",
    ),
    "an exec plugin": (
        "over",
        {
            KUSTOMIZATION: "transformers: [run.yaml]\nresources: [cm.yaml]\n",
            "over/cm.yaml": config_map("x"),
            "over/run.yaml": "apiVersion: v1\nkind: Run\nmetadata:\n  name: x\n  annotations:\n"
            "    config.kubernetes.io/function: |\n      exec: {path: ./run.sh}\n",
        },
        {},
        TemplateFailed,
        r"external plugins disabled",
    ),
    "a template error": (
        "c",
        {**CHART, "c/templates/a.yaml": '\n\n{{ fail "no port given" }}'},
        {},
        TemplateFailed,
        r"\(c/templates/a\.yaml:3:3\): no port given$",
    ),
    "a template that does not parse": (
        "c",
        {**CHART, "c/templates/a.yaml": "{{ if }}"},
        {},
        TemplateFailed,
        r"a\.yaml:1",
    ),
    "a template that gives broken YAML": (
        "c",
        {**CHART, "c/templates/a.yaml": "a: [1\n"},
        {},
        InvalidManifest,
        r"^c/templates/a\.yaml as rendered: line 2: ",
    ),
    "a template that calls itself": (
        "c",
        {**CHART, "c/templates/a.yaml": '{{ define "a" }}{{ include "a" . }}{{ end }}{{ include "a" . }}'},
        {},
        TemplateFailed,
        r"^.{1,500} … .*nested reference name: a",
    ),
    "a cluster that is too old": (
        "c",
        {"c/Chart.yaml": "apiVersion: v2\nname: c\nversion: 1.0.0\nkubeVersion: '>=1.99'\n"},
        {},
        TemplateFailed,
        r"^c/Chart\.yaml: the chart wants Kubernetes >=1\.99, the cluster runs v1\.31\.2$",
    ),
    "values that the schema refuses": (
        "c",
        {**CHART, "c/values.schema.json": '{"properties": {"replicas": {"type": "integer"}}}'},
        {"helm": {"values": {"replicas": "two"}}},
        TemplateFailed,
        r"replicas",
    ),
    "a schema that is elsewhere": (
        "c",
        {**CHART, "c/values.schema.json": '{"$ref": "https://example.invalid/schema.json"}'},
        {},
        RemoteBase,
        r"^c/values\.schema\.json: a \$ref leads out of the repository",
    ),
    "a value file above the root": (
        "c",
        CHART,
        {"helm": {"valueFiles": ["../../secrets.yaml"]}},
        InvalidManifest,
        r"valueFiles: \.\./\.\./secrets\.yaml leads out of the repository$",
    ),
    "a value file that is missing": (
        "c",
        CHART,
        {"helm": {"valueFiles": ["../values/x.yaml"]}},
        InvalidManifest,
        r"\.\./values/x\.yaml does not exist in the repository \(at values/x\.yaml\)$",
    ),
    "a dependency that is missing": (
        "c",
        {"c/Chart.yaml": CHART["c/Chart.yaml"] + "dependencies: [{name: db, version: 1, repository: 'https://x.y'}]"},
        {},
        RemoteBase,
        r"^c/Chart\.yaml: dependency db is not in charts/.*helm dependency build",
    ),
    "a dependency that begins alike": (
        "c",
        {
            "c/Chart.yaml": CHART["c/Chart.yaml"]
            + "dependencies: [{name: db, version: 1, repository: 'file://../db'}]",
            "c/charts/db-more/Chart.yaml": "apiVersion: v2\nname: db-more\nversion: 1.0.0\n",
        },
        {},
        TemplateFailed,
        r"^c/Chart\.yaml: dependency db: no folder db in the repository$",
    ),
    "a dependency above the root": (
        "c",
        {"c/Chart.yaml": CHART["c/Chart.yaml"] + "dependencies: [{name: db, repository: 'file://../../db'}]"},
        {},
        RemoteBase,
        r"dependency db \(file://\.\./\.\./db\) leads out of the repository$",
    ),
    "charts in a circle": (
        "c",
        {
            "c/Chart.yaml": CHART["c/Chart.yaml"] + "dependencies: [{name: d, repository: 'file://../d'}]",
            "d/Chart.yaml": "name: d\nversion: 1.0.0\ndependencies: [{name: c, repository: 'file://../c'}]",
        },
        {},
        TemplateFailed,
        r"^c: the chart depends on itself$",
    ),
    "a library chart": ("c", {"c/Chart.yaml": "name: c\ntype: library\n"}, {}, TemplateFailed, r"library chart can't"),
    "broken values": ("c", {**CHART, "c/values.yaml": "a: 1\n  b: 2\n"}, {}, TemplateFailed, r"values\.yaml: .*line 2"),
}


@pytest.mark.parametrize(("path", "files", "render", "kind", "says"), FOLDERS.values(), ids=FOLDERS)
def test_a_folder_is_refused(path, files, render, kind, says, renderer):
    with pytest.raises(kind, match=says) as caught:
        renderer.render(checkout_of(MemoryTree(files), path), spec(render), discovery())

    assert "/tmp" not in caught.value.message
    assert "render-" not in caught.value.message


LINKS = {
    "out of the repository": (
        {"app/x.yaml": "../../etc/x.yaml"},
        "app/x.yaml is a symbolic link to ../../etc/x.yaml, which",
    ),
    "to the whole disk": (
        {"app/x.yaml": "/etc/hostname"},
        "app/x.yaml is a symbolic link to /etc/hostname, which leads out",
    ),
    "nowhere": ({"app/x.yaml": "gone.yaml"}, "app/x.yaml is a symbolic link to app/gone.yaml, which does not exist"),
    "to itself": ({"app/x.yaml": "x.yaml"}, "app/x.yaml: the symbolic link leads round in a circle"),
    "in a circle": ({"app/x": "y", "app/y": "x"}, "the symbolic link leads round in a circle"),
    "to its own folder": ({"app/x": "../app"}, "app/x: the symbolic link leads round in a circle"),
}


@pytest.mark.parametrize(("links", "says"), LINKS.values(), ids=LINKS)
@pytest.mark.parametrize("chart", [{}, {"app/Chart.yaml": CHART["c/Chart.yaml"]}], ids=["plain", "chart"])
def test_a_link_is_refused_that_leads(links, says, chart, renderer):
    tree = MemoryTree({"app/a.yaml": config_map("a"), **chart}, links=links)

    with pytest.raises(InvalidManifest) as caught:
        renderer.render(checkout_of(tree, "app"), spec(), discovery())

    assert says in caught.value.message


def test_folders_that_links_multiply_are_refused(renderer):
    links = {f"{a}/{n}": f"../{b}" for a, b in zip("abcdefghijklmno", "bcdefghijklmnop", strict=True) for n in (1, 2)}
    tree = MemoryTree({"p/x.yaml": config_map("a")}, links=links)

    with pytest.raises(RenderLimit, match="a holds more than 20000 folders"):
        renderer.render(checkout_of(tree, "a"), spec({"directory": {"include": ["none"]}}), discovery())


def test_files_that_aliases_multiply_together_are_refused(renderer):
    """Each file is within its own bound: it is the render that has one, too."""
    lines = [f"{y}: &{y} [{', '.join([f'*{x}'] * 10)}]" for x, y in zip("abcd", "bcde", strict=True)]
    bomb = "\n".join([config_map("x").rstrip(), "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]", *lines])
    tree = MemoryTree({f"f{number}.yaml": bomb for number in range(40)})

    with pytest.raises(InvalidManifest, match=r"^f\d+\.yaml: line \d+: more values in all documents together"):
        renderer.render(checkout_of(tree), spec(), discovery())


@pytest.mark.parametrize("name", ["caf\udce9.yaml", "x" * 256 + ".yaml"], ids=["no UTF-8", "too long"])
@pytest.mark.parametrize("chart", [{}, {"app/Chart.yaml": CHART["c/Chart.yaml"]}], ids=["plain", "chart"])
def test_a_name_that_no_disk_takes_is_refused(name, chart, renderer):
    tree = NamedTree({"app/a.yaml": config_map("a"), **chart}, name)

    with pytest.raises(
        InvalidManifest, match=r"^app: the name '(caf\\\\xe9|xxx).* is no UTF-8 text of at most 255 bytes"
    ):
        renderer.render(checkout_of(tree, "app"), spec(), discovery())


class NamedTree(MemoryTree):
    """With one more file in `app`, of a name that only Git takes."""

    def __init__(self, files, name):
        super().__init__(files)
        self.name = name

    def list(self, path):
        return [*super().list(path), *([TreeEntry(self.name, "file", "1" * 40)] if path == "app" else [])]


def test_umlauts_in_names_are_taken(renderer):
    tree = MemoryTree({"app/größe.yaml": config_map("a")})

    assert len(renderer.render(checkout_of(tree, "app"), spec(), discovery())) == 1


def test_a_submodule_is_refused_since_what_is_in_it_would_be_missing(renderer):
    tree = MemoryTree({"app/a.yaml": config_map("a")}, submodules={"app/more": "1" * 40})

    with pytest.raises(InvalidManifest, match="app/more is a Git submodule, and submodules are not fetched"):
        renderer.render(checkout_of(tree, "app"), spec(), discovery())


def test_a_chart_that_asks_for_kinds_waits_for_a_cluster_that_can_tell(renderer: Renderer):
    """Taken for missing, a kind's objects would be left out, and then pruned."""
    asks = MemoryTree({**CHART, "c/templates/a.yaml": '{{ if .Capabilities.APIVersions.Has "a/v1" }}{{ end }}'})
    asks_not = MemoryTree({**CHART, "c/templates/a.yaml": config_map("x")})
    cluster = discovery(stale=["metrics.k8s.io"])

    with pytest.raises(Unreachable, match=r"could not tell for metrics\.k8s\.io"):
        renderer.render(checkout_of(asks, "c"), spec(), cluster)
    assert len(renderer.render(checkout_of(asks_not, "c"), spec(), cluster)) == 1
