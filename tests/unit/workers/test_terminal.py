"""What a terminal is told by what is printed: our colours, and nothing that tenants or clusters wrote."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from workers.cli import output
from workers.cli.terminal import Terminal, guard_terminals


class Screen(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;pwned\x07", r"\x1b]0;pwned\x07"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("good\rbad", r"good\rbad"),
        ("\x9b2J", r"\x9b2J"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\ud800", r"\ud800"),
        ("\x1b[31mred\x1b[0m, tab\tand line\n", "\x1b[31mred\x1b[0m, tab\tand line\n"),
        ("Zürich – 東京", "Zürich – 東京"),
    ],
)
def test_only_colours_are_obeyed(text: str, shown: str):
    screen = Screen()

    Terminal(screen).write(text)

    assert screen.getvalue() == shown


def test_what_is_printed_is_guarded_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch):
    screen, pipe = Screen(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", pipe)

    guard_terminals()
    print("x\x1b[2Jy")
    print("x\x1b[2Jy", file=sys.stderr)

    assert screen.getvalue() == "x\\x1b[2Jy\n"
    assert pipe.getvalue() == "x\x1b[2Jy\n"


def test_a_table_shows_a_name_and_does_not_obey_it(monkeypatch: pytest.MonkeyPatch):
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    guard_terminals()
    assert Console().is_terminal

    output.table(["NAME", "MESSAGE"], [["x", "a\x1b]0;pwned\x1b[2Jb"]])

    assert "\x1b]" not in screen.getvalue()
    assert "\x1b[2J" not in screen.getvalue()
    assert "pwned" in screen.getvalue()
