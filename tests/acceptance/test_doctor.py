"""`undrift doctor` on an installation that is well, and on one where things are missing."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from reconciler.devcluster import Running
from tests.acceptance.test_freeze import undrift
from tests.acceptance.test_kills import filled
from tests.fixtures.installation import Install, Installation, eventually


def findings(found: subprocess.CompletedProcess[str]) -> dict[str, set[str]]:
    """The checks by level."""
    by_level: dict[str, set[str]] = {}
    for one in json.loads(found.stdout)["items"]:
        by_level.setdefault(one["level"], set()).add(one["check"].split()[0])
    return by_level


def examined(installation: Installation) -> tuple[int, dict[str, set[str]]]:
    done = undrift(installation, "doctor", "-o", "json")
    return done.returncode, findings(done)


@pytest.mark.timeout(200)
def test_it_finds_what_is_missing_and_nothing_where_all_is_well(install: Install, bare_cluster: Running) -> None:
    installation = install([bare_cluster])
    filled(installation, 1, f"doctor-{os.getpid()}")
    status, found = examined(installation)
    assert (status, found["fail"]) == (3, {"scheduler", "workers"})

    installation.start_scheduler()
    installation.start_worker(0)
    eventually(lambda: installation.are_synced(1), "all is applied")
    eventually(lambda: installation.store.outbox.length() == 0, "the journal is written")
    done = undrift(installation, "doctor")
    assert "mode Active" in done.stdout, done
    assert "Schedulers on several machines need UNDRIFT_JOURNAL_REPO" in done.stdout
    status, found = examined(installation)
    # Other tests' installations own things on this cluster, too; that is all there is to warn of.
    assert status in (0, 1), found
    assert found["ok"] >= {"redis", "scheduler", "workers", "fleet", "journal", "disk", "repository", "cluster"}
    assert found.get("warn", set()) <= {"cluster", "render"}  # where the kernel lets nobody leave the network

    installation.repo.path.rename(installation.repo.path.with_name("moved.git"))
    kubeconfig = installation.home / "credentials" / f"{bare_cluster.name}.yaml"
    kubeconfig.write_text(kubeconfig.read_text().replace("127.0.0.1", "127.0.0.9"))
    status, found = examined(installation)
    assert (status, found["away"]) == (5, {"repository", "cluster"})

    for path in (installation.home / "journal.git" / "objects").glob("??/*"):
        path.unlink()
    undrift(installation, "freeze", "--all", "--reason", "it is broken")
    status, found = examined(installation)
    assert (status, found["fail"]) == (3, {"journal"})
    assert "brakes" in found["warn"]
