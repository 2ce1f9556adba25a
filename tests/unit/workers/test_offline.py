"""Which fleet, and which of its instances, a word and the options of `undrift fleet` mean."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workers import settings
from workers.cli import offline
from workers.cli.offline import Meant


@pytest.mark.parametrize(
    ("word", "fleet", "expected"),
    [
        ("", "", Meant(".")),
        ("here", "", Meant("here")),
        (".", "", Meant(".")),
        ("web", "", Meant(".", "web")),
        ("shop/web", "", Meant(".", "shop/web")),
        ("https://git.example.com/fleet.git", "", Meant("https://git.example.com/fleet.git")),
        ("git@git.example.com:fleet.git", "", Meant("git@git.example.com:fleet.git")),
        ("here", ".", Meant(".", "here")),
        ("web", "here", Meant("here", "web")),
        ("", "here", Meant("here")),
    ],
)
def test_a_word_is_the_fleet_when_it_is_a_folder_or_a_url(
    word: str, fleet: str, expected: Meant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)

    assert Meant.by(word, fleet) == expected


def test_local_clusters_are_those_of_the_up_that_runs(tmp_path: Path) -> None:
    env = {"UNDRIFT_HOME": str(tmp_path)}
    found = settings.from_env(env)
    assert offline.local_clusters(found) == ()

    found.up_note.write_text(json.dumps({"devClusters": ["dev-1", "dev-2"]}))

    assert offline.local_clusters(found) == ("dev-1", "dev-2")
    assert offline.local_clusters(settings.from_env({**env, "UNDRIFT_DEV_CLUSTERS": "dev-7"})) == ("dev-7",)
