from __future__ import annotations

from hypothesis import given, settings, strategies as st

from roomguard.runtime.resender import Resender, Sent


def sent(offset: int, room: str = "r", lasts_s: float | None = None) -> Sent:
    return Sent(offset, f"id-{offset}", room, b"{}", lasts_s)


def resender(limit: int = 100) -> Resender[str]:
    return Resender(3.0, 10, limit)


def offsets(due: list[tuple[str, Sent]]) -> list[tuple[str, int]]:
    return [(receiver, one.offset) for receiver, one in due]


def test_every_interval_until_enforced() -> None:
    """It is due every 3 s for each connection that has not called it enforced, and for nobody else."""
    book = resender()
    book.sent(sent(1), ["a", "b"], now=0.0)

    assert book.next_due() == 3.0
    assert book.due(2.9, 10) == []
    assert offsets(book.due(3.0, 10)) == [("a", 1), ("b", 1)]
    assert book.enforced("a", ["id-1", "unknown"]) == [sent(1)]
    assert offsets(book.due(6.0, 10)) == [("b", 1)]
    assert book.enforced("b", ["id-1"]) == []
    assert book.due(9.0, 10) == []
    assert (len(book), book.next_due(), book.enforced_first) == (0, None, 1)
    book._check()


def test_nobody_is_woken_for_what_was_enforced() -> None:
    """The next look is due for the first action that somebody has not called enforced; those before it are let go."""
    book = resender()
    for offset in range(1, 6):
        book.sent(sent(offset), ["a", "b"] if offset == 3 else ["a"], now=float(offset))
    book.enforced("a", ["id-1", "id-2", "id-3", "id-5"])

    assert (book.next_due(), len(book)) == (6.0, 3)
    book.enforced("b", ["id-3"])
    assert (book.next_due(), len(book)) == (7.0, 2)
    assert offsets(book.due(8.0, 10)) == [("a", 4)]
    assert book.next_due() == 11.0
    book._check()


def test_ten_times_then_counted() -> None:
    """An action that nobody enforces is repeated ten times, then counted."""
    book = resender()
    book.sent(sent(1), ["a"], now=0.0)

    repeats = [len(book.due(3.0 * turn, 10)) for turn in range(1, 13)]

    assert repeats == [1] * 10 + [0, 0]
    assert (book.resent, book.unenforced, len(book)) == (10, 1, 0)
    book._check()


def test_until_it_is_over() -> None:
    """A timed action is not repeated after its end."""
    book = resender()
    book.sent(sent(1, lasts_s=5.0), ["a"], now=0.0)

    assert len(book.due(3.0, 10)) == 1
    assert book.due(6.0, 10) == []
    assert book.unenforced == 1


def test_orphans_go_to_the_next_taker() -> None:
    """What the last connection left unenforced, whoever takes the room gets, in offset order, and repeated."""
    book = resender()
    for offset in (1, 2, 3):
        book.sent(sent(offset), ["a"], now=0.0)
    book.sent(sent(4, room="other"), ["a"], now=0.0)
    book.sent(sent(5), [], now=0.0)
    book.enforced("a", ["id-2"])
    book.left("a", "r")
    book._check()

    assert book.took("b", "r", 1.0) == [sent(1), sent(3), sent(5)]
    assert book.took("c", "r", 1.0) == []
    assert offsets(book.due(3.0, 10)) == [("b", 1), ("b", 3), ("a", 4), ("b", 5)]
    book._check()


def test_orphans_that_are_over_are_not_sent() -> None:
    """Who takes a room hears nothing of what has ended meanwhile: the duration would begin again at receipt."""
    book = resender()
    book.sent(sent(1, lasts_s=2.0), [], now=0.0)
    book.sent(sent(2, lasts_s=9.0), [], now=0.0)

    assert book.took("a", "r", 2.5) == [sent(2, lasts_s=9.0)]
    book._check()
    assert offsets(book.due(3.0, 10)) == [("a", 2)]
    book._check()


def test_bounded() -> None:
    """Beyond the limit the one waiting longest is given up and counted."""
    book = resender(limit=2)
    for offset in (1, 2, 3):
        book.sent(sent(offset), ["a"], now=float(offset))

    assert (len(book), book.overflowed) == (2, 1)
    assert offsets(book.due(10.0, 10)) == [("a", 2), ("a", 3)]
    book._check()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["sent", "enforced", "took", "left", "leave", "due"]),
            st.sampled_from("abc"),
            st.sampled_from("rs"),
            st.floats(0, 4),
        ),
        max_size=60,
    )
)
def test_books_stay_in_order(steps: list[tuple[str, str, str, float]]) -> None:
    """Whatever happens in whatever order: the indexes agree, and nobody gets what they enforced or a room they left."""
    book = resender(limit=8)
    now, offset = 0.0, 0
    rooms: dict[str, set[str]] = {name: set() for name in "abc"}
    done: dict[str, set[int]] = {name: set() for name in "abc"}
    for step, who, room, wait in steps:
        if step == "sent":
            offset += 1
            book.sent(sent(offset, room), [name for name in "abc" if room in rooms[name]], now)
        elif step == "enforced":
            book.enforced(who, [f"id-{offset}"])
            done[who].add(offset)
        elif step == "took" and room not in rooms[who]:
            rooms[who].add(room)
            orphans = [one.offset for one in book.took(who, room, now)]
            assert orphans == sorted(orphans)
            done[who] -= set(orphans)
        elif step == "left":
            rooms[who].discard(room)
            book.left(who, room)
        elif step == "leave":
            rooms[who].clear()
            book.left(who)
        elif step == "due":
            now += wait
            for name, one in book.due(now, 100):
                assert one.room in rooms[name]
                assert one.offset not in done[name]
        book._check()
        assert len(book) <= 8
