"""What must be shorter than what: an error is told by the task that meets it, not by the death of its process."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from reconciler.fleet.documents import RepositorySpec
from reconciler.model.spec import LONGEST_FETCH
from reconciler.source.room import LOOKUP_S
from workers.app import HARD_LIMIT_S


def test_a_look_up_and_a_fetch_end_well_before_their_task_is_killed() -> None:
    """Before, `limits.timeout` was as long as the task: a fetch that took too long was killed, three times, and parked."""
    and_then_s = 30  # what was fetched is read once more, trees are compared, marks are set

    assert LOOKUP_S + LONGEST_FETCH.total_seconds() + and_then_s < HARD_LIMIT_S


def test_a_longer_timeout_is_refused_with_why() -> None:
    with pytest.raises(ValidationError, match="at most 3m"):
        RepositorySpec.model_validate({"url": "https://git.example.com/a", "limits": {"timeout": "5m"}})
