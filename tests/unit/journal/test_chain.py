"""The journal: what is kept, what a verification finds, and that nothing can be changed without it showing."""

from __future__ import annotations

import shutil
import zlib
from contextlib import closing
from pathlib import Path

import pytest
from dulwich.repo import Repo
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.clock import ManualClock
from reconciler.errors import JournalBroken
from reconciler.journal import Journal
from reconciler.journal.compact import compact


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.git", ManualClock())


def entry(name: str) -> dict[str, object]:
    return {"id": name, "kind": "sync", "subject": name}


def filled(journal: Journal) -> list[str]:
    """Three batches; their commits."""
    batches = [[entry("a"), entry("b")], [entry("c")], [entry("d"), entry("e")]]
    return [journal.append(batch, {"brakes": [number]}) for number, batch in enumerate(batches)]


def test_what_is_appended_is_read_back_newest_first(journal: Journal):
    filled(journal)

    assert [(one["number"], one["subject"]) for one in journal.entries()] == [
        (5, "e"),
        (4, "d"),
        (3, "c"),
        (2, "b"),
        (1, "a"),
    ]
    assert journal.state() == {"brakes": [2]}
    assert journal.verify(journal.head()).problem == ""


def test_a_journal_that_was_never_written_is_empty(journal: Journal):
    assert (journal.head(), journal.state(), list(journal.entries())) == (None, None, [])
    assert journal.verify().problem == ""


def test_entries_committed_before_a_crash_are_not_kept_twice(journal: Journal):
    """The leader died between its commit and the note of it: the next one finds the same entries waiting."""
    journal.append([entry("a"), entry("b")], {})
    head = journal.append([entry("b"), entry("c")], {})

    assert journal.append([entry("c")], {}) == head
    assert [one["subject"] for one in journal.entries()] == ["c", "b", "a"]


def test_a_changed_entry_shows(journal: Journal):
    filled(journal)
    objects = sorted(path for path in (journal.path / "objects").glob("??/*"))
    changed = next(path for path in objects if b'"subject":"c"' in zlib.decompress(path.read_bytes()))
    text = zlib.decompress(changed.read_bytes()).replace(b'"subject":"c"', b'"subject":"x"')
    changed.chmod(0o600)
    changed.write_bytes(zlib.compress(text))

    assert "is missing or damaged" in journal.verify().problem
    with pytest.raises(JournalBroken):
        list(journal.entries())


def test_a_missing_object_shows(journal: Journal):
    commits = filled(journal)
    (journal.path / "objects" / commits[1][:2] / commits[1][2:]).unlink()

    assert "is missing or damaged" in journal.verify().problem
    assert journal.state() == {"brakes": [2]}


def test_a_rewritten_history_shows(journal: Journal, tmp_path: Path):
    """Whole in itself, every hash right: but not the chain that was known before."""
    known = filled(journal)[-1]
    shutil.rmtree(journal.path)
    for name in "abcde":
        journal.append([entry(f"other-{name}")], {})

    assert journal.verify().problem == ""
    assert "rewritten" in journal.verify(known).problem


def test_a_journal_that_is_gone_shows(journal: Journal):
    known = filled(journal)[-1]
    shutil.rmtree(journal.path)

    assert "the journal is gone" in journal.verify(known).problem


def test_a_cut_history_shows(journal: Journal):
    """The newest commits taken off: the chain is whole, and ends before what was known."""
    commits = filled(journal)
    (journal.path / "refs" / "heads" / "main").write_text(commits[0] + "\n")

    assert journal.verify().problem == ""
    assert "rewritten" in journal.verify(commits[-1]).problem


def test_a_commit_is_in_the_chain_or_it_is_not(journal: Journal):
    commits = filled(journal)

    assert all(map(journal.has, commits))
    assert not journal.has("0" * 40)


def test_a_commit_that_was_cut_away_is_not_in_the_chain(journal: Journal):
    """Its object may still be here."""
    commits = filled(journal)
    (journal.path / "refs" / "heads" / "main").write_text(commits[0] + "\n")

    assert [journal.has(one) for one in commits] == [True, False, False]


def test_whether_a_damaged_commit_is_in_the_chain_nobody_can_say(journal: Journal):
    commits = filled(journal)
    damaged = journal.path / "objects" / commits[1][:2] / commits[1][2:]
    damaged.chmod(0o600)
    damaged.write_bytes(b"damaged")

    with pytest.raises(JournalBroken):
        journal.has(commits[1])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.text(max_size=20), min_size=1, max_size=5), max_size=8))
def test_any_batches_come_back_in_order(tmp_path_factory: pytest.TempPathFactory, batches: list[list[str]]):
    journal = Journal(tmp_path_factory.mktemp("journal") / "j.git", ManualClock())
    for number, batch in enumerate(batches):
        journal.append([{"id": f"{number}.{index}", "subject": text} for index, text in enumerate(batch)], number)

    flat = [text for batch in batches for text in batch]
    assert [one["subject"] for one in journal.entries()] == flat[::-1]
    assert [one["number"] for one in journal.entries()] == list(range(len(flat), 0, -1))
    verdict = journal.verify(journal.head())
    assert (verdict.problem, verdict.entries, verdict.commits) == ("", len(flat), len(batches))


def long(journal: Journal, count: int = 30) -> list[str]:
    return [journal.append([entry(f"{number}.a"), entry(f"{number}.b")], {"n": number}) for number in range(count)]


def test_a_compacted_journal_keeps_its_chain_and_its_newest_entries(journal: Journal):
    known = long(journal)

    assert compact(journal, keep=10, most=40) == 50

    numbers = [one["number"] for one in journal.entries()]
    assert numbers == list(range(61, 50, -1))
    assert journal.state() == {"n": 29}
    for head in (known[0], known[-1], journal.head()):
        verdict = journal.verify(head)
        assert (verdict.problem, verdict.commits, verdict.entries) == ("", 31, 11)
    with closing(Repo(str(journal.path))) as repo:
        dropped = repo[repo[known[3].encode()].tree][b"entries.jsonl"][1]
        assert dropped not in repo.object_store
    journal.append([entry("after")], {})
    assert journal.verify(known[0]).problem == ""
    assert next(iter(journal.entries()))["number"] == 62


def test_it_is_compacted_only_when_there_is_much_and_again_when_there_is_again(journal: Journal):
    long(journal, 10)
    assert compact(journal, keep=10, most=40) == 0

    long(journal, 20)
    assert compact(journal, keep=10, most=40) == 50
    assert compact(journal, keep=10, most=40) == 0
    long(journal, 20)
    assert compact(journal, keep=10, most=40) == 41
    assert journal.verify().problem == ""


def test_an_entry_that_went_without_being_compacted_shows(journal: Journal):
    long(journal)
    compact(journal, keep=10, most=40)
    known = journal.append([entry("last")], {})
    with closing(Repo(str(journal.path))) as repo:
        blob = repo[repo[known.encode()].tree][b"entries.jsonl"][1].decode()
    (journal.path / "objects" / blob[:2] / blob[2:]).unlink()

    assert "is missing or damaged" in journal.verify().problem


def test_one_that_was_killed_between_two_renames_is_whole(journal: Journal):
    head = long(journal, 3)[-1]
    journal.path.rename(journal.path.with_name(f"{journal.path.name}.before"))

    assert journal.exists
    assert journal.head() == head
    assert journal.verify(head).problem == ""
