"""The timer that all exchanges of a process share."""

from __future__ import annotations

import os
import threading

import pytest

from reconciler import timer
from reconciler.timer import Timer

LONG_S = 3600.0


def test_calls_are_made_in_the_order_of_their_time() -> None:
    """One that ends sooner than what the thread waits for wakes it."""
    made, over, one = list[str](), threading.Event(), Timer()
    one.call(LONG_S, over.set)
    one.call(0.1, lambda: (made.append("second"), over.set()))  # type: ignore[func-returns-value]
    one.call(0.01, lambda: made.append("first"))

    assert over.wait(10)
    assert made == ["first", "second"]


def test_a_thread_that_could_not_be_started_is_started_by_the_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    one, over = Timer(), threading.Event()
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", lambda _: (_ for _ in ()).throw(RuntimeError("can't start new thread")))
        with pytest.raises(RuntimeError):
            one.call(0.01, over.set)

    one.call(0.01, over.set)

    assert over.wait(10)


def test_what_was_called_off_is_not_done() -> None:
    done, over, one = threading.Event(), threading.Event(), Timer()
    one.call_off(one.call(0.02, done.set))
    one.call(0.1, over.set)

    assert over.wait(10)
    assert not done.is_set()


def test_an_act_that_fails_is_told_and_ends_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    told, over, one = list[object](), threading.Event(), Timer()
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_type))

    def fail() -> None:
        raise OSError("no")

    one.call(0.01, fail)
    one.call(0.05, over.set)

    assert over.wait(10)
    assert told == [OSError]


def test_a_forked_process_has_a_thread_of_its_own() -> None:
    """As Celery's children: the parent's thread is not in them."""
    timer.call_off(timer.call_after(LONG_S, _nothing))
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        over = threading.Event()
        timer.call_after(0.01, over.set)
        os.write(writes, b"1" if over.wait(5) else b"0")
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads, "rb") as pipe:
        assert pipe.read() == b"1"
    os.waitpid(child, 0)


def _nothing() -> None:
    """What is never done."""
