"""The mailbox: order, bounds, and who has to go when it is full."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings, strategies as st

from roomguard.model.events import (
    Appeal,
    Chat,
    Control,
    Event,
    Follow,
    Gift,
    Join,
    Leave,
    Like,
    Moderation,
    Report,
    RoomClose,
    RoomOpen,
    Share,
    Unfollow,
    Viewers,
)
from roomguard.runtime.mailbox import CLASSES, HIGHEST, Mailbox
from roomguard.runtime.tickets import Batch, Ticket
from roomguard.wire import Events

_serial = iter(range(10**9))


def _common() -> dict[str, object]:
    return {"id": f"e{next(_serial)}", "room": "r", "ts": 1.0}


MAKE: dict[str, Callable[[], Event]] = {
    "like": lambda: Like(**_common(), user="u", count=1),  # type: ignore[arg-type]
    "viewers": lambda: Viewers(**_common(), count=1),  # type: ignore[arg-type]
    "join": lambda: Join(**_common(), user="u"),  # type: ignore[arg-type]
    "leave": lambda: Leave(**_common(), user="u"),  # type: ignore[arg-type]
    "follow": lambda: Follow(**_common(), user="u"),  # type: ignore[arg-type]
    "unfollow": lambda: Unfollow(**_common(), user="u"),  # type: ignore[arg-type]
    "share": lambda: Share(**_common(), user="u"),  # type: ignore[arg-type]
    "chat": lambda: Chat(**_common(), user="u", text="t"),  # type: ignore[arg-type]
    "gift": lambda: Gift(**_common(), user="u", gift="g", count=1, value=1.0),  # type: ignore[arg-type]
    "report": lambda: Report(**_common(), user="u", target="v"),  # type: ignore[arg-type]
    "appeal": lambda: Appeal(**_common(), user="u", action="a"),  # type: ignore[arg-type]
    "moderation": lambda: Moderation(**_common(), user="u", verb="mute", target="v"),  # type: ignore[arg-type]
    "room_open": lambda: RoomOpen(**_common()),  # type: ignore[arg-type]
    "room_close": lambda: RoomClose(**_common()),  # type: ignore[arg-type]
}


class Box:
    """A mailbox with everything around it that a test wants to see."""

    def __init__(self, capacity: int) -> None:
        self.shed: list[tuple[str, str]] = []
        self.mailbox = Mailbox(capacity, 4, lambda event, cause: self.shed.append((_kind(event), cause)))
        self.tickets: list[Ticket] = []
        self.decided_tickets: list[Ticket] = []

    def decided(self, ticket: Ticket) -> None:
        assert ticket not in self.decided_tickets
        self.decided_tickets.append(ticket)

    def put(self, *kinds: str) -> Ticket:
        events = [MAKE[kind]() for kind in kinds]
        frame = Events(len(self.tickets) + 1, True, len(events), events, range(len(events)))  # type: ignore[arg-type]
        ticket = Ticket(self, frame, 1.0, "allow")
        self.tickets.append(ticket)
        self.mailbox.put(Batch(ticket, list(range(len(events)))))
        ticket.release()
        return ticket

    def take(self, most: int = 10**6) -> list[str]:
        """Everything that waits, `most` events a turn, finished."""
        out: list[str] = []
        while (item := self.mailbox.take(most)) is not None:
            if isinstance(item, Control):
                out.append(item.type)
                continue
            places = item.left()
            assert len(places) <= most
            out += [_kind(item.ticket.events[place]) for place in places]
            item.finish()
        return out


def _kind(event: Event) -> str:
    return str(event.__struct_config__.tag)


def test_every_kind_has_a_class() -> None:
    """The order of shedding covers all kinds of the protocol."""
    ranks = [[kind for kind, make in MAKE.items() if CLASSES[type(make())] == rank] for rank in range(HIGHEST + 1)]

    assert [
        ["like", "viewers"],
        ["join", "leave", "follow", "unfollow", "share"],
        ["chat"],
        ["gift"],
        ["report", "appeal", "moderation", "room_open", "room_close"],
    ] == ranks


@pytest.mark.parametrize("most", [1, 2, 3, 100])
def test_order_is_kept(most: int) -> None:
    """What goes in comes out in the same order, however large a turn is, control records among it."""
    box = Box(100)
    box.put("chat", "like", "gift")
    box.mailbox.put_control(Control(type="grace", room="r", ts=1.0))
    box.put("join")

    assert ["chat", "like", "gift", "grace", "join"] == box.take(most)
    assert box.tickets == box.decided_tickets


@pytest.mark.parametrize(
    ("queued", "arriving", "left", "shed"),
    [
        (["like"] * 9, ["like"], ["like"] * 9, [("like", "full")]),
        (["like"] * 9, ["chat"], ["like"] * 8 + ["chat"], [("like", "pushed_out")]),
        (["chat"] * 9, ["like"], ["chat"] * 9, [("like", "full")]),
        (["join", "like"] + ["chat"] * 7, ["gift"] * 3, ["chat"] * 6 + ["gift"] * 3, None),
        (["gift"] * 9, ["chat"], ["gift"] * 9, [("chat", "full")]),
        (["gift"] * 9, ["report"], ["gift"] * 9 + ["report"], []),
        (["gift"] * 9, ["report"] * 2, ["gift"] * 8 + ["report"] * 2, [("gift", "pushed_out")]),
        (["report"] * 10, ["room_close"], ["report"] * 10, [("room_close", "full")]),
        (["report"] * 5 + ["like"] * 5, ["chat"], ["report"] * 5 + ["like"] * 4 + ["chat"], [("like", "pushed_out")]),
        ([], ["like"] * 12 + ["moderation"], ["like"] * 9 + ["moderation"], None),
        ([], ["like", "chat"] * 9, ["chat"] * 9, None),
    ],
)
def test_who_has_to_go(
    queued: list[str], arriving: list[str], left: list[str], shed: list[tuple[str, str]] | None
) -> None:
    """A mailbox of ten: nine for everybody, one for the highest class; the lowest class goes first."""
    box = Box(10)
    box.put(*queued)
    box.put(*arriving)

    assert left == box.take()
    if shed is not None:
        assert shed == box.shed
    assert Counter(queued + arriving) - Counter(left) == Counter(kind for kind, _ in box.shed)


def test_the_ticket_hears_of_every_event_given_up() -> None:
    """Shed events are in `rejected` and get the fail mode, wherever they were queued."""
    box = Box(10)
    first = box.put("like", "chat")
    box.put(*["gift"] * 8)
    box.take()

    assert [(0, "shed")] == [(one.index, one.code) for one in first.rejections()]
    assert first.accepted == 1


def test_a_frame_that_is_shed_whole_is_decided() -> None:
    """A ticket whose every event was pushed out closes when the room comes to it."""
    box = Box(10)
    first = box.put("like", "like")
    box.put(*["chat"] * 9)
    box.take()

    assert first.closed
    assert 0 == first.accepted


def test_control_records_have_a_bound_of_their_own() -> None:
    """One too many is refused to whoever brought it; a flood of events does not push records out."""
    box = Box(10)
    taken = [box.mailbox.put_control(Control(type="grace", room="r", ts=1.0)) for _ in range(5)]
    box.put(*["chat"] * 20)

    assert [True] * 4 + [False] == taken
    assert 4 == box.take().count("grace")


def test_what_a_ticket_gave_up_is_passed_over() -> None:
    """An abandoned frame leaves no events behind and makes room."""
    box = Box(10)
    gone = box.put(*["chat"] * 9)
    assert 9 == gone.abandon()
    stays = box.put("gift")

    assert ["gift"] == box.take()
    assert [gone, stays] == box.decided_tickets
    assert 0 == box.mailbox.events


@pytest.mark.parametrize("done", [0, 1, 2])
def test_putting_back_after_a_crash(done: int) -> None:
    """What was not decided goes to the front, in order."""
    box = Box(10)
    box.put("chat", "gift", "like")
    box.put("report")
    batch = box.mailbox.take(10)
    assert isinstance(batch, Batch)
    batch.next = done
    box.mailbox.put_back(batch)

    assert 4 - done == box.mailbox.events
    assert [*["chat", "gift", "like"][done:], "report"] == box.take()


def test_clear_rejects_events_and_returns_records() -> None:
    """Emptying it tells every ticket, with the given code."""
    box = Box(10)
    ticket = box.put("chat", "gift")
    record = Control(type="grace", room="r", ts=1.0)
    box.mailbox.put_control(record)

    assert [record] == box.mailbox.clear("quarantined")
    assert ["quarantined"] * 2 == [one.code for one in ticket.rejections()]
    assert ticket.closed
    assert not box.mailbox


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), capacity=st.integers(10, 60))
def test_any_mix_keeps_the_invariants(seed: int, capacity: int) -> None:
    """Whatever is put, taken, put back and given up: nothing is lost uncounted, and the bounds hold."""
    rng = random.Random(seed)
    box = Box(capacity)
    mailbox = box.mailbox
    put = taken = given_up = 0
    for _ in range(60):
        match rng.randrange(6):
            case 0 | 1 | 2:
                names = rng.choices(list(MAKE), k=rng.randrange(1, capacity))
                put += len(names)
                box.put(*names)
            case 3 | 4:
                item = mailbox.take(rng.randrange(1, capacity))
                if isinstance(item, Batch):
                    left = item.left()
                    if rng.random() < 0.2 and left:
                        item.next = item.places.index(rng.choice(left))
                        taken += len(left) - len(item.left())
                        mailbox.put_back(item)
                    else:
                        taken += len(left)
                        item.finish()
            case _:
                open_tickets = [ticket for ticket in box.tickets if not ticket.closed]
                if open_tickets:
                    given_up += rng.choice(open_tickets).abandon()
        assert 0 <= mailbox.events <= capacity
        waiting = [item for item in mailbox._queue if isinstance(item, Batch)]
        assert mailbox.events == sum(item.size for item in waiting)
        assert all(item.dropped or item.size == len(item.left()) for item in waiting)
        if mailbox._stacks is not None:
            kinds = [type(item.ticket.events[place]) for item in waiting for place in item.left()]
            assert mailbox._lower == sum(CLASSES[kind] < HIGHEST for kind in kinds)
    taken += len(box.take())

    assert put == taken + given_up + len(box.shed)
    assert all(ticket.closed for ticket in box.tickets)
    assert all(ticket.accepted + len(ticket.rejections()) == ticket.frame.size for ticket in box.tickets)
