"""The instances that wait for the next look at their repository, which makes them due whatever it finds.

They are kept by look-up, so that a look reads only its own. What each repository's look is called may change with the fleet,
or an instance comes to use another repository, or leaves; so now and then all of them are compared with what is in force.
Each repository that is waited for is due to be looked at: one look makes all that wait for it due at its newest commit.
"""

from __future__ import annotations

from reconciler.fleet import Expansion
from reconciler.model.instance import InstanceKey
from workers.messages import Lane, Mark, Work
from workers.store import Store
from workers.store.leader import NotLeading


def settle(store: Store, expansion: Expansion) -> frozenset[InstanceKey]:
    """Have each instance wait for the look that serves it now, and those that left for none; all that wait.

    Raises NotLeading rather than go by a fleet that another leader may have replaced.
    """
    waiting = store.unjudged.anywhere()
    there = {url: {key for key in reasons if _url(expansion, key) == url} for url, reasons in waiting.items()}
    gone = {url: reasons.keys() - there[url] for url, reasons in waiting.items()}
    moved: dict[str, dict[InstanceKey, str]] = {}
    for url, keys in gone.items():
        for key in keys:
            now = _url(expansion, key)
            if now is not None and key not in there.get(now, ()):
                moved.setdefault(now, {})[key] = waiting[url][key]
    idle = waiting.keys() - expansion.repositories().keys()
    if (any(gone.values()) or idle) and not store.leader.is_leading():
        raise NotLeading
    for url, mine in moved.items():
        store.unjudged.add(url, mine)  # before it is forgotten where it waited: killed in between, it waits for both
    for url, keys in gone.items():
        store.unjudged.forget(url, keys)
    store.unjudged.forget_urls(idle)
    urls = sorted({url for url, keys in there.items() if keys} | moved.keys())
    store.due.mark(Mark(Work("refresh", url), Lane.COMMIT, "new instances") for url in urls)
    return frozenset().union(*there.values(), *moved.values())


def _url(expansion: Expansion, key: InstanceKey) -> str | None:
    """What the look is called that serves an instance; None of one that is not of the fleet."""
    spec = expansion.specs.get(key)
    return spec.source.repo.subject if spec is not None else None
