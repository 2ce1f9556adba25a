"""When something is told: once, grouped, again when it spreads, and when it ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from reconciler.notify import UPDATE_EVERY, WINDOW, Told, compare, delivered, failed, pending
from reconciler.notify.book import MOST_ENTRIES, back_off
from reconciler.notify.topic import Condition
from tests.notices import NOW, failed_topic, seen, status

KEY = failed_topic().key


def failing(count: int, revision: str = "a1") -> list:
    return [status(f"web@c-{n}", "Failed", "TemplateFailed", revision=revision) for n in range(count)]


def told(book: dict[str, Told], at=NOW + WINDOW) -> dict[str, Told]:
    """The book after all that is due has arrived."""
    after = {key: delivered(one, at) if one in pending(book, at) else one for key, one in book.items()}
    return {key: one for key, one in after.items() if one is not None}


def test_what_fails_within_the_window_is_one_notice():
    book = compare({}, seen(*failing(1)), NOW)
    book = compare(book, seen(*failing(400)), NOW + timedelta(seconds=9))

    assert pending(book, NOW + timedelta(seconds=9)) == []
    (one,) = pending(book, NOW + WINDOW)
    assert len(one.instances) == 400


def test_what_ends_within_the_window_is_never_told():
    book = compare({}, seen(*failing(1)), NOW)

    assert compare(book, seen(status("web@c-0")), NOW + timedelta(seconds=5)) == {}


def test_what_was_told_is_not_told_again():
    book = told(compare({}, seen(*failing(2)), NOW))

    again = compare(book, seen(*failing(2)), NOW + timedelta(hours=1))

    assert again == book
    assert pending(again, NOW + timedelta(days=1)) == []


def test_what_spreads_is_told_again_after_five_minutes_and_not_before():
    book = told(compare({}, seen(*failing(2)), NOW))

    book = compare(book, seen(*failing(3)), NOW + timedelta(seconds=30))

    assert pending(book, NOW + WINDOW + UPDATE_EVERY - timedelta(seconds=1)) == []
    assert [one.topic.key for one in pending(book, NOW + WINDOW + UPDATE_EVERY)] == [KEY]


def test_what_shrinks_is_not_told_until_it_is_over():
    book = told(compare({}, seen(*failing(2)), NOW))

    book = compare(book, seen(*failing(1), status("web@c-1")), NOW + timedelta(minutes=1))

    assert [one.due for one in book.values()] == [None]


def test_an_end_is_told_with_what_came_after():
    book = told(compare({}, seen(*failing(2)), NOW))
    at = NOW + timedelta(minutes=1)

    book = compare(book, seen(status("web@c-0", "Held", "TooManyDeletions"), status("web@c-1")), at)

    ended = book[KEY]
    assert (ended.condition, ended.due) == (Condition.RECOVERED, at + WINDOW)
    assert ended.end == "web: no longer Failed (TemplateFailed) on 2 instances; 1 now Held (TooManyDeletions)"
    assert KEY not in told(book, at + WINDOW)


def test_a_pass_that_runs_ends_nothing():
    book = told(compare({}, seen(*failing(1)), NOW))

    assert compare(book, seen(status("web@c-0", "Syncing", "TemplateFailed")), NOW + timedelta(hours=1)) == book


def test_what_comes_back_within_the_window_is_not_told():
    book = told(compare({}, seen(*failing(1)), NOW))
    over = compare(book, seen(status("web@c-0")), NOW + timedelta(minutes=1))

    back = compare(over, seen(*failing(1)), NOW + timedelta(minutes=1, seconds=5))

    assert [(one.due, one.has_ended) for one in back.values()] == [(None, False)]


def test_what_may_have_arrived_has_its_end_told_after_it():
    """The attempt failed as far as we know, and the condition ended meanwhile."""
    book = compare({}, seen(*failing(1)), NOW)
    (begun,) = (failed(replace_tries(one), NOW + WINDOW) for one in pending(book, NOW + WINDOW))

    over = compare({KEY: begun}, seen(status("web@c-0")), NOW + timedelta(minutes=1))

    assert over[KEY].condition == Condition.FAILED
    after = delivered(over[KEY], NOW + timedelta(minutes=2))
    assert after is not None
    assert (after.condition, after.due) == (Condition.RECOVERED, NOW + timedelta(minutes=2))
    assert delivered(after, NOW + timedelta(minutes=3)) is None


def test_what_comes_back_while_its_end_is_being_told_is_told_again():
    """The end may have arrived, so the receiver may believe that it is over."""
    book = told(compare({}, seen(*failing(1)), NOW))
    over = compare(book, seen(status("web@c-0")), NOW + timedelta(minutes=1))
    tried = {KEY: failed(replace_tries(over[KEY]), NOW + timedelta(minutes=2))}

    back = compare(tried, seen(*failing(1)), NOW + timedelta(minutes=3))

    (one,) = pending(back, NOW + timedelta(minutes=3))
    assert one.condition == Condition.FAILED


def replace_tries(entry: Told) -> Told:
    return replace(entry, tries=entry.tries + 1)


def test_the_back_off_doubles_up_to_five_minutes():
    assert [back_off(tries).total_seconds() for tries in (0, 1, 2, 3, 9, 10, 1000)] == [1, 1, 2, 4, 256, 300, 300]


def test_one_that_is_refused_stands_behind_the_others():
    book = compare({}, seen(*failing(1), *failing(2, "b2")[1:]), NOW)
    first, second = pending(book, NOW + WINDOW)

    book[first.topic.key] = failed(replace_tries(first), NOW + WINDOW)

    assert pending(book, NOW + WINDOW * 2)[0] == second


def test_the_book_is_bounded_by_dropping_what_is_over_and_was_never_taken():
    ended = {
        failed_topic(revision=str(n)).key: Told(
            failed_topic(revision=str(n)), "", (), NOW + timedelta(seconds=n), NOW, tries=1, has_ended=True
        )
        for n in range(MOST_ENTRIES + 3)
    }

    kept = compare(ended, seen(*failing(1)), NOW)

    assert len(kept) == MOST_ENTRIES
    assert KEY in kept
    assert failed_topic(revision="0").key not in kept
