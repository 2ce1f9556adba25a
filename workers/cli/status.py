"""`undrift status`: the whole fleet in one screen."""

from __future__ import annotations

import json
from collections import Counter
from typing import Annotated, Any

import typer

from workers import wiring
from workers.cli import output
from workers.cli.output import Format
from workers.store import composed

status_app = typer.Typer(pretty_exceptions_enable=False, add_completion=False, rich_markup_mode=None)


@status_app.command(epilog="Example: undrift status -o json")
def status(chosen: Annotated[Format, typer.Option("-o", "--output")] = Format.TABLE) -> None:
    """Say how many instances are how, what is wrong, and whether everything runs."""
    store = wiring.store()
    found = composed.statuses(store)
    errors = {name: scan["error"] for name, scan in store.looks.scans().items() if scan.get("error")}
    fleet, workers = store.fleet.told(), store.slots.alive(store.clock.now())
    document: dict[str, Any] = {
        "fleet": {"revision": fleet["revision"], "problems": fleet["problems"], "notes": fleet["notes"]},
        "instances": len(found),
        "sync": Counter(one.sync for one in found.values()),
        "phase": Counter(one.phase for one in found.values()),
        "health": Counter(one.health for one in found.values()),
        "clusters": len(store.specs.clusters()),
        "unreadable": {url: row["error"] for url, row in sorted(store.looks.lookups().items()) if row.get("error")},
        "unreachable": sorted(errors),
        "brakes": [one.sentence for one in store.brakes.all().values() if not one.is_over(store.clock.now())],
        "workers": workers,
        "waitingInBroker": store.queued.waiting_in_broker(),
    }
    if chosen is Format.JSON:
        output.show_json(document)
        return
    if chosen is Format.YAML:
        output.show_yaml(document)
        return
    if not store.due.is_known():
        print("redis      it was emptied, or nothing has run on it yet: the scheduler rebuilds what is known")
    print(f"fleet      {fleet['revision'][:12] or '-'}, {len(found)} instances on {document['clusters']} clusters")
    for sentence in document["brakes"]:
        print(f"stopped    {sentence}")
    for name in ("sync", "phase", "health"):
        print(f"{name:<10} " + ", ".join(f"{count} {word}" for word, count in sorted(document[name].items())))
    print(f"workers    {len(workers)} with {sum(workers.values())} slots" if workers else "workers    none is running")
    show_flower()
    if gone := [
        one for one in found.values() if one.reason in ("LeftTheFleet", "Leaving", "LeavingHeld", "LeftBehind")
    ]:
        print(f"left       {len(gone)} instances left the fleet; `undrift app list` says what becomes of each")
    for name in document["unreachable"]:
        print(f"unreachable {name}: {errors[name]}")
    for url, error in document["unreadable"].items():
        print(f"unreadable {url}: {error.removeprefix(url.partition(' ')[0] + ': ')}")
    for word in ("problem", "note"):
        for sentence in fleet[f"{word}s"]:
            print(f"{word:<10} {sentence}")
    for one in found.values():
        if one.phase in ("Failed", "Held") or one.health == "Degraded":
            print(f"{one.phase.lower():<10} {one.instance}: {one.reason}: {one.message}")


def show_flower() -> None:
    """Where Flower is, and its login, when `undrift up` runs it in this home."""
    settings = wiring.settings()
    if settings.up_note.is_file():
        user, password = settings.flower_login()
        address = json.loads(settings.up_note.read_text())["flower"]
        print(f"flower     {address}  (login {user}, password {password})")
