"""The red button, on the processes as shipped: nothing is written after it was pressed, also when Redis is emptied."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.devcluster import Running
from tests.acceptance import audit
from tests.acceptance.test_kills import INSTANCES, WITHIN_S, running, synced
from tests.fixtures.installation import COMMAND, LEASE_S, Install, Installation, eventually


def undrift(installation: Installation, *words: str) -> subprocess.CompletedProcess[str]:
    """A command as an operator types it."""
    return subprocess.run([*COMMAND, *words], env=installation.env, text=True, capture_output=True, timeout=60)


@pytest.mark.timeout(600)
def test_a_freeze_in_the_middle_of_a_sync_stops_every_write_until_it_is_thawed(
    install: Install, bare_cluster: Running
) -> None:
    begun = datetime.now(UTC)
    installation = running(install, bare_cluster, f"freeze-{os.getpid()}")
    eventually(lambda: synced(installation) > 30, "the sync has begun", WITHIN_S)

    frozen = undrift(installation, "freeze", "--all", "--reason", "incident 4711")
    pressed = datetime.now(UTC)
    assert (frozen.returncode, "kept in the journal" in frozen.stdout) == (0, True), frozen

    assert synced(installation) < INSTANCES
    installation.store.redis.flushall()
    eventually(lambda: installation.store.due.is_known(), "the scheduler has noticed")
    eventually(lambda: datetime.now(UTC) > pressed + timedelta(seconds=3 * LEASE_S), "three lease lengths", 60)
    eventually(lambda: len(installation.statuses()) == INSTANCES, "the fleet is published again")
    assert {one.phase for one in installation.statuses().values()} == {"Paused"}
    assert "incident 4711" in next(iter(installation.statuses().values())).message
    assert bare_cluster.audit_log is not None
    late = [one for one in audit.writes(bare_cluster.audit_log, begun) if one.began > pressed]
    assert late == []

    thawed = undrift(installation, "thaw", "--all", "--reason", "solved")
    assert thawed.returncode == 0, thawed
    eventually(lambda: installation.are_synced(INSTANCES), "all instances are in sync", WITHIN_S)
    found = list(audit.writes(bare_cluster.audit_log, begun))
    assert [one for one in found if one.verb == "delete"] == []
    assert audit.writes_under_an_old_fence(found) == []
    verified = undrift(installation, "journal", "verify")
    assert verified.returncode == 0, verified
    listed = undrift(installation, "journal", "list", "--subject", "all").stdout
    assert "incident 4711" in listed
    assert "solved" in listed
