"""`undrift repo`: the repositories that the fleet uses."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from typing import Annotated, Any

import typer

from reconciler.errors import UndriftError
from reconciler.model.spec import RepositoryAccess
from workers import asking, wiring
from workers.cli import output, selecting
from workers.cli.output import Format

repo_app = typer.Typer(
    pretty_exceptions_enable=False, no_args_is_help=True, add_completion=False, rich_markup_mode=None
)
Output = Annotated[Format, typer.Option("-o", "--output")]
UNREACHABLE, TIMED_OUT = 5, 5


@repo_app.command("list", epilog="Example: undrift repo list")
def list_(chosen: Output = Format.TABLE) -> None:
    """List repositories, when each was looked at last, and what went wrong. One that projects reach in different ways is
    listed once for each: URL (PROJECT)."""
    store = wiring.store()
    lookups, now = store.looks.lookups(), store.clock.now()
    users = Counter(store.specs.sources().values())
    items: list[dict[str, Any]] = [
        {
            "name": name,
            "url": access.url,
            "instances": users[name],
            "poll": access.poll.total_seconds(),
            "looked": lookups.get(name, {}).get("at", ""),
            "message": lookups.get(name, {}).get("error", ""),
        }
        for name, access in store.specs.repositories().items()
    ]
    if output.show_list("RepositoryList", items, chosen):
        return
    if chosen is Format.NAME:
        sys.stdout.writelines(f"{one['name']}\n" for one in items)
        return
    rows = []
    for one in items:
        looked = output.ago(datetime.fromisoformat(one["looked"]), now) if one["looked"] else "-"
        state = "Failed" if one["message"] else "Ok" if one["looked"] else "Unknown"
        rows.append([one["name"], state, looked, str(one["instances"]), one["message"]])
    output.table(["REPOSITORY", "STATE", "LOOKED", "INSTANCES", "MESSAGE"], rows)


@repo_app.command(epilog="Example: undrift repo check https://git.example.com/apps.git")
def check(urls: Annotated[list[str] | None, typer.Argument(metavar="[URL...]")] = None) -> None:
    """Look repositories up from here. Ends with 5 when one can't be reached."""
    store = wiring.store()
    known = store.specs.repositories()
    worst = 0
    with closing(wiring.rooms()) as rooms:
        for name in [name for url in urls for name in meant(url, known)] if urls else list(known):
            try:
                refs = rooms.source.refs(known[name])
                print(f"{name}: {len(refs.by_name)} refs")
            except UndriftError as error:
                print(f"{name}: {error.reason}: {error.message}")
                worst = UNREACHABLE
    sys.exit(worst)


@repo_app.command(epilog="Example: undrift repo refresh --all")
def refresh(
    url: Annotated[str, typer.Argument(metavar="[URL]")] = "",
    everything: Annotated[bool, typer.Option("--all", help="All repositories, the fleet's own included.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for each answer.")] = 60.0,
) -> None:
    """Look at refs now, and sync what a new commit concerns. Ends with 0 whenever all could answer."""
    store = wiring.store()
    known = store.specs.repositories()
    if not (url or everything):
        raise selecting.NotFound("give a URL, or --all")
    urls = list(known) if everything else meant(url, known)
    if everything:
        store.due.look_at_fleet()
    came = 0
    for answer in asking.look(store, urls, timeout):
        came += 1
        if answer["phase"] == "Failed":
            print(f"{answer['subject']}: {answer['reason']}: {answer['message']}")
        else:
            print(f"{answer['subject']}: {answer['changed']} instances to sync, {answer['looked']} looked at")
    sys.exit(0 if came == len(urls) else TIMED_OUT)


def meant(url: str, known: Mapping[str, RepositoryAccess]) -> list[str]:
    """The look-ups that a URL means, or one that is named as `repo list` does. Raises NotFound."""
    found = [name for name, access in known.items() if url in (name, access.url)]
    if not found:
        raise selecting.NotFound(f"no application uses {url!r}; the fleet has {', '.join(known) or 'none'}")
    return found
