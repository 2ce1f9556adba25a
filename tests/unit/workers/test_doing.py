"""The health that a scan saw, in a status that a sync has written."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from reconciler.model.health import Health, ObjectHealth
from reconciler.model.inventory import Applied, Proof
from reconciler.model.manifest import ObjectKey
from reconciler.model.status import InstanceStatus, ObjectEntry
from reconciler.pipeline.scan import Finding
from tests.worlds import KEY
from workers.store.status import blank
from workers.tasks.doing import with_health

WEB, MAP = ObjectKey("apps", "Deployment", "web", "web"), ObjectKey("", "ConfigMap", "web", "one")


def status(web: str = "Healthy", **update: object) -> InstanceStatus:
    objects = tuple(ObjectEntry(key=key.to_text(), sync="Synced", health=web) for key in (WEB, MAP))
    known = {"objects": objects, "health": web, "phase": "Idle", "reason": "Synced", "message": "2 created"}
    return blank(KEY).model_copy(update=known | update)


def seen(web: Health, message: str = "") -> Finding:
    return Finding(health={WEB: ObjectHealth(web, message=message), MAP: ObjectHealth(Health.HEALTHY)})


def test_what_degrades_is_told_and_named():
    after = with_health(status(), seen(Health.DEGRADED, "2 of 2 Pods can't pull"))

    assert (after.health, after.reason) == ("Degraded", "Degraded")
    assert after.message == "degraded: Deployment web/web: 2 of 2 Pods can't pull"


@pytest.mark.parametrize("reason", ["Degraded", "HealthTimeout"])
def test_what_is_well_again_is_told(reason: str):
    after = with_health(status("Degraded", reason=reason), seen(Health.HEALTHY))

    assert (after.health, after.reason, after.message) == ("Healthy", "Synced", "healthy again")


@pytest.mark.parametrize("phase", ["Held", "Failed", "Waiting"])
def test_health_does_not_hide_what_else_is_told(phase: str):
    after = with_health(status(phase=phase, reason="Other", message="words"), seen(Health.DEGRADED))

    assert (after.health, after.phase, after.reason, after.message) == ("Degraded", phase, "Other", "words")


def test_what_a_look_could_not_tell_stays_as_it_was():
    assert with_health(status("Degraded"), Finding(unseen=True)).health == "Degraded"
    assert with_health(status("Degraded"), Finding(health={MAP: ObjectHealth(Health.HEALTHY)})).health == "Degraded"


def test_of_an_instance_of_which_nothing_is_known_the_inventory_names_the_objects():
    applied = Applied(7, "c", "d", datetime.now(UTC), {WEB: Proof("e", "f"), MAP: Proof("e", "f")})
    health = {WEB: ObjectHealth(Health.HEALTHY), MAP: ObjectHealth(Health.HEALTHY)}

    assert with_health(blank(KEY), Finding(applied=applied, health=health)).health == "Healthy"
    without = with_health(blank(KEY), Finding(applied=applied, health={MAP: ObjectHealth(Health.HEALTHY)}))
    assert without.health == "Unknown"
