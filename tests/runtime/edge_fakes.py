"""A connection without a network, a bus with the real delivery, and an edge desk around a house of rooms."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import msgspec
import trio

from roomguard.model.actions import encode_halves, join
from roomguard.runtime.delivery import Delivery, Subscription
from roomguard.runtime.edge import EdgeDesk
from roomguard.runtime.handshake import RouteParams
from roomguard.runtime.resender import Sent
from roomguard.runtime.settings_listen import ListenSettings
from roomguard.runtime.settings_rooms import RoomSettings
from roomguard.runtime.transport import ConnectionClosed, ConnectionStatistics
from roomguard.store.settings import BusSettings
from tests.runtime.room_fakes import FakeBus, House, MemoryStore, a_house, clock

decode = msgspec.json.decode


class MemoryConnection:
    """One websocket connection without a socket; the test is the edge."""

    path = "/v1/edge"
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    peer = "edge.test:1"

    def __init__(self) -> None:
        self._to_guard: list[bytes] = []
        self._arrived = trio.Event()
        self._hung_up = False
        self.said: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self.aborted = False
        self.reads = 0
        self.writes = 0
        self.stuck = False
        """Set it and nothing is read on the edge's side."""

    # the edge's side

    def send_to_guard(self, *frames: Mapping[str, Any] | str) -> None:
        for frame in frames:
            self._to_guard.append(frame.encode() if isinstance(frame, str) else msgspec.json.encode(frame))
        self._arrived.set()

    def hang_up(self) -> None:
        self._hung_up = True
        self._arrived.set()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.said if one["type"] == kind]

    def types(self) -> list[str]:
        return [one["type"] for one in self.said]

    # the guard's side

    async def receive(self) -> list[bytes]:
        while not self._to_guard:
            if self._hung_up or self.closed or self.aborted:
                raise ConnectionClosed
            self._arrived = trio.Event()
            await self._arrived.wait()
        await trio.lowlevel.checkpoint()
        messages, self._to_guard = self._to_guard, []
        self.reads += 1
        return messages

    async def send(self, data: bytes | str) -> None:
        await self.send_many((data,))

    async def send_many(self, messages: Sequence[bytes | str]) -> None:
        await trio.lowlevel.checkpoint()
        if self.stuck:
            await trio.sleep_forever()
        if self.closed or self.aborted:
            raise ConnectionClosed
        self.writes += 1
        self.said.extend(decode(message) for message in messages)

    def send_now(self, messages: Sequence[bytes]) -> bool:
        if self.stuck or self.closed or self.aborted:
            return False
        self.writes += 1
        self.said.extend(decode(message) for message in messages)
        return True

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        await trio.lowlevel.checkpoint()
        self.closed = self.closed or (code, reason)
        self._arrived.set()

    def abort(self) -> None:
        self.aborted = True
        self._arrived.set()

    def statistics(self) -> ConnectionStatistics:
        raise AssertionError("nobody asks a fake connection for its statistics")


class DeliveringBus(FakeBus):
    """A fake bus whose durable actions go out through the real delivery."""

    def __init__(self) -> None:
        super().__init__()
        self.delivery = Delivery(BusSettings())
        self.delivered = 0
        self.full = False
        self.after: dict[Callable[[], None], None] | None = None

    @property
    def has_room(self) -> bool:
        return not self.full

    async def wait_room(self) -> None:
        await trio.lowlevel.checkpoint()
        while self.full:
            await trio.sleep(0.01)

    def subscribe(self, rooms: Collection[str] = (), wake: Callable[[], None] | None = None) -> Subscription:
        return self.delivery.subscribe(rooms, wake)

    def publish(self, actions: Sequence[Any]) -> int:
        position = super().publish(actions)
        if self.instantly:
            self.commit()
        return position

    def turn_begins(self) -> None:
        """As below."""

    def turn_over(self, *, others: bool = False) -> None:
        """Commits come when a test says so."""

    def poll(self) -> None:
        """As above."""

    @property
    def handing_out(self) -> bool:
        return self.after is not None

    def after_hand_out(self, work: Callable[[], None]) -> bool:
        if self.after is None:
            return False
        self.after[work] = None
        return True

    def commit(self) -> None:
        after = self.after = {}
        for offset in range(self.delivered, len(self.actions)):
            one = self.actions[offset]
            data = join(encode_halves(one), offset + 1)
            self.delivery.deliver(Sent(offset + 1, one.id, one.room, data, 60.0), trio.current_time())
        self.delivered = len(self.actions)
        super().commit()
        self.after = None
        for work in after:
            work()

    async def locate(self, ids: Collection[str]) -> Mapping[str, bytes]:
        await trio.lowlevel.checkpoint()
        found = {one.id: (offset + 1, one) for offset, one in enumerate(self.actions)}
        return {one: join(encode_halves(found[one][1]), found[one][0]) for one in ids if one in found}


@attrs.define
class Desk:
    """An edge desk, its rooms, and connections on demand."""

    desk: EdgeDesk
    house: House
    bus: DeliveringBus
    nursery: trio.Nursery

    async def connect(self, session: str | None = "s", room: str | None = None) -> MemoryConnection:
        connection = MemoryConnection()
        self.nursery.start_soon(self.desk.serve, connection, RouteParams(session=session, room=room))
        await trio.testing.wait_all_tasks_blocked()
        return connection


@asynccontextmanager
async def a_desk(
    listen: ListenSettings | None = None,
    settings: RoomSettings | None = None,
    past: Mapping[str, bytes] | None = None,
    store: MemoryStore | None = None,
) -> AsyncIterator[Desk]:
    """A running desk over a running house."""
    bus = DeliveringBus()
    async with a_house(settings, past, store, bus=bus) as house, trio.open_nursery() as nursery:
        desk = EdgeDesk(
            listen or ListenSettings(),
            house.rooms,
            bus,
            node="n1",
            epoch="E",
            locate=bus.locate,
            new_jitter=lambda: 0.5,
        )
        yield Desk(desk, house, bus, nursery)
        nursery.cancel_scope.cancel()


_serial = iter(range(10**9))


def say(text: str = "hello", room: str | None = "r1", **more: Any) -> dict[str, Any]:
    """A chat event as an edge sends it."""
    event = {"id": f"x{next(_serial)}", "kind": "chat", "user": "u", "text": text, "ts": clock(), **more}
    return event if room is None else {**event, "room": room}


def events(seq: int, *sent: dict[str, Any], gate: bool = False) -> dict[str, Any]:
    """A frame of events."""
    return {"type": "events", "seq": seq, "gate": gate, "events": list(sent)}
