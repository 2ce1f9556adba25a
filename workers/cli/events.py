"""`undrift events`: what happened."""

from __future__ import annotations

from typing import Annotated

import typer

from workers import wiring
from workers.store.events import Event

events_app = typer.Typer(pretty_exceptions_enable=False, add_completion=False, rich_markup_mode=None)


@events_app.command(epilog="Example: undrift events -f")
def events(
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on for ever.")] = False,
    count: Annotated[int, typer.Option("-n", "--count", help="How many of the last ones.")] = 50,
    chosen: Annotated[str, typer.Option("-o", "--output", help="table or json (one line an event).")] = "table",
) -> None:
    """Show the last events, oldest first."""
    store = wiring.store()
    for event in store.events.last(count):
        _show(event, chosen)
    if follow:
        for event in store.events.follow():
            _show(event, chosen)


def _show(event: Event, chosen: str) -> None:
    if chosen == "json":
        import orjson

        print(orjson.dumps(event).decode(), flush=True)
    else:
        print(f"{event.at[:19]}Z  {event.subject}  {event.reason}: {event.message}", flush=True)
