"""The identity of an inventory as an ApplySet (KEP-3659, with the keys that kubectl's code uses)."""

from __future__ import annotations

import base64
import hashlib

from reconciler.model.instance import InstanceKey
from reconciler.objects.keys import SYSTEM_NAMESPACE


def applyset_id(name: str, namespace: str, kind: str = "Secret", group: str = "") -> str:
    """`applyset-<base64url(sha256("<name>.<namespace>.<kind>.<group>"))>-v1`, padding stripped; a legal label value."""
    digest = hashlib.sha256(f"{name}.{namespace}.{kind}.{group}".encode()).digest()
    return f"applyset-{base64.urlsafe_b64encode(digest).decode().rstrip('=')}-v1"


def part_of(key: InstanceKey) -> str:
    """The label value that an instance's members carry."""
    return applyset_id(key.inventory_name, SYSTEM_NAMESPACE)
