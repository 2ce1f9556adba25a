"""The example fleet is valid as it stands in the repository, also without any cluster or Git host."""

from __future__ import annotations

import re
from pathlib import Path

from reconciler.fleet import expand, load
from reconciler.source import FolderTree

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_the_example_fleet_has_no_problem_and_nothing_to_note():
    expansion = expand(load(FolderTree(EXAMPLES / "fleet")))

    assert (expansion.problems, expansion.notes) == ((), ())
    assert {key.application for key in expansion.specs} == {"guestbook", "web", "shop", "flags"}
    assert {key.cluster for key in expansion.specs} == {"dev-1", "dev-2", "dev-3"}
    assert len(expansion.specs) == 12


def test_every_folder_that_the_example_fleet_names_exists():
    specs = expand(load(FolderTree(EXAMPLES / "fleet"))).specs.values()

    assert all((EXAMPLES / "apps" / spec.source.path).is_dir() for spec in specs)


def test_the_examples_name_no_host_but_example_com():
    hosts = {
        host
        for path in EXAMPLES.rglob("*.yaml")
        for host in re.findall(r"(?:https?://|image: *)([a-z0-9.-]+)/", path.read_text())
    }

    assert hosts == {"git.example.com", "registry.example.com"}
