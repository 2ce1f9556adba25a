"""Kinds and fields of any object that more than one room must know, each said once."""

from __future__ import annotations

from datetime import datetime

from reconciler.model.live import Resource
from reconciler.model.manifest import GroupKind, Raw

NAMESPACE = GroupKind("", "Namespace")
SECRET = GroupKind("", "Secret")
DEFINITION = GroupKind("apiextensions.k8s.io", "CustomResourceDefinition")
API_SERVICE = GroupKind("apiregistration.k8s.io", "APIService")
PRECIOUS = frozenset(
    {
        NAMESPACE,
        DEFINITION,
        GroupKind("", "PersistentVolume"),
        GroupKind("", "PersistentVolumeClaim"),
        GroupKind("apps", "StatefulSet"),
    }
)
"""What holds data or other objects: even one deletion waits for a person, and none is replaced."""

NAMESPACES = Resource("", "v1", "Namespace", "namespaces", False)
SECRETS = Resource("", "v1", "Secret", "secrets", True)


def created(live: Raw) -> datetime:
    """When the API server made an object, to the second."""
    return datetime.fromisoformat(str(live["metadata"]["creationTimestamp"]))


def controller(live: Raw) -> str:
    """Kind and name of the controller that owns an object; empty when none does."""
    for owner in live["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return f"{owner.get('kind')} {owner.get('name')}"
    return ""
