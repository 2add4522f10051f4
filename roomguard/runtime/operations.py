"""What an operator can do to a running guard besides reloading it: pause, take actions back, override one room.

Pausing judges every room in shadow: everything is decided and counted, nothing is sent, penalties in force stay. What
is taken back or set for one room goes there as a control record, so that it is decided, recorded and replayed like
everything else.
"""

from __future__ import annotations

import logging
from typing import Any

import attrs
import trio

from roomguard.engine.overrides import Wish, problems_of
from roomguard.engine.program import Program, compile_program
from roomguard.engine.room import RoomGuard
from roomguard.errors import RemoteError, WishError
from roomguard.model.actions import INVERSES, Action
from roomguard.model.events import Control
from roomguard.runtime.archive import Archive
from roomguard.runtime.rooms import Rooms

log = logging.getLogger(__name__)

UNDO_MOST = 10_000
"""Actions of a rule taken back by one request; the answer says that there are more."""
UNDO_CHUNK = 100
"""Of them before others get their turn."""
SHOWN_ROOMS = 100
"""Rooms listed as judged otherwise than usual; the others are only counted."""
LOOK_CHUNK = 2_000
"""Rooms looked at for that before others get their turn."""


@attrs.frozen
class Undone:
    """What came of taking actions back."""

    found: int
    """Actions that could be taken back."""
    told: int
    """Of them those whose room took the order; the others' rooms had no room for it: ask again."""
    more: bool = False
    """Whether there are more of them: ask again."""


@attrs.frozen
class Overridden:
    """What came of setting something for one room, or of ending all of that."""

    room: str
    live: bool
    """Whether the room was live before; one that was not is opened for it, and waits."""
    ttl_s: float
    """Seconds until it ends by itself; 0 where it ends what was set."""


class Operations:
    """Acts on the rooms of one process."""

    def __init__(self, rooms: Rooms, archive: Archive) -> None:
        self._rooms = rooms
        self._archive = archive
        self._program = rooms.program
        self._paused = False
        self._turn = trio.Lock()

    @property
    def paused(self) -> bool:
        """Whether enforcing is paused."""
        return self._paused

    async def configure(self, program: Program) -> None:
        """Judge by `program` from now on; a pause goes on."""
        async with self._turn:
            self._program = program
            await self._rooms.configure(await self._judging(paused=self._paused))

    async def pause(self) -> bool:
        """Send no actions from now on; False if that was so already."""
        return await self._switch(paused=True)

    async def resume(self) -> bool:
        """Enforce again; False if that was so already."""
        return await self._switch(paused=False)

    async def _switch(self, *, paused: bool) -> bool:
        async with self._turn:
            if self._paused == paused:
                return False
            await self._rooms.configure(await self._judging(paused=paused))
            self._paused = paused
            log.warning("enforcing is %s", "paused: everything is decided, nothing is sent" if paused else "resumed")
            return True

    async def _judging(self, *, paused: bool) -> Program:
        """The program to judge by: the configured one, or its shadow."""
        if not paused or self._program.settings.mode == "shadow":
            return self._program
        settings = attrs.evolve(self._program.settings, mode="shadow")
        return await trio.to_thread.run_sync(compile_program, settings, self._program.model)

    async def undo(self, action_id: str) -> Undone:
        """Take one action back.

        Raises RemoteError: `unknown_action` for one that is not on disk, `not_undoable` for a kind without an inverse.
        """
        action = await self._archive.find(action_id)
        if action is None:
            raise RemoteError("unknown_action", action_id)
        if action.kind not in INVERSES:
            raise RemoteError("not_undoable", f"a {action.kind} has no inverse")
        return Undone(1, int(self._tell(action)))

    async def undo_rule(self, rule: str, since: float) -> Undone:
        """Take back what a rule did from room time `since` (Unix seconds) on, the oldest first, at most UNDO_MOST."""
        actions = await self._archive.find_by_rule(rule, since, UNDO_MOST + 1)
        chosen = actions[:UNDO_MOST]
        told = 0
        for number, action in enumerate(chosen):
            told += self._tell(action)
            if number % UNDO_CHUNK == UNDO_CHUNK - 1:
                await trio.lowlevel.checkpoint()
        log.warning("taking back %d actions of rule %s since %.0f", told, rule, since)
        return Undone(len(chosen), told, more=len(actions) > UNDO_MOST)

    async def override(self, room: str, wish: Wish | None) -> Overridden:
        """Set something for one room and a while; None ends everything that was set there.

        Raises WishError with all that is wrong with it, RemoteError `unavailable` where the room takes nothing now.
        """
        await trio.lowlevel.checkpoint()
        live = self._rooms.get(room)
        guard = None if live is None else live.guard
        if wish is not None:
            strategy = guard.stance.usual(guard) if isinstance(guard, RoomGuard) else None
            problems = problems_of(wish, self._rooms.program, strategy)
            if problems:
                raise WishError("bad_override", problems)
        settings = {} if wish is None else wish.settings()
        ttl_s = 0.0 if wish is None else wish.ttl_s
        if not self._rooms.control(Control(type="override", room=room, ts=0.0, settings=settings, ttl_s=ttl_s)):
            raise RemoteError("unavailable", "there is no place for it now; ask again")
        told = f"{settings} for {ttl_s:g} s" if settings else "nothing more"
        log.warning("room %r: an operator sets %s", room, told)
        return Overridden(room, live is not None, ttl_s)

    async def unusual(self) -> dict[str, Any]:
        """Rooms with overrides or above calm: `count`, and the first `SHOWN_ROOMS` of them in `rooms`."""
        count = 0
        shown: list[dict[str, Any]] = []
        for number, live in enumerate(self._rooms.live(), 1):
            if number % LOOK_CHUNK == 0:
                await trio.lowlevel.checkpoint()
            guard = live.guard
            if not isinstance(guard, RoomGuard) or (not guard.stance.overrides and guard.stance.mode == "calm"):
                continue
            count += 1
            if len(shown) < SHOWN_ROOMS:
                now = live.room_now()
                overrides = [
                    {"settings": dict(override.settings), "left_s": round(max(0.0, override.until - now), 1)}
                    for override in guard.stance.overrides
                ]
                shown.append({"room": live.name, "mode": guard.stance.mode, "strategy": guard.strategy.name,
                              "overrides": overrides})  # fmt: skip
        return {"count": count, "rooms": shown}

    def _tell(self, action: Action) -> bool:
        return self._rooms.control(
            Control(
                type="undo",
                room=action.room,
                ts=0.0,
                action=action.id,
                kind=action.kind,
                user=action.user,
                rule=action.rule,
                until=action.until,
                events=None if action.events is None else list(action.events),
            )
        )
