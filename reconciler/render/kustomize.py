"""Kustomize: follows a kustomization's references, hands exactly those files to the helper, and reads what it built.

References are followed here (`render.references`), not by Kustomize, for two reasons: what was followed is the closure,
and a remote base is refused before anything could fetch it. Kustomize's own load restrictor stays on: a kustomization
loads files from its own folder and below, and other kustomizations of the repository as bases and components.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from reconciler.errors import InvalidManifest, RemoteBase, TemplateFailed
from reconciler.model.manifest import Manifest
from reconciler.model.revision import Checkout
from reconciler.objects import yaml
from reconciler.render import documents, hiding, references
from reconciler.render.helper_process import HelperProcess
from reconciler.render.reading import Reading, join, leads_out

FILE_NAMES = hiding.KUSTOMIZATIONS
_HELM = ("helmCharts", "helmChartInflationGenerator")


def render(checkout: Checkout, reading: Reading, helper: HelperProcess) -> list[Manifest]:
    """The manifests that Kustomize builds from the checkout's folder, in its order.

    Raises RemoteBase, TemplateFailed, InvalidManifest, RenderLimit.
    """
    target = reading.real(checkout.path)
    files = collect(target, reading)
    answer = helper.ask({"engine": "kustomize", "target": target}, files, reading.links)
    return documents.parse(str(answer["text"]), checkout.path or "kustomization", reading.budget, rendered=True)


def collect(folder: str, reading: Reading) -> dict[str, bytes]:
    """Every file that Kustomize can read when it builds a folder, by path, links followed."""
    closure = _Closure(reading)
    closure.add_root(folder, frozenset())
    return closure.files


class _Closure:
    """Gathers the files of a kustomization and of everything that it names, each kustomization once."""

    def __init__(self, reading: Reading) -> None:
        self.files: dict[str, bytes] = {}
        self._reading = reading
        self._done: set[str] = set()

    def add_root(self, folder: str, above: frozenset[str]) -> None:
        if folder in above:
            raise TemplateFailed(
                f"{folder or '/'}: the kustomization includes itself by way of its bases", subject=folder
            )
        if folder in self._done:
            return
        self._done.add(folder)
        path, document = self._kustomization(folder)
        for field in _HELM:
            if document.get(field):
                raise RemoteBase(
                    f"{path}: {field} is not supported; render the chart as an application of its own", subject=path
                )
        for reference in references.roots_or_files(document):
            self._add(reference, folder, path, above | {folder})
        for reference in references.files(document):
            self._add_file(reference, folder, path)
        for reference in references.plugins(document):
            self._add_plugin(reference, folder, path, above | {folder})

    def _kustomization(self, folder: str) -> tuple[str, Mapping[str, Any]]:
        """Every variant of the name is looked for, as Kustomize refuses a folder with two of them."""
        found = [path for name in FILE_NAMES if self._reading.entry(path := join(folder, name)) is not None]
        if len(found) > 1:
            raise TemplateFailed(f"{folder or '/'} holds {' and '.join(found)}; Kustomize takes one", subject=folder)
        if not found:
            raise TemplateFailed(
                f"{folder or '/'} is used as a base, but holds no kustomization.yaml", subject=folder or "/"
            )
        [path] = found
        self.files[self._reading.real(path)] = data = self._reading.read(path)
        documents_found = yaml.load_all(data, path, self._reading.budget)
        if len(documents_found) != 1 or not isinstance(documents_found[0][1], Mapping):
            raise InvalidManifest(f"{path}: expected one document, a kustomization", subject=path)
        return path, documents_found[0][1]

    def _add(self, reference: str, folder: str, path: str, above: frozenset[str]) -> None:
        target = self._located(reference, folder, path)
        found = self._reading.entry(target)
        if found is not None and found.kind == "folder":
            self.add_root(self._reading.real(target), above)
        else:
            self._add_file(reference, folder, path)

    def _add_file(self, reference: str, folder: str, path: str) -> None:
        target = self._located(reference, folder, path)
        found = self._reading.entry(target)
        if found is None:
            raise TemplateFailed(f"{path}: {reference} does not exist in the repository ({target})", subject=path)
        if found.kind != "folder":  # Kustomize itself says best what is wrong with a folder here
            self.files[self._reading.real(target)] = self._reading.read(target)

    def _add_plugin(self, reference: str, folder: str, path: str, above: frozenset[str]) -> None:
        """A generator or transformer: inline, a file, or a kustomization that gives some.

        Its configuration may name further files in words of its own, but the load restrictor keeps those below this
        kustomization's folder: so all of that folder counts.
        """
        if not references.is_inline(reference):
            self._add(reference, folder, path, above)
        for file in self._reading.files(folder):
            if file.real not in self.files:
                self.files[file.real] = self._reading.read(file.real)

    def _located(self, reference: str, folder: str, path: str) -> str:
        """Where a reference leads, as Kustomize joins it. Raises RemoteBase for what lies outside the repository."""
        if references.is_remote(reference):
            raise RemoteBase(
                f"{path}: {reference} lies outside the repository; nothing is fetched while rendering, so put a copy "
                "into the repository",
                subject=path,
            )
        target = posixpath.normpath(posixpath.join(folder, reference))
        if leads_out(target):
            raise RemoteBase(f"{path}: {reference} leads out of the repository", subject=path)
        return "" if target == "." else target
