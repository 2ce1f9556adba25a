"""Where a fleet is said to be: what is read otherwise than it was meant is refused, and not shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import PathNotFound
from reconciler.source import open_fleet


@pytest.mark.parametrize(
    "location",
    [
        "https://u:hunter2/SLASH@127.0.0.1:1/x",
        "https://u:12345/hunter2@127.0.0.1/x@y/z@main",
        "https://127.0.0.1:1/x?token=hunter2",
        "https://127.0.0.1:1/x#hunter2",
        "https://u:hunter2 @127.0.0.1:1/x y",
        "https://u:hunter2@[127.0.0.1:1/x",
    ],
)
def test_a_password_in_an_odd_place_is_refused_and_not_shown(location: str, tmp_path: Path) -> None:
    room: Any = None  # it is not asked

    with pytest.raises(PathNotFound, match="the fleet's location: ") as refused, open_fleet(location, room):
        pass

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("location", "url", "branch"),
    [
        ("https://git.example.com/fleet.git", "https://git.example.com/fleet.git", "main"),
        ("https://me:secret@git.example.com/fleet.git@prod", "https://me:secret@git.example.com/fleet.git", "prod"),
        ("ssh://git@git.example.com:22/fleet.git", "ssh://git@git.example.com:22/fleet.git", "main"),
        ("git@git.example.com:a/fleet.git", "git@git.example.com:a/fleet.git", "main"),
        ("file:///srv/git/fleet.git@prod", "file:///srv/git/fleet.git", "prod"),
    ],
)
def test_a_location_may_name_a_branch(location: str, url: str, branch: str) -> None:
    class Room:
        """Says what it was asked."""

        def resolve(self, access: Any, ref: Any) -> Any:
            asked.append((access.url, ref.branch))
            raise PathNotFound("enough")

    asked: list[tuple[str, str]] = []
    room: Any = Room()

    with pytest.raises(PathNotFound, match="enough"), open_fleet(location, room):
        pass

    assert asked == [(url, branch)]


def test_a_file_is_told_apart_from_what_is_not_there(tmp_path: Path) -> None:
    room: Any = None  # it is not asked
    file = tmp_path / "fleet.yaml"
    file.touch()

    with pytest.raises(PathNotFound, match=f"is a file, and a fleet is a folder: give {tmp_path}$"):
        open_fleet(str(file), room).__enter__()
    with pytest.raises(PathNotFound, match=r"none does not exist$"):
        open_fleet(str(tmp_path / "none"), room).__enter__()
