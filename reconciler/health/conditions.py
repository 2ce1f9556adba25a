"""Conditions, and the generic rules that need nothing but them.

A custom resource may have a status of any shape, so nothing here trusts one: what has not the shape of a condition is not
a condition.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from reconciler.model.health import Health, ObjectHealth
from reconciler.model.manifest import Raw

Rule = Callable[[Raw, datetime], ObjectHealth]
Condition = Mapping[str, Any]
HEALTHY = ObjectHealth(Health.HEALTHY)


def progressing(reason: str, message: str) -> ObjectHealth:
    return ObjectHealth(Health.PROGRESSING, reason, message)


def degraded(reason: str, message: str) -> ObjectHealth:
    return ObjectHealth(Health.DEGRADED, reason, message)


def suspended(reason: str, message: str) -> ObjectHealth:
    return ObjectHealth(Health.SUSPENDED, reason, message)


def part(value: Raw, name: str) -> Raw:
    """A map inside of a map; an empty one when it is missing or something else."""
    found = value.get(name)
    return found if isinstance(found, Mapping) else {}


def items(value: Raw, name: str) -> Sequence[Raw]:
    """The maps in a list inside of a map."""
    found = value.get(name)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def count(value: Raw, name: str, default: int = 0) -> int:
    """A number of things; the default when it is not reported."""
    found = value.get(name)
    return found if isinstance(found, int) else default


def listed(body: Raw) -> Sequence[Condition]:
    """The conditions in the order that the object lists them."""
    return items(part(body, "status"), "conditions")


def find(body: Raw, kind: str) -> Condition:
    """The condition of a type, an empty one when it is not reported."""
    return next((condition for condition in listed(body) if condition.get("type") == kind), {})


def is_true(body: Raw, kind: str) -> bool:
    return bool(find(body, kind).get("status") == "True")


def is_false(body: Raw, kind: str) -> bool:
    return bool(find(body, kind).get("status") == "False")


def reason(condition: Condition, otherwise: str) -> str:
    """The condition's reason code, where it gives one."""
    return str(condition.get("reason") or otherwise)


def text(condition: Condition) -> str:
    """The condition's own words."""
    return str(condition.get("message") or condition.get("reason") or condition.get("type"))


def abnormal(body: Raw) -> ObjectHealth | None:
    """Reconciling and Stalled, the abnormal-true conditions of kstatus, in the order the object lists them."""
    for condition in listed(body):
        if condition.get("status") != "True":
            continue
        if condition.get("type") == "Reconciling":
            return progressing(reason(condition, "Reconciling"), text(condition))
        if condition.get("type") == "Stalled":
            return degraded(reason(condition, "Stalled"), text(condition))
    return None


def ready(body: Raw) -> ObjectHealth:
    """Ready: not true is progressing, never degraded, since nothing says that it won't become so."""
    condition = find(body, "Ready")
    if condition.get("status") in ("False", "Unknown"):
        return progressing(reason(condition, "NotReady"), text(condition))
    return HEALTHY
