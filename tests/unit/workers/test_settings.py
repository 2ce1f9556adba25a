"""Settings: what the environment says, and what an installation makes for itself at its first start."""

from __future__ import annotations

import stat
import threading
import uuid
from pathlib import Path

import pytest

from workers import settings
from workers.settings import BadSetting, Settings, from_env


def made(home: Path, **env: str) -> Settings:
    return from_env({"UNDRIFT_HOME": str(home), **env})


def test_the_home_is_made_for_its_owner_only(tmp_path: Path):
    home = made(tmp_path / "state" / "undrift").home

    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_a_home_of_ours_that_others_could_read_is_closed(tmp_path: Path):
    (tmp_path / "home").mkdir(mode=0o755)

    assert stat.S_IMODE(made(tmp_path / "home").home.stat().st_mode) == 0o700


def test_a_shared_folder_stays_shared(tmp_path: Path):
    """`UNDRIFT_HOME=/tmp` is unwise, but closing /tmp would break the machine."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)

    assert stat.S_IMODE(made(tmp_path / "shared").home.stat().st_mode) == 0o1777


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")

    with pytest.raises(BadSetting, match=f"UNDRIFT_HOME={tmp_path}/file/home: Not a directory"):
        made(tmp_path / "file" / "home")


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("UNDRIFT_LEASE", "61", "more than 0 and at most 60"),
        ("UNDRIFT_LEASE", "0", "more than 0 and at most 60"),
        ("UNDRIFT_LEASE", "nan", "more than 0 and at most 60"),
        ("UNDRIFT_LEASE", "soon", "a number"),
        ("UNDRIFT_CONCURRENCY", "-1", "more than 0 and at most 64"),
        ("UNDRIFT_FLOWER_PORT", "70000", "more than 0 and at most 65535"),
        ("UNDRIFT_CHILD_MEMORY", "much", "a number"),
    ],
)
def test_a_number_out_of_range_names_the_variable_and_what_is_accepted(
    tmp_path: Path, name: str, value: str, accepted: str
):
    with pytest.raises(BadSetting, match=f"{name}='{value}': expected {accepted}"):
        made(tmp_path, **{name: value})


def test_nothing_set_gives_the_defaults(tmp_path: Path):
    chosen = made(tmp_path)

    assert (chosen.lease_s, chosen.concurrency, chosen.flower_port) == (30.0, 4, 5555)
    assert chosen.redis_url == "redis://127.0.0.1:6379/0"
    assert not chosen.flower_actions
    assert chosen.repository_poll_s is chosen.scan_every_s is chosen.credentials is None


def test_the_socket_of_a_running_up_is_found_by_its_home(tmp_path: Path):
    (tmp_path / settings.SOCKET_NOTE).write_text("/tmp/undrift-x/s\n")

    assert made(tmp_path).redis_url == "unix:///tmp/undrift-x/s"
    assert made(tmp_path, UNDRIFT_REDIS_URL="redis://queue:6379").redis_url == "redis://queue:6379"


def test_an_installation_keeps_its_uuid(tmp_path: Path):
    first = made(tmp_path).installation()

    assert uuid.UUID(first)
    assert made(tmp_path).installation() == first
    assert made(tmp_path / "other").installation() != first


def test_the_installation_of_several_machines_is_given(tmp_path: Path):
    given = str(uuid.uuid4())

    assert made(tmp_path, UNDRIFT_INSTALLATION=given.upper()).installation() == given
    with pytest.raises(BadSetting, match="expected a UUID"):
        made(tmp_path, UNDRIFT_INSTALLATION="production").installation()


def test_processes_that_start_at_once_agree_on_the_uuid(tmp_path: Path):
    """Whoever came second once read the file between its creation and its first byte."""
    chosen, found, start = made(tmp_path), [], threading.Barrier(8)

    def ask() -> None:
        start.wait()
        found.append(chosen.installation())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(found)) == 1
    assert uuid.UUID(found[0])
    assert [path.name for path in tmp_path.iterdir()] == ["installation"]


def test_flowers_login_is_random_kept_and_private(tmp_path: Path):
    user, password = made(tmp_path).flower_login()

    assert user == "undrift"
    assert len(password) >= 16
    assert made(tmp_path).flower_login() == (user, password)
    assert stat.S_IMODE(made(tmp_path).login_file.stat().st_mode) == 0o600
    assert made(tmp_path / "other").flower_login()[1] != password


def test_a_webhook_names_where_its_secret_is(tmp_path: Path):
    url = "https://hooks.example.com:8443/a?b=c"

    by_file = made(tmp_path, UNDRIFT_WEBHOOK_URL=url, UNDRIFT_WEBHOOK_SECRET="file:webhook").webhook
    by_env = made(tmp_path, UNDRIFT_WEBHOOK_URL=url, UNDRIFT_WEBHOOK_SECRET="env:UNDRIFT_CRED_HOOK").webhook

    assert by_file is not None
    assert by_env is not None
    assert (by_file.url, by_file.secret.file, by_env.secret.env) == (url, "webhook", "UNDRIFT_CRED_HOOK")
    assert url not in repr(by_file)


def test_without_a_url_there_is_no_webhook(tmp_path: Path):
    assert made(tmp_path, UNDRIFT_WEBHOOK_SECRET="file:webhook").webhook is None


@pytest.mark.parametrize(
    "url",
    [
        "ftp://hooks.example.com/hidden",
        "file:///etc/hidden",
        "hidden",
        "https:///hidden",
        "https://user:hidden@hooks.example.com/",
        "https://hooks.example.com/hid den",
        "https://hooks.example.com:0/hidden",
        "https://hooks.example.com:99999/hidden",
        "https://hooks.example.com/#hidden",
        "https://hooks.example.com/hidden\r\nX: y",
    ],
)
def test_a_webhook_that_is_no_plain_http_url_is_refused_without_showing_it(tmp_path: Path, url: str):
    with pytest.raises(BadSetting, match="UNDRIFT_WEBHOOK_URL: expected") as error:
        made(tmp_path, UNDRIFT_WEBHOOK_URL=url, UNDRIFT_WEBHOOK_SECRET="file:webhook")

    assert "hid" not in error.value.message


@pytest.mark.parametrize("secret", ["", "hidden", "file:", "env:", "env:HOME", "secret:a/hidden/c"])
def test_a_webhook_without_a_reference_to_its_secret_is_refused_without_showing_it(tmp_path: Path, secret: str):
    with pytest.raises(BadSetting, match="UNDRIFT_WEBHOOK_SECRET: expected") as error:
        made(tmp_path, UNDRIFT_WEBHOOK_URL="https://hooks.example.com/", UNDRIFT_WEBHOOK_SECRET=secret)

    assert "hidden" not in error.value.message
