"""The command line's frame: what is loaded, what is unknown, and how errors end a command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.errors import FleetError, GitUnreachable, UndriftError
from workers.cli import main as cli
from workers.settings import BadSetting

LOADED = """
import contextlib, sys
from workers.cli.main import main
with contextlib.suppress(SystemExit):
    main(["version"])
print(*sorted(name for name in ("redis", "celery", "kombu", "dulwich", "kubernetes", "rich.console") if name in sys.modules))
"""


def test_the_version_loads_nothing_that_is_slow():
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)

    version, loaded = done.stdout.splitlines()
    assert version.startswith("undrift ")
    assert loaded == ""


def test_an_unknown_command_ends_with_2_and_a_guess(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        cli.main(["clutser"])

    assert ended.value.code == 2
    assert "did you mean 'cluster'?" in capsys.readouterr().err


def test_every_command_is_in_the_overview(capsys: pytest.CaptureFixture[str]):
    cli.main([])

    shown = capsys.readouterr().out
    assert all(name in shown for name in cli.COMMANDS)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])

    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert f"undrift {name}" in shown


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (GitUnreachable("no route", subject="git"), 5),
        (FleetError("broken"), 2),
        (BadSetting("UNDRIFT_LEASE"), 2),
        (UndriftError("else"), 3),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_the_kind_of_an_error_is_its_exit_code(error: UndriftError, code: int):
    assert cli.exit_code(error) == code


def test_a_redis_that_is_away_is_one_line_and_5(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "workers.cli.main", "status"],
        env={"UNDRIFT_HOME": str(tmp_path), "UNDRIFT_REDIS_URL": f"unix://{tmp_path}/none"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 5
    assert done.stderr.startswith("undrift: Redis does not answer:")
    assert len(done.stderr.splitlines()) == 1


def test_a_home_that_is_gone_is_told_and_not_made_anew(tmp_path: Path):
    home = tmp_path / "gone"

    done = subprocess.run(
        [sys.executable, "-m", "workers.cli.main", "status"],
        env={"UNDRIFT_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 5
    assert done.stderr.startswith(
        f"undrift: no `undrift up` runs in {home}, and no other Redis was named; UNDRIFT_HOME"
    )
    assert not home.exists()


def test_a_fleet_that_is_a_file_is_told_with_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("UNDRIFT_HOME", str(tmp_path / "home"))
    file = tmp_path / "fleet.yaml"
    file.touch()

    with pytest.raises(SystemExit) as ended:
        cli.main(["up", "--fleet", str(file)])

    assert ended.value.code == 2
    assert f"{file} is a file, and a fleet is a folder: give {tmp_path}\n" in capsys.readouterr().err
