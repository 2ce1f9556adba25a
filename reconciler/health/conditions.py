"""Conditions, and the generic rules that need nothing but them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from reconciler.model.health import Health, ObjectHealth
from reconciler.model.manifest import Raw

Rule = Callable[[Raw, datetime], ObjectHealth]
HEALTHY = ObjectHealth(Health.HEALTHY)


def progressing(reason: str, message: str) -> ObjectHealth:
    return ObjectHealth(Health.PROGRESSING, reason, message)


def degraded(reason: str, message: str) -> ObjectHealth:
    return ObjectHealth(Health.DEGRADED, reason, message)


def find(body: Raw, kind: str) -> Mapping[str, Any] | None:
    """The condition of a type, None when it is not reported."""
    listed: list[Mapping[str, Any]] = (body.get("status") or {}).get("conditions") or []
    for condition in listed:
        if condition.get("type") == kind:
            return condition
    return None


def is_true(body: Raw, kind: str) -> bool:
    return (find(body, kind) or {}).get("status") == "True"


def text(condition: Mapping[str, Any]) -> str:
    """The condition's own words."""
    return str(condition.get("message") or condition.get("reason") or condition.get("type"))


def abnormal(body: Raw) -> ObjectHealth | None:
    """Reconciling and Stalled, the abnormal-true conditions of kstatus, in the order the object lists them."""
    for condition in (body.get("status") or {}).get("conditions") or ():
        if condition.get("status") != "True":
            continue
        if condition.get("type") == "Reconciling":
            return progressing(str(condition.get("reason") or "Reconciling"), text(condition))
        if condition.get("type") == "Stalled":
            return degraded(str(condition.get("reason") or "Stalled"), text(condition))
    return None


def ready(body: Raw) -> ObjectHealth:
    """Ready: not true is progressing, never degraded, since nothing says that it won't become so."""
    condition = find(body, "Ready")
    if condition is None or condition.get("status") == "True":
        return HEALTHY
    return progressing(str(condition.get("reason") or "NotReady"), text(condition))
