"""`undrift app sync` as somebody types it who has just pushed."""

from __future__ import annotations

import os

import pytest

from reconciler.devcluster import Running
from reconciler.model.instance import InstanceKey
from tests.acceptance.test_freeze import undrift
from tests.acceptance.test_kills import filled
from tests.fixtures.installation import Install, eventually


@pytest.mark.timeout(200)
def test_a_sync_right_after_a_push_is_of_that_push(install: Install, bare_cluster: Running) -> None:
    """It answered that there was nothing to do, at the commit before: the repository is looked at only now and then."""
    name = f"pushed-{os.getpid()}"
    installation = install([bare_cluster])
    installation.env["UNDRIFT_REPOSITORY_POLL"] = "3600"
    filled(installation, 1, name)
    key = InstanceKey("default", f"{name}-0", bare_cluster.name)
    installation.start_scheduler()
    installation.start_worker(0)
    eventually(lambda: installation.are_synced(1), "all is applied")

    commit = installation.repo.commit({f"{name}-0/a.yaml": None})
    told = undrift(installation, "app", "sync", key.short)

    assert told.returncode == 0, told
    assert commit[:7] in told.stdout
    assert installation.statuses()[key].applied_revision == commit
