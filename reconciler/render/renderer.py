"""The render room: finds out what a folder holds, renders it, and records what the render read.

A folder with a Chart.yaml is a Helm chart, one with a kustomization file is rendered by Kustomize, any other is a folder
of manifests. Kustomize and Helm are Go programs: they run in one helper process per renderer (`render.helper`).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import orjson

from reconciler.errors import InvalidManifest
from reconciler.model.live import Discovery
from reconciler.model.manifest import ManifestSet
from reconciler.model.revision import Checkout, Closure
from reconciler.model.spec import InstanceSpec, RenderOptions
from reconciler.render import directory, documents, helm, hooks, kustomize
from reconciler.render.cache import RenderCache
from reconciler.render.helper_process import HelperProcess, RenderLimits
from reconciler.render.reading import Reading, join

VERSION = "2"
"""Part of every closure: raise it when the same inputs would give other manifests, or closures say other things."""


class Renderer:
    """Renders one checkout after another. `work` is a private folder for what Go programs need as files."""

    def __init__(self, work: Path, limits: RenderLimits | None = None, *, cache: Path | None = None) -> None:
        """`cache` is a folder for what renders gave, shared by the processes of this host. Without one nothing is kept, in
        memory neither: each render is made anew."""
        self._helper = HelperProcess(work, limits or RenderLimits())
        self._cache = RenderCache(cache) if cache is not None else None

    def render(
        self, checkout: Checkout, spec: InstanceSpec, discovery: Discovery, *, is_anew: bool = False
    ) -> ManifestSet:
        """The manifests of an instance, with namespaces as written: those of an earlier render that read the same, or
        else, and always when it is to be `is_anew`, rendered now. Raises the RenderErrors, PathNotFound."""
        if self._cache is None:
            return self._rendered(checkout, spec, discovery)[0]
        name = _name(checkout.path, spec)
        known = None if is_anew else self._cache.find(name, checkout.tree, capabilities_of(discovery))
        if known is not None:
            return known
        found, is_repeatable = self._rendered(checkout, spec, discovery)
        if is_repeatable:
            self._cache.keep(name, found)
        return found

    def _rendered(self, checkout: Checkout, spec: InstanceSpec, discovery: Discovery) -> tuple[ManifestSet, bool]:
        """What is rendered now, and whether the same would come again."""
        reading = Reading(checkout.tree)
        kind = find_kind(reading, checkout.path, spec.render)
        capabilities: dict[str, str] = {}
        is_repeatable = True
        if kind == "Helm":
            found, is_repeatable = helm.render(checkout, spec, discovery, reading, self._helper)
            capabilities = capabilities_of(discovery)
        elif kind == "Kustomize":
            found = kustomize.render(checkout, reading, self._helper)
        else:
            found = directory.render(checkout, spec.render.directory, reading)
        manifests, left_out = hooks.without_hooks(found, spec.render)
        closure = Closure(reading.closure(), _inputs(spec, kind), capabilities)
        return ManifestSet(tuple(documents.unique(manifests)), closure, left_out), is_repeatable

    def is_offline(self) -> bool:
        """Whether this machine's kernel lets the helper process leave the network. Raises RenderLimit, TemplateFailed."""
        return self._helper.is_offline()

    def close(self) -> None:
        """End the helper process."""
        self._helper.close()


def find_kind(reading: Reading, path: str, options: RenderOptions) -> str:
    """`Helm`, `Kustomize` or `Directory`; what was looked for and missing becomes part of the closure.

    Raises InvalidManifest when the options ask for what is not there.
    """
    is_chart = reading.entry(join(path, "Chart.yaml")) is not None
    variants = [reading.entry(join(path, name)) for name in kustomize.FILE_NAMES]
    is_kustomization = any(variants)
    kind = options.kind or ("Helm" if is_chart else "Kustomize" if is_kustomization else "Directory")
    if kind == "Helm" and not is_chart:
        raise InvalidManifest(f"render.kind is Helm, but {path or '/'} holds no Chart.yaml", subject=path)
    if kind == "Kustomize" and not is_kustomization:
        raise InvalidManifest(f"render.kind is Kustomize, but {path or '/'} holds no kustomization.yaml", subject=path)
    return kind


def capabilities_of(discovery: Discovery) -> dict[str, str]:
    """What a render may ask of a cluster, each as a digest of the answer."""
    return {"kubeVersion": discovery.server_version, "apiVersions": _digest(discovery.api_versions())}


def _name(path: str, spec: InstanceSpec) -> str:
    """By what a render is kept: all of its inputs but the files and the cluster.

    The project is among them though no engine sees it: should a closure ever leave something out again, no tenant gets what
    another tenant's files gave. It costs no sharing but that of applications of one name in two projects.
    """
    options = spec.render.model_dump(mode="json")
    inputs = [VERSION, spec.project, path, options, spec.namespace, spec.release_name]
    return hashlib.sha256(orjson.dumps(inputs, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _inputs(spec: InstanceSpec, kind: str) -> str:
    return _digest([VERSION, kind, _options(spec.render, kind), spec.namespace, spec.release_name])


def _options(options: RenderOptions, kind: str) -> dict[str, object]:
    """What of the options a kind looks at: another chart's values do not make a plain folder render anew."""
    seen = {"hooks": True, "helm": kind == "Helm", "directory": kind == "Directory", "kind": True}
    return options.model_dump(mode="json", include={name for name, is_seen in seen.items() if is_seen})


def _digest(value: object) -> str:
    return "sha256:" + hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()
