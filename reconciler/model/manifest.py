"""Desired objects and their identity."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from reconciler.model.revision import Closure

Raw = Mapping[str, Any]
"""A Kubernetes object as JSON. Never changed in place."""


@dataclass(frozen=True, slots=True, order=True)
class GroupKind:
    """`group` is empty for the core group."""

    group: str
    kind: str

    def __str__(self) -> str:
        """As ApplySets write it: `Deployment.apps`, `ConfigMap`."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @classmethod
    def parse(cls, text: str) -> GroupKind:
        kind, _, group = text.partition(".")
        return cls(group, kind)


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """The identity of an object. The API version is no part of it: v1beta1 and v1 of one name are one object."""

    group: str
    kind: str
    namespace: str
    """Empty for cluster-scoped objects."""
    name: str

    def __str__(self) -> str:
        """As people read it: `Deployment.apps web/podinfo`, `Namespace web`."""
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.group_kind} {place}"

    @property
    def group_kind(self) -> GroupKind:
        return GroupKind(self.group, self.kind)

    def to_text(self) -> str:
        """`group|kind|namespace|name`; none of the four may hold a bar."""
        return f"{self.group}|{self.kind}|{self.namespace}|{self.name}"

    @classmethod
    def from_text(cls, text: str) -> ObjectKey:
        group, kind, namespace, name = text.split("|")
        return cls(group, kind, namespace, name)

    @classmethod
    def of(cls, body: Raw) -> ObjectKey:
        """The key of an object as written; scope is not known here, so the namespace is taken as it stands."""
        meta = body.get("metadata") or {}
        group = str(body["apiVersion"]).rpartition("/")[0]
        return cls(group, str(body["kind"]), str(meta.get("namespace") or ""), str(meta["name"]))


@dataclass(frozen=True, slots=True)
class Manifest:
    """One desired object and where it was written (`path#document`, from the repository's root)."""

    key: ObjectKey
    body: Raw
    origin: str

    @property
    def api_version(self) -> str:
        return str(self.body["apiVersion"])

    @property
    def digest(self) -> str:
        """Equal digest, equal desire. Independent of key order and origin."""
        return hashlib.sha256(orjson.dumps(self.body, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True, slots=True)
class ManifestSet:
    """All that one render gave, in the order it gave it. Keys are unique."""

    manifests: tuple[Manifest, ...]
    closure: Closure
    warnings: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Manifest]:
        return iter(self.manifests)

    def __len__(self) -> int:
        return len(self.manifests)

    @property
    def digest(self) -> str:
        """The hash of the rendered manifests, whatever their order."""
        return digest_of(self.manifests)


def digest_of(manifests: Iterable[Manifest]) -> str:
    lines = sorted(f"{manifest.key.to_text()} {manifest.digest}" for manifest in manifests)
    return "sha256:" + hashlib.sha256("\n".join(lines).encode()).hexdigest()
