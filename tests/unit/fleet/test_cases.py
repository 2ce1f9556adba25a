"""Broken fleets and what is said of them, word by word: each folder of tests/cases/fleet has its `expected.txt`.

`python -m tests.unit.fleet.test_cases` writes them anew; read the difference before you commit it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.fleet import expand, load
from reconciler.source import FolderTree

CASES = sorted(path for path in (Path(__file__).parents[2] / "cases" / "fleet").iterdir() if path.is_dir())


def said(case: Path) -> str:
    """All that loading and expanding a case says, and what comes of it."""
    found = load(FolderTree(case / "fleet"))
    expansion = expand(found)
    lines = [str(problem) for problem in expansion.problems]
    lines += [f"note: {note}" for note in expansion.notes]
    lines += [f"broken: {kind} {name}" for kind, name in sorted(found.broken)]
    lines += [f"doubtful: {file}" for file in found.doubtful]
    lines += [f"in force: {kind} {name}" for kind, name in found.entries]
    lines += [f"instance: {key}" for key in expansion.specs]
    return "".join(f"{line}\n" for line in lines)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_broken_fleet_is_described_in_these_words(case: Path) -> None:
    assert said(case) == (case / "expected.txt").read_text()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_no_message_repeats_what_may_be_secret(case: Path) -> None:
    assert "not-to-be-shown" not in said(case)


if __name__ == "__main__":
    for one in CASES:
        (one / "expected.txt").write_text(said(one))
