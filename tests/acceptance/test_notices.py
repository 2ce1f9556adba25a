"""Somebody is told, by the processes as shipped: across killed processes, a receiver that hangs, and FLUSHALL."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from reconciler.devcluster import Running
from tests.fixtures.installation import Install, eventually
from tests.notices import receiving
from tests.unit.workers.test_notices_how_to import make_receiver

SECRET = "a signing secret"


@pytest.mark.timeout(300)
def test_a_bad_commit_is_told_once_whatever_is_killed_and_its_end_is_told(
    install: Install, bare_cluster: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation = install([bare_cluster])
    name = f"told-{os.getpid()}"
    (installation.home / "credentials" / "webhook").write_text(SECRET)
    good = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n"
    installation.repo.commit({f"{name}/a.yaml": "apiVersion: v1\nkind: [\n"})
    installation.write_application(name)
    hang = threading.Event()
    with receiving() as receiver:
        monkeypatch.setenv("UNDRIFT_WEBHOOK_URL", receiver.url)
        monkeypatch.setenv("UNDRIFT_WEBHOOK_SECRET", "file:webhook")
        receiver.answer = lambda _: hang.wait(60)
        installation.start_scheduler()
        installation.start_worker(0)
        receiver.wait_for(1, 90)

        installation.kill("worker-0")
        installation.kill("scheduler")
        hang.set()
        receiver.answer = 204
        installation.start_scheduler()
        installation.start_worker(0)
        receiver.wait_for(2, 90)
        # Else the worker may write down that it told after Redis was emptied, and rightly tell nothing again.
        eventually(lambda: installation.store.notices.delivery().at is not None, "it is written down")
        installation.store.redis.flushall()
        receiver.wait_for(3, 120)
        installation.repo.commit({f"{name}/a.yaml": good})
        receiver.wait_for(4, 120)

        *failed, recovered = receiver.notices
        assert {(one["condition"], one["reason"]) for one in failed} == {("Failed", "InvalidManifest")}
        assert len({one["key"] for one in failed}) == 1
        assert (recovered["condition"], recovered["ends"]) == ("Recovered", failed[0]["key"])
        eventually(lambda: installation.store.notices.book() == {}, "nothing waits", 30)
        take = make_receiver(SECRET.encode())
        told = [take(headers, body) for headers, body in receiver.got]
        assert [one["condition"] for one in told if one] == ["Failed", "Recovered"], "repeats are dropped by their key"
        assert SECRET not in installation.log()
        assert "s3cret" not in installation.log() + Path(installation.home / "valkey.log").read_text()
