"""What a missing ref says of those that are there, whatever a host tells."""

from __future__ import annotations

import random

import pytest

from reconciler.errors import RefNotFound
from reconciler.model.spec import LONGEST_REF, Ref
from reconciler.source import Refs

OID = "a" * 40


def missing(refs: Refs, ref: Ref) -> str:
    with pytest.raises(RefNotFound) as caught:
        refs.commit_of(ref)
    return caught.value.message


def refs(*names: str) -> Refs:
    return Refs("https://git.example.com/a.git", dict.fromkeys(names, OID))


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["refs/heads/main", "refs/heads/other", "refs/tags/mian"], "no branch mian; there are main"),
        (["refs/heads/zz", "refs/heads/xx"], "no branch mian; there are xx, zz"),
        (["refs/tags/mian"], "no branch mian; it has no heads at all"),
        ([f"refs/heads/{number:09}" for number in range(5000)] + ["refs/heads/main"], "there are main"),
    ],
    ids=["a near one", "none is near", "none is there", "many of another length"],
)
def test_a_missing_branch_says_what_there_is(names: list[str], says: str) -> None:
    assert missing(refs(*names), Ref(branch="mian")).endswith(says)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("pairs", [50, 90], ids=["as long as is compared", "longer"])
def test_the_hint_of_a_host_with_many_like_names_takes_no_time(pairs: int) -> None:
    """They were all compared, for minutes, after the time that a look-up may take was over."""
    chance, name = random.Random(2), "ab" * pairs
    like = [f"refs/heads/{''.join(chance.sample(name, len(name)))}" for _ in range(20_000)]

    assert "; there are " in missing(refs(*like), Ref(branch=name))


def test_names_that_a_host_makes_endless_are_told_shortened() -> None:
    assert missing(refs("refs/heads/" + "x" * 100_000), Ref(branch="main")).endswith("there are " + "x" * LONGEST_REF)
