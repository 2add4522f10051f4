"""The composition root: builds everything and nests it; leaving the nesting in order is the shutdown.

    journal open
        bus running            leaving: everything published is on disk
            recorder running   leaving: everything recorded is in the file
                rooms running  leaving: nothing waits in a room, every room is put away, to be found again
                    listening  leaving: no new connections, what was read is decided and acknowledged, edges go

The admin port, the signals and the watch over the configuration live as long as the bus, so that `/readyz` can say what
is happening while it happens. One deadline stands over the whole way out.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import trio

from roomguard.configure import Configuration, configure, differences
from roomguard.engine.outcome import Alert
from roomguard.engine.overrides import Wish
from roomguard.engine.portions import Portions
from roomguard.engine.program import Program
from roomguard.engine.room import RoomGuard
from roomguard.engine.snapshot import survivors
from roomguard.engine.tally import Tally
from roomguard.errors import ConfigError, ConfigProblem, JournalError, JournalFailed
from roomguard.model.actions import Action
from roomguard.model.events import AnyEvent, Control
from roomguard.runtime import collector
from roomguard.runtime.admin import AdminServer, Controls
from roomguard.runtime.archive import Archive
from roomguard.runtime.bus import ActionBus
from roomguard.runtime.clock import AnchoredClock
from roomguard.runtime.consumers import ConsumerDesk
from roomguard.runtime.edge import EdgeDesk
from roomguard.runtime.house import House
from roomguard.runtime.hub import RoomPorts
from roomguard.runtime.journal_process import JournalProcess
from roomguard.runtime.lag import LagMeter
from roomguard.runtime.listener import Listener
from roomguard.runtime.metrics import Metrics
from roomguard.runtime.operations import Operations
from roomguard.runtime.quietlog import QuietLog
from roomguard.runtime.recorder import Recorder
from roomguard.runtime.reload import Reloader
from roomguard.runtime.rooms import Rooms
from roomguard.runtime.settings_listen import ListenSettings
from roomguard.store.journal import FILE_NAME
from roomguard.store.reader import JournalReader
from roomguard.store.settings import BusSettings
from roomguard.wire import encode_line, encode_welcome

log = logging.getLogger("roomguard")

EXIT_DRAINED, EXIT_JOURNAL_UNUSABLE, EXIT_JOURNAL_FAILED, EXIT_CUT_SHORT = 0, 3, 4, 5
FAILED_LINGER_S = 1.0
"""After the journal failed `/readyz` says so this long before the process ends."""
SWITCH_INTERVAL_S = 0.0001
"""How long a thread that wants to run may have to wait for another, instead of Python's 5 ms. The thread that reads the
journal wakes up several times for one page, and a room that comes back waits for it. And the loop lets go of the
interpreter wherever it sends or searches a text: beside a thread that loads a configuration each of that cost a
millisecond where this was one, and held up the loop for up to 30 at 30,000 events a second."""
EDGES_SHARE = 0.8
"""Of the time for the whole way out, what edges may take of it."""


@attrs.frozen
class Source:
    """Where the configuration comes from, now and at each reload."""

    path: Path
    flags: tuple[str, ...] = ()
    environment: Mapping[str, str] = attrs.field(factory=dict)

    def load(self) -> Configuration:
        """The configuration as it is now. Raises ConfigError."""
        return configure(self.path, self.flags, self.environment)


def serve(configuration: Configuration, source: Source, *, record: Path | None, announce: Callable[[str], None]) -> int:
    """Run the guard until a signal ends it; the exit code. `announce` gets the line that says where it listens.

    Raises ConfigError for settings that turn out to be unusable, such as an address that cannot be listened on.
    """
    app = App(configuration, source, record=record, announce=announce)
    try:
        return trio.run(app.run)
    except BaseExceptionGroup as group:
        return _known_end(group)
    except JournalError as error:
        return _known_end(BaseExceptionGroup("at the start", [error]))


def _known_end(group: BaseExceptionGroup[Any]) -> int:
    """The exit code of an end by errors we know; anything else is a bug and goes on up."""
    refused, other = group.split(ConfigError)
    if refused is not None and other is None:
        raise ConfigError([problem for error in _leaves(refused) for problem in error.problems]) from None
    unusable, other = group.split(JournalError)
    if unusable is None or other is not None:
        raise group
    first = _leaves(unusable)[0]
    log.critical("the journal cannot be used: %s", first)
    return EXIT_JOURNAL_FAILED if isinstance(first, JournalFailed) else EXIT_JOURNAL_UNUSABLE


class App:
    """One guard process: `run` builds it, serves, and takes it apart."""

    def __init__(
        self, configuration: Configuration, source: Source, *, record: Path | None, announce: Callable[[str], None]
    ) -> None:
        self._configuration = configuration
        self._settings = configuration.settings
        self._source = source
        self._record = record
        self._announce = announce
        self._tally = Tally()
        self._alerts = QuietLog(logging.getLogger("roomguard.alerts"))
        self._clock = AnchoredClock(time.time(), 0.0)
        self._stop = trio.Event()
        self._why = ""

    async def run(self) -> int:
        """From the journal to the last byte; the exit code."""
        self._clock = AnchoredClock(time.time(), trio.current_time())
        drain_s = self._settings.listen.drain_s
        with trio.CancelScope() as whole:
            async with (
                _archive(self._settings.bus) as archive,
                _running_bus(archive, self._settings.bus) as bus,
                trio.open_nursery() as around,
            ):
                async with _running_recorder(self._record) as recorder, self._running_rooms(bus, recorder) as rooms:
                    house = self._build(bus, rooms, recorder)
                    async with _listening(house, self._settings.listen) as addresses:
                        await self._open_house(house, around, addresses)
                        await self._stop.wait()
                        log.warning("stopping: %s", self._why)
                        whole.deadline = trio.current_time() + drain_s
                        house.listening = False
                        if bus.failed is not None:
                            await trio.sleep(FAILED_LINGER_S)
                around.cancel_scope.cancel()
        if whole.cancelled_caught:
            log.error("draining took longer than %g s and was cut short", drain_s)
            return EXIT_CUT_SHORT
        if bus.failed is not None:
            log.critical("the journal failed, nothing was acknowledged since: %s", bus.failed)
            return EXIT_JOURNAL_FAILED
        log.info("ended in order")
        return EXIT_DRAINED

    def stop(self, why: str) -> None:
        """Begin to end; the first reason stands."""
        self._why = self._why or why
        self._stop.set()

    # Building

    @asynccontextmanager
    async def _running_rooms(self, bus: ActionBus, recorder: Recorder | None) -> AsyncIterator[Rooms]:
        """Rooms, with the penalties in force that an earlier run left. On the way out each is put away."""
        past: defaultdict[str, list[Action]] = defaultdict(list)
        for action in await bus.archive.penalties_in_force():
            past[action.room].append(action)
        ports = RoomPorts(
            new_guard=partial(_new_guard, self._tally),
            restore_guard=partial(_restored_guard, self._tally),
            publish=bus.publish,
            ended=bus.end,
            store=bus.archive,
            record=None if recorder is None else partial(_write, recorder),
            alert=self._alert,
        )
        rooms = Rooms(
            self._settings.rooms,
            self._configuration.program,
            ports,
            clock=lambda: self._clock.now(trio.current_time()),
            past={room: survivors(actions) for room, actions in past.items()},
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(rooms.run)
            yield rooms
            await rooms.drain()
            await rooms.aclose()
            nursery.cancel_scope.cancel()

    def _build(self, bus: ActionBus, rooms: Rooms, recorder: Recorder | None) -> House:
        """All parts that stand around the rooms."""
        settings = self._settings
        node, epoch = socket.gethostname(), secrets.token_hex(8)
        operations = Operations(rooms, bus.archive)
        edges = EdgeDesk(settings.listen, rooms, bus, node=node, epoch=epoch, locate=partial(_locate, bus))
        consumers = ConsumerDesk(bus, settings.bus, partial(_welcome_consumer, rooms, node, epoch))
        house = House(
            bus=bus,
            rooms=rooms,
            edges=edges,
            consumers=consumers,
            listener=Listener(settings.listen, {"edge": edges.serve, "room": edges.serve, "actions": consumers.serve}),
            operations=operations,
            reloader=Reloader(
                current=self._configuration,
                load=self._source.load,
                compare=differences,
                apply=lambda new: operations.configure(new.program),
                file=self._source.path,
            ),
            recorder=recorder,
            tally=self._tally,
            lag=LagMeter(),
            started=self._clock.wall,
        )
        house.admin = AdminServer(settings.admin, controls(house))
        return house

    async def _open_house(self, house: House, around: trio.Nursery, addresses: list[tuple[str, int]]) -> None:
        """Start what watches and answers, say where, and settle."""
        assert house.admin is not None  # noqa: S101 -- set when it was built
        admin = await around.start(house.admin.serve)
        around.start_soon(self._signals, house)
        around.start_soon(self._watch_journal, house.bus)
        around.start_soon(house.reloader.run)
        around.start_soon(house.lag.run)
        scheme = "ws" if self._settings.listen.cert_file is None else "wss"
        program = self._configuration.program
        self._announce(
            f"roomguard edge={scheme}://{_shown(addresses[0])} admin=http://{_shown(admin[0])} "
            f"config={program.version} mode={program.settings.mode} pid={os.getpid()}"
        )
        collector.begin()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        house.listening = True

    # Watching

    async def _signals(self, house: House) -> None:
        """Ends, reloads, pauses and resumes; the second signal to end means now."""
        handled = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
        with trio.open_signal_receiver(*handled) as signals:
            async for number in signals:
                if number in (signal.SIGTERM, signal.SIGINT):
                    if self._stop.is_set():
                        log.warning("ending now; what was acknowledged is on disk")
                        logging.shutdown()
                        os._exit(128 + number)
                    self.stop(signal.Signals(number).name)
                elif number == signal.SIGHUP:
                    house.reloader.request("SIGHUP")
                elif number == signal.SIGUSR1:
                    await house.operations.pause()
                else:
                    await house.operations.resume()

    async def _watch_journal(self, bus: ActionBus) -> None:
        self.stop(f"the journal failed: {await bus.wait_failed()}")

    def _alert(self, alert: Alert) -> None:
        self._tally.alerts[alert.code] += 1
        detail = f"{alert.code} room={alert.room!r} rule={alert.rule!r} {alert.detail}"
        self._alerts.say(trio.current_time(), logging.WARNING, "%s", detail)


# What is entered, and what leaving it does


@asynccontextmanager
async def _archive(settings: BusSettings) -> AsyncIterator[Archive]:
    """The journal open, by the process that writes it and by our reader."""
    async with JournalProcess.run(settings) as writer:
        reader = await trio.to_thread.run_sync(JournalReader, Path(settings.data_dir) / FILE_NAME)
        try:
            yield Archive(writer, reader, settings)
        finally:
            reader.close()


@asynccontextmanager
async def _running_bus(archive: Archive, settings: BusSettings) -> AsyncIterator[ActionBus]:
    """The bus at work. On the way out what was published is written, unless the journal failed."""
    bus = ActionBus(archive, settings)
    async with trio.open_nursery() as nursery:
        await nursery.start(bus.run)
        yield bus
        with suppress(JournalFailed):  # said by the exit code
            await bus.drain()
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def _running_recorder(path: Path | None) -> AsyncIterator[Recorder | None]:
    """The recorder at work, if there is one. On the way out the file is whole."""
    if path is None:
        yield None
        return
    try:
        recorder = Recorder(path)
    except OSError as error:
        raise ConfigError([ConfigProblem("--record", None, str(path), f"{error.strerror or error}")]) from None
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(recorder.run)
            yield recorder
            nursery.cancel_scope.cancel()
    finally:
        await recorder.aclose()


@asynccontextmanager
async def _listening(house: House, settings: ListenSettings) -> AsyncIterator[list[tuple[str, int]]]:
    """The listener at work. On the way out edges are drained; with a failed journal there is nothing to wait for."""
    async with trio.open_nursery() as nursery:
        yield await nursery.start(house.listener.serve)
        await house.listener.stop_accepting()
        await house.edges.drain(0.0 if house.bus.failed is not None else settings.drain_s * EDGES_SHARE)
        await house.consumers.drain(settings.close_s)
        nursery.cancel_scope.cancel()


# What parts need of one another


def controls(house: House) -> Controls:
    """What the admin endpoint can ask of the process."""
    operations = house.operations
    pages: list[Metrics] = []

    def metrics() -> bytes:
        if not pages:
            pages.append(house.metrics())  # the admin endpoint itself is on it, so it is made late
        return pages[0].page()

    async def undo(action_id: str) -> dict[str, Any]:
        return attrs.asdict(await operations.undo(action_id))

    async def undo_rule(rule: str, since: float) -> dict[str, Any]:
        return attrs.asdict(await operations.undo_rule(rule, since))

    async def override(room: str, wish: Wish | None) -> dict[str, Any]:
        return attrs.asdict(await operations.override(room, wish))

    async def status() -> dict[str, Any]:
        return {**house.status(), "unusual": await operations.unusual()}

    async def pause() -> dict[str, Any]:
        return {"changed": await operations.pause(), "paused": True}

    async def resume() -> dict[str, Any]:
        return {"changed": await operations.resume(), "paused": False}

    async def reload() -> dict[str, Any]:
        return attrs.asdict(await house.reloader.reload("admin endpoint"))

    return Controls(
        not_ready=house.not_ready,
        metrics=metrics,
        status=status,
        undo=undo,
        undo_rule=undo_rule,
        override=override,
        pause=pause,
        resume=resume,
        reload=reload,
    )


def _new_guard(tally: Tally, room: str, program: Program) -> RoomGuard:
    return RoomGuard(room, program, tally)


def _restored_guard(tally: Tally, room: str, program: Program, data: bytes) -> Portions[RoomGuard]:
    return RoomGuard.restore_in_portions(room, program, data, tally)


def _write(recorder: Recorder, record: AnyEvent | Control) -> None:
    recorder.write(encode_line(record).rstrip())


def _welcome_consumer(rooms: Rooms, node: str, epoch: str, first_offset: int) -> bytes:
    return encode_welcome(node=node, epoch=epoch, config=rooms.program.version, first_offset=first_offset)


async def _locate(bus: ActionBus, ids: Collection[str]) -> dict[str, bytes]:
    """Actions as they stand on disk, offset included; what is not there is left out."""
    reader = bus.archive.reader

    def find() -> dict[str, bytes]:
        return {one: stored.json() for one in ids if (stored := reader.action(one)) is not None}

    return await bus.archive.in_reader(find)


def _shown(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _leaves(group: BaseExceptionGroup[Any]) -> list[Any]:
    """The exceptions in a group of groups."""
    out: list[Any] = []
    for error in group.exceptions:
        out += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return out
