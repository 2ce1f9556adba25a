"""Helm charts that live in the repository.

The engine is Helm's own (through `helm-python-sdk`, in the helper), with the target's version and API versions as
Capabilities. What that library leaves to its caller is done here, as the helm command does it: the chart's kubeVersion,
missing dependencies, dependencies by `file://`, CRDs, NOTES.txt, and values merged from files and options.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from reconciler.errors import InvalidManifest, PathNotFound, RemoteBase, TemplateFailed
from reconciler.model.live import Discovery
from reconciler.model.manifest import Manifest
from reconciler.model.revision import Checkout
from reconciler.model.spec import InstanceSpec
from reconciler.objects import yaml
from reconciler.render import documents, semver
from reconciler.render.helper_process import HelperProcess
from reconciler.render.reading import Reading


def render(
    checkout: Checkout, spec: InstanceSpec, discovery: Discovery, reading: Reading, helper: HelperProcess
) -> list[Manifest]:
    """The chart's CRDs, then its templates in Helm's order. Raises TemplateFailed, InvalidManifest, RemoteBase."""
    path = checkout.path
    files = reading.folder(path)
    chart = _one_map(files[_join(path, "Chart.yaml")], _join(path, "Chart.yaml"))
    _require_kube_version(chart, discovery.server_version, path)
    _vendor(chart, path, reading, files)
    request = {
        "engine": "helm",
        "target": path,
        "name": spec.release_name,
        "namespace": spec.namespace or "default",
        "values": _values(checkout, spec, reading),
        "kube_version": discovery.server_version,
        "api_versions": list(discovery.api_versions()),
    }
    answer = helper.ask(request, files)
    found: list[Manifest] = []
    if not spec.render.helm.skip_crds:
        for crd in answer["crds"]:
            found += documents.parse(str(crd["data"]), _origin(path, str(crd["filename"])))
    for name, text in sorted(answer["templates"].items()):
        if not name.endswith("NOTES.txt"):
            found += documents.parse(str(text), _origin(path, name))
    return found


def _origin(path: str, template: str) -> str:
    """`<chart>/templates/x.yaml` as a path of the repository: Helm begins its names with the chart's own."""
    return _join(path, template.partition("/")[2] or template)


def _require_kube_version(chart: Mapping[str, Any], server: str, path: str) -> None:
    constraint = str(chart.get("kubeVersion") or "")
    if constraint and not semver.matches(server, constraint):
        raise TemplateFailed(
            f"{_join(path, 'Chart.yaml')}: the chart wants Kubernetes {constraint}, the cluster runs {server}",
            subject=path,
        )


def _vendor(chart: Mapping[str, Any], path: str, reading: Reading, files: dict[str, bytes]) -> None:
    """Put `file://` dependencies where Helm looks for them, and refuse those that are nowhere in the repository."""
    for dependency in chart.get("dependencies") or ():
        name, repository = str(dependency.get("name")), str(dependency.get("repository") or "")
        home = _join(path, f"charts/{name}")
        if any(one.startswith((f"{home}/", f"{home}-")) for one in files):
            continue
        if not repository.startswith("file://"):
            raise RemoteBase(
                f"{_join(path, 'Chart.yaml')}: dependency {name} is not in charts/; run `helm dependency build` and "
                "commit charts/",
                subject=path,
            )
        source = posixpath.normpath(_join(path, repository.removeprefix("file://")))
        if source.startswith(("..", "/")):
            raise RemoteBase(
                f"{_join(path, 'Chart.yaml')}: dependency {name} leads out of the repository", subject=path
            )
        try:
            taken = reading.folder(source)
        except PathNotFound as error:
            raise TemplateFailed(f"{_join(path, 'Chart.yaml')}: dependency {name}: no folder {source}") from error
        files |= {home + one[len(source) :]: data for one, data in taken.items()}


def _values(checkout: Checkout, spec: InstanceSpec, reading: Reading) -> dict[str, Any]:
    """The values of the options over those of the files, later files over earlier ones. Paths begin at the chart."""
    merged: dict[str, Any] = {}
    for name in spec.render.helm.value_files:
        path = posixpath.normpath(_join(checkout.path, name))
        if path.startswith(("..", "/")):
            raise InvalidManifest(f"valueFiles: {name} leads out of the repository", subject=name)
        try:
            text = reading.read(path)
        except PathNotFound as error:
            raise InvalidManifest(
                f"valueFiles: {name} does not exist in the repository (at {path})", subject=name
            ) from error
        merged = merge(merged, _one_map(text, path))
    return merge(merged, spec.render.helm.values)


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Maps merged deep, everything else replaced; a null stays, since to Helm it takes a chart's default away."""
    merged = dict(under)
    for key, value in over.items():
        both = isinstance(merged.get(key), Mapping) and isinstance(value, Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def _one_map(text: bytes, path: str) -> Mapping[str, Any]:
    found = yaml.load_all(text, path)
    if not found:
        return {}
    if len(found) != 1 or not isinstance(found[0][1], Mapping):
        raise InvalidManifest(f"{path}: expected one document, a mapping", subject=path)
    return found[0][1]


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
