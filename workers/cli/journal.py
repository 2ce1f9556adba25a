"""`undrift journal`: what was done and decided, by whom and why, as the state volume keeps it."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from reconciler.journal import Journal
from workers import wiring
from workers.cli import output
from workers.cli.output import Format

journal_app = typer.Typer(
    pretty_exceptions_enable=False, no_args_is_help=True, add_completion=False, rich_markup_mode=None
)
FAILED = 3


@journal_app.command("list", epilog="Example: undrift journal list --subject podinfo --count 20")
def list_(
    count: Annotated[int, typer.Option(help="How many entries, the newest first.")] = 50,
    subject: Annotated[str, typer.Option(help="Only entries whose subject holds this text.")] = "",
    chosen: Annotated[Format, typer.Option("-o", "--output")] = Format.TABLE,
) -> None:
    """List decisions and passes that wrote."""
    found = (one for one in _journal().entries() if subject in str(one["subject"]))
    shown = list(itertools.islice(found, count))
    if output.show_list("JournalEntryList", shown, chosen):
        return
    rows = [
        [str(one["number"]), str(one["at"])[:19], str(one["kind"]), str(one["subject"]), _why(one), _what(one)]
        for one in shown
    ]
    output.table(["NUMBER", "AT", "KIND", "SUBJECT", "WHY", "WHAT"], rows)


@journal_app.command(epilog="Example: undrift journal verify")
def verify() -> None:
    """Read the whole chain and check every hash and number. Ends with 3 when anything was changed or is missing."""
    verdict = _journal().verify(wiring.store().outbox.head())
    if verdict.problem:
        print(f"undrift: journal: {verdict.problem}; {verdict.entries} entries before it are whole", file=sys.stderr)
        sys.exit(FAILED)
    gaps = [one for one in _journal().entries() if one["kind"] == "gap"]
    for one in gaps:
        print(f"undrift: journal: entry {one['number']}: {one['message']}", file=sys.stderr)
    print(f"{'whole' if not gaps else 'with gaps'}: {verdict.entries} entries in {verdict.commits} commits")
    sys.exit(FAILED if gaps else 0)


def _journal() -> Journal:
    return wiring.journal()


def _why(entry: Mapping[str, Any]) -> str:
    if "reasons" in entry:
        return ", ".join(map(str, entry["reasons"]))
    return f"{entry.get('by', '')}: {entry.get('reason', '')}".strip(": ")


def _what(entry: Mapping[str, Any]) -> str:
    """What became of how many objects, then in words; or the objects themselves."""
    counts = entry.get("counts") if entry.get("kind") == "sync" else None
    words = ", ".join(f"{count} {str(result).lower()}" for result, count in (counts or {}).items())
    message = str(entry.get("message", ""))
    objects = entry.get("objects")
    if not message and isinstance(objects, list):
        message = ", ".join(map(str, objects))
    return f"{words}: {message}" if words and not message.startswith(words) else message
