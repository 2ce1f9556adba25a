"""Renders for tests: specs written short, and a tree read from a folder of cases."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reconciler.model.live import Discovery, Resource
from reconciler.model.manifest import GroupKind
from reconciler.model.spec import InstanceSpec
from reconciler.testing.trees import MemoryTree

CHART = {"c/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n"}
"""A chart without templates, at `c`."""


def spec(render: Mapping[str, Any] | None = None, *, namespace: str | None = None) -> InstanceSpec:
    return InstanceSpec.model_validate(
        {
            "project": "default",
            "application": "app",
            "cluster": {"name": "eu-1", "access": {"inCluster": {}}},
            "sources": [{"repo": {"url": "https://git.example.com/apps.git"}, "ref": "main"}],
            "render": render or {},
            "namespace": namespace,
        }
    )


def discovery(*kinds: str, server_version: str = "v1.31.2", stale: Sequence[str] = ()) -> Discovery:
    """A cluster that serves kinds written `group/version/Kind`."""
    found: dict[GroupKind, tuple[Resource, ...]] = {}
    for text in kinds:
        api_version, _, kind = text.rpartition("/")
        group, _, version = api_version.rpartition("/")
        found[GroupKind(group, kind)] = (Resource(group, version, kind, kind.lower() + "s", namespaced=True),)
    return Discovery(found, frozenset(stale), server_version)


def config_map(name: str, **data: str) -> str:
    lines = "".join(f"  {key}: {value}\n" for key, value in data.items())
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n" + (f"data:\n{lines}" if lines else "")


def tree_of(folder: Path) -> MemoryTree:
    """Every file below a folder on disk."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return MemoryTree({path.relative_to(folder).as_posix(): path.read_bytes() for path in found})


def packed(files: Mapping[str, str | bytes], folder: str = "chart") -> bytes:
    """A chart as `helm package` packs it."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for name, text in files.items():
            data = text.encode() if isinstance(text, str) else text
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return target.getvalue()
