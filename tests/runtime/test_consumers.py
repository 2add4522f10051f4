# ruff: noqa: ARG001 - a test gets the autojump clock by naming it
from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from roomguard.runtime.consumers import ConsumerDesk
from roomguard.runtime.handshake import RouteParams
from roomguard.runtime.transport import ConnectionClosed, ConnectionStatistics
from roomguard.wire import encode_welcome
from tests.runtime.inline_archive import Bench
from tests.store.building import action

settled = trio.testing.wait_all_tasks_blocked


class FakeConnection:
    """A connection in memory: what is sent piles up in `frames`, unless the peer stops reading."""

    path = "/v1/actions"
    peer = "fake:1"
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self.aborted = False
        self.sizes: list[int] = []
        self._say, self._inbox = trio.open_memory_channel[str](100)
        self._reads = trio.Event()
        self._reads.set()

    def say(self, text: str) -> None:
        self._say.send_nowait(text)

    def stop_reading(self) -> None:
        self._reads = trio.Event()

    def read_on(self) -> None:
        self._reads.set()

    def hang_up(self) -> None:
        self._say.close()

    async def receive(self) -> list[bytes]:
        try:
            return [(await self._inbox.receive()).encode()]
        except (trio.EndOfChannel, trio.ClosedResourceError):
            raise ConnectionClosed(1000) from None

    async def send(self, data: bytes | str) -> None:
        await trio.lowlevel.checkpoint()
        if self.closed or self.aborted:
            raise ConnectionClosed
        await self._reads.wait()
        self.sizes.append(len(data))
        self.frames.append(json.loads(data))

    async def send_many(self, messages: Sequence[bytes | str]) -> None:
        for message in messages:
            await self.send(message)

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        await trio.lowlevel.checkpoint()
        self.closed = self.closed or (code, reason)
        self._inbox.close()

    def abort(self) -> None:
        self.aborted = True
        self._inbox.close()

    def statistics(self) -> ConnectionStatistics:
        raise AssertionError("not asked for")

    @property
    def offsets(self) -> list[int]:
        return [one["offset"] for frame in self.frames if frame["type"] == "actions" for one in frame["actions"]]

    @property
    def errors(self) -> list[str]:
        return [frame["code"] for frame in self.frames if frame["type"] == "error"]


class Office:
    """A bus, its desk, and consumers that come and go."""

    def __init__(self, folder: Path, nursery: trio.Nursery, **changes: Any) -> None:
        self.bench = Bench(folder, **changes)
        self.bus = self.bench.bus
        self.desk = ConsumerDesk(
            self.bus,
            self.bench.settings,
            lambda first: encode_welcome(node="n", epoch="e", config="c", first_offset=first),
        )
        self.nursery = nursery

    async def publish(self, *numbers: int) -> None:
        await self.bus.wait_durable(self.bus.publish([action(number) for number in numbers]))
        await settled()

    async def connect(self, **wish: Any) -> FakeConnection:
        connection = FakeConnection()
        self.nursery.start_soon(self.desk.serve, connection, RouteParams(**wish))
        await settled()
        return connection


@pytest.fixture
async def office(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Office]:
    office = Office(tmp_path, nursery, subscriber_actions=5, consumers=2, consumer_frame_bytes=1500)
    await office.bench.start(nursery)
    yield office
    office.bench.close()


async def test_only_what_is_new(office: Office, autojump_clock: object) -> None:
    """Without `after` and without a name only new actions come; the welcome says where the bus begins."""
    await office.publish(1, 2)
    consumer = await office.connect()
    await office.publish(3)
    await office.publish(4, 5)

    assert consumer.frames[0] == {
        "type": "welcome",
        "protocol": "roomguard.v1",
        "node": "n",
        "epoch": "e",
        "config": "c",
        "first_offset": 1,
    }
    assert consumer.offsets == [3, 4, 5]
    assert consumer.frames[1]["actions"][0]["id"] == action(3).id


@pytest.mark.parametrize("after", [0, 1, 699, 1200])
async def test_from_disk_to_live_without_a_seam(office: Office, autojump_clock: object, after: int) -> None:
    """What is on disk comes first, in pages and bounded frames, then what is new: no gap, nothing twice."""
    office.bus.publish([action(number) for number in range(1200)])
    await office.bus.drain()
    consumer = await office.connect(after=after)
    for number in range(1200, 1230, 3):
        await office.publish(number, number + 1, number + 2)

    assert consumer.offsets == list(range(after + 1, 1231))
    assert max(consumer.sizes) <= 1500


async def test_while_others_publish(office: Office, autojump_clock: object) -> None:
    """Catching up races with publishing and still sees each action once."""
    consumers = [FakeConnection() for _ in range(4)]
    for number in range(0, 400, 4):
        office.bus.publish([action(one) for one in range(number, number + 4)])
        if number % 100 == 0:
            office.nursery.start_soon(office.desk.serve, consumers[number // 100], RouteParams(after=0))
        await trio.lowlevel.checkpoint()
    await office.bus.drain()
    await settled()

    assert [consumer.offsets for consumer in consumers] == [list(range(1, 401))] * 4


async def test_rooms(office: Office, autojump_clock: object) -> None:
    """With `rooms` only their actions come, from disk and live."""
    await office.publish(*range(1, 31))
    consumer = await office.connect(after=10, rooms=("room-1", "room-2"))
    await office.publish(31, 32, 33)

    assert consumer.offsets == [one for one in range(11, 34) if one % 3]


async def test_name_is_remembered(office: Office, autojump_clock: object) -> None:
    """A named consumer goes on after what it acknowledged, or after where it first came, also after a restart."""
    await office.publish(1, 2)
    first = await office.connect(consumer="audit")
    await office.publish(3, 4, 5)
    first.hang_up()
    await settled()
    second = await office.connect(consumer="audit")
    assert second.offsets == [3, 4, 5]
    second.say('{"type":"ack","offset":4}')
    second.say('{"type":"ack","offset":3}')
    await trio.sleep(0.2)
    second.hang_up()
    await settled()

    third = await office.connect(consumer="audit")
    assert third.offsets == [5]
    assert office.bench.journal.reader.consumers() == {"audit": 4}


async def test_after_wins_over_memory(office: Office, autojump_clock: object) -> None:
    """`after` is where a named consumer begins, whatever is remembered."""
    await office.publish(1, 2, 3)
    assert office.bus.remember("audit", 3)
    consumer = await office.connect(consumer="audit", after=1)

    assert consumer.offsets == [2, 3]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"type":"ack","offset":3}', "bad_ack"),
        ('{"type":"ack","offset":-1}', "bad_frame"),
        ('{"type":"ack","offset":1.5}', "bad_frame"),
        ('{"type":"ack","offset":true}', "bad_frame"),
        ('{"type":"ack"}', "bad_frame"),
        ('{"type":"subscribe","rooms":["r"]}', "bad_frame"),
        ("nonsense", "bad_frame"),
        ("[" * 100_000, "bad_frame"),
    ],
)
async def test_bad_frames(office: Office, autojump_clock: object, text: str, code: str) -> None:
    """What is no ack, or acknowledges what was never sent, gets an error, changes nothing, and the connection stays."""
    await office.publish(1, 2)
    consumer = await office.connect(after=0, consumer="audit")
    consumer.say(text)
    await settled()
    await office.publish(3)

    assert consumer.errors == [code]
    assert consumer.offsets == [1, 2, 3]
    assert office.bus.remembered("audit") == 0


async def test_offset_gone(tmp_path: Path, nursery: trio.Nursery, autojump_clock: object) -> None:
    """An `after` older than what is kept is an error that says what is kept; from there on it works."""
    office = Office(tmp_path, nursery, keep_days=1.0, prune_every_s=3600.0)
    await office.bench.start(nursery)
    await office.publish(1, 2, 3)
    await trio.sleep(2 * 86_400)
    await office.publish(4)

    gone = await office.connect(after=2)
    assert [frame["type"] for frame in gone.frames] == ["welcome", "error"]
    assert gone.frames[0]["first_offset"] == 4
    assert gone.errors == ["offset_gone"]
    assert gone.closed == (1008, "offset_gone")
    assert (await office.connect(after=3)).offsets == [4]
    office.bench.close()


async def test_refusals(office: Office, autojump_clock: object) -> None:
    """An offset that was never given out, and one name too many, are errors."""
    await office.publish(1)
    ahead = await office.connect(after=2)
    names = [await office.connect(consumer=name) for name in ("a", "b", "c")]

    assert ahead.errors == ["offset_ahead"]
    assert [one.errors for one in names] == [[], [], ["too_many_consumers"]]
    assert office.desk.statistics().refused == 2
    assert office.desk.statistics().connections == 2


async def test_newest_connection_of_a_name_wins(office: Office, autojump_clock: object) -> None:
    """An older connection of the name is closed with 4409, and its acks count no more."""
    old = await office.connect(consumer="audit")
    await office.publish(1, 2)
    new = await office.connect(consumer="audit")
    await office.publish(3)

    assert old.closed is not None
    assert old.closed[0] == 4409
    assert old.offsets == [1, 2]
    assert new.offsets == [1, 2, 3]
    new.hang_up()
    await settled()
    assert office.desk.statistics().connections == 0


async def test_drain(office: Office, autojump_clock: object) -> None:
    """A planned end closes everybody with 1012, and waits for one that is in the middle of a frame only so long."""
    stuck, quick = await office.connect(), await office.connect(consumer="audit")
    stuck.stop_reading()
    await office.publish(1)
    began = trio.current_time()
    await office.desk.drain(2.0)

    assert trio.current_time() - began == 2.0
    assert (quick.closed, quick.offsets) == ((1012, "restart"), [1])
    assert office.desk.statistics().connections == 1


async def test_slow_reader_reads_on_from_disk(office: Office, autojump_clock: object) -> None:
    """One that falls behind the queue in memory misses nothing: it goes on from the disk."""
    consumer = await office.connect()
    consumer.stop_reading()
    for number in range(20):
        await office.publish(number)
    consumer.read_on()
    await settled()

    assert consumer.offsets == list(range(1, 21))
    assert office.desk.statistics().overtaken == 1


async def test_stuck_reader_is_cut(office: Office, autojump_clock: object) -> None:
    """One that takes nothing until the deadline is cut, others are not delayed, and it resumes by offset."""
    stuck, other = await office.connect(consumer="audit"), await office.connect()
    stuck.stop_reading()
    await office.publish(1, 2)
    await trio.sleep(9)
    assert not stuck.aborted
    await trio.sleep(2)
    assert stuck.aborted
    assert office.desk.statistics().cut == 1
    assert other.offsets == [1, 2]
    assert (await office.connect(consumer="audit")).offsets == [1, 2]
