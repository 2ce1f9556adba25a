"""Fleets to load in tests: files in memory, and documents written short."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import dedent

import orjson
import yaml

from reconciler.errors import PathNotFound
from reconciler.fleet import Fleet, load
from reconciler.ports import TreeEntry

API = "undrift.dev/v1alpha1"


class MemoryTree:
    """Files in memory as a SourceTree; the object ids are the contents' own hashes, good enough to compare."""

    def __init__(self, files: Mapping[str, str | bytes], links: Sequence[str] = ()) -> None:
        self._files = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
        self._links = set(links)

    def entry(self, path: str) -> TreeEntry | None:
        name = path.rpartition("/")[2]
        if path in self._files:
            return TreeEntry(name, "link" if path in self._links else "file", str(hash(self._files[path])))
        is_folder = not path or any(one.startswith(f"{path}/") for one in self._files)
        return TreeEntry(name, "folder", "0") if is_folder else None

    def list(self, path: str) -> Sequence[TreeEntry]:
        prefix = f"{path}/" if path else ""
        names = {one[len(prefix) :].partition("/")[0] for one in self._files if one.startswith(prefix)}
        if path and not names:
            raise PathNotFound(f"no folder {path}", subject=path)
        return [entry for name in sorted(names) if (entry := self.entry(prefix + name)) is not None]

    def read(self, path: str) -> bytes:
        if path not in self._files:
            raise PathNotFound(f"no file {path}", subject=path)
        return self._files[path]


def fleet(files: Mapping[str, str | bytes] | str, *, previous: Fleet | None = None) -> Fleet:
    """The fleet in files, or in the one file `fleet.yaml`. Texts may be indented."""
    named = {"fleet.yaml": files} if isinstance(files, str) else files
    texts = {path: dedent(text) if isinstance(text, str) else text for path, text in named.items()}
    return load(MemoryTree(texts), previous=previous)


def documents(*found: Mapping[str, object]) -> str:
    """YAML of several documents."""
    return yaml.safe_dump_all([orjson.loads(orjson.dumps(one)) for one in found], sort_keys=False)


def document(kind: str, name: str, **spec: object) -> dict[str, object]:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}


def application(name: str, path: str = "web", **spec: object) -> dict[str, object]:
    """On all clusters, from one repository, unless `spec` says otherwise."""
    given = {"source": {"repo": "https://git.example.com/apps.git", "path": path}, "clusters": {"all": True}}
    return document("Application", name, **{**given, **spec})


def cluster(name: str, **labels: str) -> dict[str, object]:
    made = document("Cluster", name, access={"kubeconfig": {"file": f"{name}.yaml"}})
    made["metadata"] = {"name": name, "labels": labels}
    return made


def with_values(made: Mapping[str, object], **values: object) -> dict[str, object]:
    """The cluster with these values."""
    spec = made["spec"]
    assert isinstance(spec, dict)
    return {**made, "spec": {**spec, "values": values}}


def messages(found: Fleet) -> list[str]:
    return [str(problem) for problem in found.problems]
