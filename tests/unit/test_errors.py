"""What every error of the tree promises of its message."""

from __future__ import annotations

from reconciler.errors import UndriftError, UnknownKind


def test_a_message_is_bounded_and_keeps_both_ends():
    """A name of 20 MB was a message of 20 MB, in the record, in events and in notices."""
    error = UnknownKind("kind " + "K" * 20_000_000 + " is not served")

    assert len(error.message) <= 4096
    assert error.message.startswith("kind KKK")
    assert error.message.endswith("KKK is not served")
    assert str(error) == error.message


def test_a_message_is_printable():
    error = UndriftError("\x1b]0;pwned\x07 line\nof\ttwo \udcff")

    assert error.message == "\\x1b]0;pwned\\x07 line\nof\ttwo \\udcff"
