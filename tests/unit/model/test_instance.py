"""The names of instances, as typed and as stored."""

from __future__ import annotations

import pytest

from reconciler.model.instance import InstanceKey


@pytest.mark.parametrize("text", ["a/b@c\n", "a/b@c\n\n", "\na/b@c", "a/b@", "b", "a/b/d@c", "a/b@c d", ""])
def test_what_is_no_name_is_refused(text: str) -> None:
    """With a newline after it, a name was another key of Redis and the same instance."""
    with pytest.raises(ValueError, match=r"is not an instance: expected \[project/\]application@cluster"):
        InstanceKey.parse(text)


@pytest.mark.parametrize("text", ["a/b@c", "b@c", "default/b@c"])
def test_a_name_reads_as_it_was_written(text: str) -> None:
    assert str(InstanceKey.parse(text)) == (text if "/" in text else f"default/{text}")
