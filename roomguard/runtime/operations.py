"""What an operator can do to a running guard besides reloading it: pause and resume, take actions back.

Pausing judges every room in shadow: everything is decided and counted, nothing is sent, penalties in force stay. What
is taken back goes to its room as a control record, so that it is decided, recorded and replayed like everything else.
"""

from __future__ import annotations

import logging

import attrs
import trio

from roomguard.engine.program import Program, compile_program
from roomguard.errors import RemoteError
from roomguard.model.actions import INVERSES, Action
from roomguard.model.events import Control
from roomguard.runtime.archive import Archive
from roomguard.runtime.rooms import Rooms

log = logging.getLogger(__name__)

UNDO_MOST = 10_000
"""Actions of a rule taken back by one request; the answer says that there are more."""
UNDO_CHUNK = 100
"""Of them before others get their turn."""


@attrs.frozen
class Undone:
    """What came of taking actions back."""

    found: int
    """Actions that could be taken back."""
    told: int
    """Of them those whose room took the order; the others' rooms had no room for it: ask again."""
    more: bool = False
    """Whether there are more of them: ask again."""


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
