"""A look at a repository that is stopped, late or killed: it moves nothing back, and leaves nothing undone."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.errors import LeaseLost
from reconciler.model.spec import Ref
from reconciler.testing.git import Repo
from tests.integration.workers.test_refreshing import API, WEB, done, refresh
from tests.integration.workers.test_refreshing import known as known
from tests.integration.workers.test_refreshing import look as look
from tests.integration.workers.test_refreshing import repo as repo
from workers.messages import Work
from workers.store import Store, brief
from workers.store.due import DueQueue
from workers.tasks import refreshing

MAIN = Ref(branch="main")


def test_a_look_that_was_stopped_until_another_had_ended_moves_nothing_back(
    store: Store, known: Work, repo: Repo, monkeypatch: pytest.MonkeyPatch
):
    """A suspended worker goes on where it was: the fleet must not go back to the commit that it had found."""
    repo.commit({"web/a.yaml": "kind: Secret"})
    judge = refreshing.refresh
    seen: list[dict[str, Any]] = []

    def stopped(*given: Any) -> Any:
        report = judge(*given)
        if not seen:
            seen.append({})
            store.redis.delete(f"{store.prefix}lease:{known}")  # it ended, and the work was given to another
            repo.commit({"web/a.yaml": "kind: ConfigMap", "api/a.yaml": "kind: Secret"})
            seen[0] = refresh(store, known)
            done(store, API)
        return report

    monkeypatch.setattr(refreshing, "refresh", stopped)

    late = refresh(store, known)

    assert seen[0].keys() == {"default/api@eu-1"}
    assert late == {}
    assert store.closures.heads_of(repo.url) == {MAIN: repo.head()}
    assert store.closures.open(repo.url) == {API: repo.head()}


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_a_look_that_is_killed_between_its_steps_is_made_good_by_the_next(
    store: Store, known: Work, repo: Repo, monkeypatch: pytest.MonkeyPatch, steps: int
):
    repo.commit({"web/a.yaml": "kind: Secret"})
    monkeypatch.setattr(brief, "WORDS_A_PIECE", 1)
    step, done_so_far = DueQueue.step, iter(range(steps))

    def killed(*given: Any) -> None:
        if next(done_so_far, None) is None:
            raise LeaseLost("killed")
        step(*given)

    with monkeypatch.context() as patched:
        patched.setattr(DueQueue, "step", killed)
        due = refresh(store, known)
    store.redis.delete(f"{store.prefix}lease:{known}")
    due |= refresh(store, known)

    assert due.keys() == {"default/web@eu-1"}
    assert store.closures.heads_of(repo.url) == {MAIN: repo.head()}
    assert store.closures.open(repo.url).keys() == {WEB}
