"""What all rooms of a registry share: the ways out of a room, the guard's shape, the counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Protocol

import attrs

from roomguard.engine.outcome import Alert, Outcome
from roomguard.engine.portions import Portions
from roomguard.engine.program import Program
from roomguard.model.actions import Action
from roomguard.model.events import AnyEvent, Control, Event
from roomguard.runtime.settings_rooms import RoomSettings
from roomguard.runtime.tickets import Ticket

if TYPE_CHECKING:
    from roomguard.runtime.room import LiveRoom


class Guard(Protocol):
    """One room's mind, as `engine.room.RoomGuard` is. `now` is room time, Unix seconds."""

    @property
    def deadline(self) -> float:
        """What `next_deadline` says or earlier, infinity for None; cheap to read."""
        ...

    def receive(self, event: AnyEvent, now: float) -> Outcome:
        """Judge one event."""
        ...

    def control(self, record: Control, now: float) -> Outcome:
        """Take a control record."""
        ...

    def expire(self, now: float) -> Outcome:
        """Run the deadlines due by `now`."""
        ...

    def next_deadline(self) -> float | None:
        """When `expire` has something to do."""
        ...

    def in_force(self) -> list[Action]:
        """Penalties in force."""
        ...

    def survivors(self) -> bytes:
        """What outlives a crash."""
        ...

    def snapshot_in_portions(self) -> Portions[bytes]:
        """The whole room at rest, which takes no input meanwhile."""
        ...

    def configure(self, program: Program) -> None:
        """Judge by another program from here on."""
        ...

    def idle_at(self) -> float:
        """When every window has run out."""
        ...


class RoomStore(Protocol):
    """Where rooms are put aside, whole; the action bus is one. Faults are raised as RoomguardError or OSError."""

    def has_snapshot(self, room: str) -> bool:
        """Whether it is worth asking for this room; from memory."""
        ...

    async def load_snapshot(self, room: str) -> bytes | None:
        """What was put aside for this room, None if nothing was."""
        ...

    async def save_snapshots(self, snapshots: Mapping[str, bytes]) -> None:
        """Keep these rooms, in one go."""
        ...


class RoomState(Enum):
    """Where a room stands in its life."""

    OPENING = "opening"
    """Its guard is not there yet: it may be read from disk."""
    RUNNING = "running"
    RESTARTING = "restarting"
    """It crashed and waits for its restart."""
    QUARANTINED = "quarantined"
    """It crashed too often; nothing is judged until it is released."""
    ENDED = "ended"


@attrs.define
class RoomCounters:
    """What all rooms of a registry count together."""

    kinds: Counter[type[Event]] = attrs.field(factory=Counter)
    verdicts: Counter[str] = attrs.field(factory=Counter)
    actions: int = 0
    alerts: int = 0
    shed: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    rejected: Counter[str] = attrs.field(factory=Counter)
    controls: Counter[str] = attrs.field(factory=Counter)
    controls_refused: int = 0
    peak_mailbox: int = 0
    states_lost: int = 0
    saves_failed: int = 0
    opened: int = 0
    put_away: int = 0
    closed: int = 0
    deadlines: int = 0


@attrs.frozen(kw_only=True)
class RoomPorts:
    """What rooms need of the rest of the house. Every call is synchronous and quick, but for the store's."""

    new_guard: Callable[[str, Program], Guard]
    restore_guard: Callable[[str, Program, bytes], Portions[Guard]]
    """A guard as it was when its snapshot was made. Raises ValueError for what is no snapshot."""
    publish: Callable[[Sequence[Action]], int]
    """Puts actions on the bus in order; returns the position that is durable when all of them are."""
    ended: Callable[[Collection[str]], None]
    """These actions (ids) were ended early by a human in the room."""
    store: RoomStore
    record: Callable[[AnyEvent | Control], None] | None = None
    """Gets every event and control record as its room took it, in that order."""
    alert: Callable[[Alert], None] | None = None


@attrs.define(slots=True, kw_only=True)
class Hub:
    """What every room of a registry shares. Made by the registry."""

    settings: RoomSettings
    program: Program
    first_version: str
    """The version the process started with: what a recording is judged by until a `config` record says otherwise."""
    ports: RoomPorts
    clock: Callable[[], float]
    """Unix seconds."""
    arm: Callable[[LiveRoom, float], None]
    """Have `expire_due` called at a time of `clock`."""
    queued: Callable[[Ticket], None]
    """A ticket has to wait in a mailbox: mind its deadline."""
    ending: Callable[[LiveRoom], None]
    """A room closed and may be put away."""
    grace: Callable[[], float]
    """Seconds of grace for a room that comes back from an earlier run of the process now."""
    past: Callable[[str], bytes | None]
    """What a room must know of penalties in force when it opens for the first time in this process: a `state`."""
    put_away: Callable[[str], str | None]
    """For a room that this process put aside itself, so that its snapshot continues this process's recording: the
    configuration version its recording stands at. None for any other."""
    counters: RoomCounters = attrs.field(factory=RoomCounters)
