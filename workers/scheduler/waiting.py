"""The instances that wait for the next look at their repository, which makes them due whatever it finds.

They are kept by look-up, so that a look reads only its own. What each repository's look is called may change with the fleet,
or an instance comes to use another repository, or leaves; so now and then all of them are compared with what is in force.
That also puts right what a scheduler left undone that died between publishing a fleet and saying who waits.
"""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.fleet import Expansion
from reconciler.model.instance import InstanceKey
from workers.messages import Lane, Mark, Work
from workers.store import Store
from workers.store.leader import NotLeading


def unjudge(store: Store, reasons: Mapping[InstanceKey, str], expansion: Expansion) -> None:
    """Let one look at each repository make instances due at its newest commit: one look serves all of them."""
    by_url: dict[str, dict[InstanceKey, str]] = {}
    for key, reason in reasons.items():
        by_url.setdefault(expansion.specs[key].source.repo.subject, {})[key] = reason
    for url, mine in by_url.items():
        store.status.unjudge(url, mine)
    store.due.mark(Mark(Work("refresh", url), Lane.COMMIT, "new instances") for url in sorted(by_url))


def settle(store: Store, expansion: Expansion) -> frozenset[InstanceKey]:
    """Have each instance wait for the look that serves it now, and those that left for none; all that wait.

    Raises NotLeading rather than to go by a fleet that another leader may have replaced.
    """
    waiting = store.status.unjudged_anywhere()
    there = {key for url, reasons in waiting.items() for key in reasons if _url(expansion, key) == url}
    gone = {url: [key for key in reasons if _url(expansion, key) != url] for url, reasons in waiting.items()}
    moved = {key: waiting[url][key] for url in gone for key in gone[url] if key not in there and key in expansion.specs}
    idle = waiting.keys() - expansion.repositories().keys()
    if (any(gone.values()) or idle) and not store.leader.is_leading():
        raise NotLeading
    unjudge(store, moved, expansion)  # before it is forgotten where it waited: killed in between, it waits for both
    for url, keys in gone.items():
        store.status.forget_unjudged(url, keys)
    store.status.forget_waiting_at(idle)
    return frozenset(there | moved.keys())


def _url(expansion: Expansion, key: InstanceKey) -> str | None:
    """What the look is called that serves an instance; None of one that is not of the fleet."""
    spec = expansion.specs.get(key)
    return spec.source.repo.subject if spec is not None else None
