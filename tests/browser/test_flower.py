"""Flower as an operator sees it: tasks that read well, in a real browser; and a resync sent through its API."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import urllib.request
import uuid
from pathlib import Path

import orjson
import pytest

from reconciler.devcluster import Running
from tests.fixtures.installation import Install, Installation, eventually

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def name() -> str:
    return f"flower-{uuid.uuid4().hex[:6]}"


@pytest.fixture
def watched(
    install: Install, bare_cluster: Running, name: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[Installation, int]:
    """An installation with one application, a worker and Flower with actions allowed."""
    monkeypatch.setenv("UNDRIFT_FLOWER_ACTIONS", "1")
    installation = install([bare_cluster])
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {a: '1'}\n"
    installation.repo.commit({f"{name}/a.yaml": text})
    port = free_port()
    installation.start("flower", "flower", "--port", str(port))
    eventually(lambda: answers(port), "Flower answers")
    installation.start_worker(0)
    installation.write_application(name)
    installation.start_scheduler()
    eventually(lambda: installation.are_synced(1), "it is in sync")
    return installation, port


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def login(installation: Installation) -> tuple[str, str]:
    user, _, password = (installation.home / "flower-login").read_text().strip().partition(":")
    return user, password


def ask(installation: Installation, port: int, path: str, body: object = None) -> bytes:
    """A request to Flower's API with its login."""
    token = base64.b64encode(":".join(login(installation)).encode()).decode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        data=orjson.dumps(body) if body is not None else None,
        headers={"Authorization": f"Basic {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return bytes(answer.read())


def test_a_resync_sent_through_flowers_api_happens(watched: tuple[Installation, int], name: str) -> None:
    installation, port = watched

    ask(
        installation, port, "/api/task/send-task/undrift.resync", {"kwargs": {"application": name, "reason": "by hand"}}
    )

    eventually(lambda: '"undrift.resync"' in installation.log() or "resync_asked" in installation.log(), "it was taken")
    eventually(lambda: "by hand" in ask(installation, port, "/api/tasks?limit=50").decode(), "its sync is shown")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: .ci/run installs it from a package registry")
def test_the_tasks_page_reads_well(watched: tuple[Installation, int], name: str, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    installation, port = watched
    user, password = login(installation)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(
            http_credentials={"username": user, "password": password}, viewport={"width": 1400, "height": 700}
        )
        page.goto(f"http://127.0.0.1:{port}/tasks")
        page.wait_for_selector("td:has-text('sync')", timeout=30_000)
        text = page.inner_text("body")
        picture = Path(os.environ.get("UNDRIFT_PICTURES", tmp_path)) / "flower-tasks.png"
        page.screenshot(path=picture)
        browser.close()

    assert "sync" in text
    assert f"{name}@bare " in text
    assert picture.stat().st_size > 10_000
