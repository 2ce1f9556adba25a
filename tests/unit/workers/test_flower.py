"""What Flower is told, however it is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers import flower
from workers.app import broker_url, is_flower
from workers.settings import from_env


def protected(home: Path, **env: str) -> dict[str, str]:
    flower.protect(from_env({"UNDRIFT_HOME": str(home), **env}), env)
    return env


def test_flower_has_a_login_listens_here_and_only_shows(tmp_path: Path):
    env = protected(tmp_path)

    assert env["FLOWER_BASIC_AUTH"] == (tmp_path / "flower-login").read_text().strip()
    assert env["FLOWER_ADDRESS"] == "127.0.0.1"
    assert env["FLOWER_READ_ONLY"] == "true"
    assert env["FLOWER_MAX_TASKS"] == "10000"


@pytest.mark.parametrize(("value", "read_only"), [("1", "false"), ("0", "true"), ("yes", "true")])
def test_actions_are_allowed_by_one_value_only(tmp_path: Path, value: str, read_only: str):
    assert protected(tmp_path, UNDRIFT_FLOWER_ACTIONS=value)["FLOWER_READ_ONLY"] == read_only


def test_an_open_api_cannot_be_asked_for(tmp_path: Path):
    """Any web page that an operator visits could start tasks then."""
    assert "FLOWER_UNAUTHENTICATED_API" not in protected(tmp_path, FLOWER_UNAUTHENTICATED_API="true")


def test_a_file_in_the_current_folder_does_not_configure_flower(tmp_path: Path):
    """Flower would run `flowerconfig.py` of the folder it is started in."""
    assert protected(tmp_path)["FLOWER_CONF"] == "/dev/null"


def test_an_own_login_or_oauth_takes_the_place_of_ours(tmp_path: Path):
    assert protected(tmp_path, FLOWER_BASIC_AUTH="a:b")["FLOWER_BASIC_AUTH"] == "a:b"
    assert "FLOWER_BASIC_AUTH" not in protected(tmp_path, FLOWER_AUTH=r"ops@example\.com")


def test_only_flowers_command_line_is_flowers():
    assert is_flower(["celery", "-A", "workers", "flower"])
    assert not is_flower(["celery", "-A", "workers", "worker"])


def test_the_broker_is_the_same_redis_by_kombus_name():
    assert broker_url("unix:///tmp/undrift-x/s") == "redis+socket:///tmp/undrift-x/s?virtual_host=0"
    assert broker_url("rediss://queue:6379/2") == "rediss://queue:6379/2"
