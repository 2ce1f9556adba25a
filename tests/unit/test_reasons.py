"""Every reason code that an instance can have stands in `docs/reference/reasons.md`, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from reconciler import errors
from reconciler.credentials import CredentialMissing
from reconciler.model.record import Phase, Sync

ROOT = Path(__file__).parents[2]
CODE = re.compile(r"[A-Z][a-z]+(?:[A-Z][a-z]+)*")

SETTERS = {
    "reconciler/model/brake.py",
    "reconciler/model/status.py",
    "reconciler/pipeline/verdict.py",
    "reconciler/plan/brakes.py",
    "reconciler/plan/decide.py",
    "workers/mistakes.py",
    "workers/scheduler/leaving.py",
    "workers/scheduler/rescue.py",
    "workers/store/composed.py",
    "workers/store/status.py",
    "workers/tasks/leased.py",
    "workers/tasks/leaving.py",
    "workers/tasks/doing.py",
    "workers/tasks/judging.py",
    "workers/tasks/recorded.py",
    "workers/tasks/syncing.py",
}
"""The modules that write a reason; each word in them that looks like a code is one, or stands below."""

OTHER_WORDS = {
    "phases, syncs and health": {
        "Failed",
        "Healthy",
        "Held",
        "Idle",
        "Missing",
        "OutOfSync",
        "Queued",
        "Suspended",
        "Syncing",
        "Unknown",
        "Waiting",
    },
    "what is asked for": {"Delete", "Deletions", "HandOver", "Heal", "Ignore", "Manual", "Orphan", "Remove", "Report"},
    "results, and answers to requests": {"Deleted", "Moved", "Unchanged"},
    "events": {"Revived"},
}

OTHER_TOLD = {"reconciler/notify/book.py", "workers/store/notices.py", "workers/cli/planned.py"}
"""Their `Told` is another thing, without a reason of an instance."""

NEVER_SHOWN = {
    "UndriftError", "LeaseError", "SourceError", "RenderError", "ClusterError", "ApplyError",  # roots, never raised
    "LeaseLost", "FencedOut",  # the record is not stored
    "JournalBroken",  # an event, and in `doctor`
    "InventoryNotRead",  # the pipeline reads it, then
    "FleetError",  # of the fleet's files, in `status`
    "NoAnswer",  # told as Unreachable
    "GitCrowded",  # told as GitBusy
}  # fmt: skip


def codes_of_errors() -> set[str]:
    """The names of all errors that can end a pass."""
    classes = {name for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, Exception)}
    assert classes >= NEVER_SHOWN
    return (classes | {CredentialMissing.__name__}) - NEVER_SHOWN


def words_of(file: str) -> set[str]:
    """Texts in a module that look like a code."""
    tree = ast.parse((ROOT / file).read_text())
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return {text for text in texts if CODE.fullmatch(text)}


def rows() -> Iterator[list[str]]:
    """The table's rows: reason, phases, syncs, meaning, what next."""
    for line in (ROOT / "docs/reference/reasons.md").read_text().splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def documented() -> set[str]:
    return {row[0].strip("` ") for row in rows()}


def test_every_code_of_the_source_is_in_the_table_and_every_code_of_the_table_in_the_source():
    others = set().union(*OTHER_WORDS.values())
    written = set().union(*(words_of(file) for file in SETTERS))

    assert (codes_of_errors() | (written - others)) == documented()


def test_what_is_said_to_be_no_code_still_occurs():
    written = set().union(*(words_of(file) for file in SETTERS))

    assert set().union(*OTHER_WORDS.values()) - written == set()


def test_reasons_are_written_in_the_known_modules_only():
    """A new module that writes statuses with a reason has to be listed here, so that its codes are looked at."""
    found = {
        str(path.relative_to(ROOT))
        for path in [*(ROOT / "reconciler").rglob("*.py"), *(ROOT / "workers").rglob("*.py")]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and _sets_a_reason(node)
    }

    assert found - OTHER_TOLD <= SETTERS


def _sets_a_reason(call: ast.Call) -> bool:
    name = _name(call.func)
    return name in ("Told", "Hold") or (name in ("model_copy", "InstanceStatus") and "'reason'" in ast.unparse(call))


def _name(called: ast.expr) -> str:
    return called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""


def test_every_row_is_whole():
    phases, syncs = set(Phase), {*Sync, "as before"}
    for reason, phase, sync, meaning, then in rows():
        assert set(phase.split(", ")) <= phases, reason
        assert set(sync.split(", ")) <= syncs, reason
        assert meaning.endswith("."), reason
        assert then.rstrip("|").strip().endswith("."), reason
    assert len(list(rows())) == len(documented()), "a code stands twice"
