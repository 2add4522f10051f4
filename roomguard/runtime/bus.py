"""The action bus: an action is on disk before anyone hears of it.

`publish` is synchronous and cheap: a room's step calls it. One task gathers what was published, has the journal's own
process write and sync it in one transaction (group commit: what comes meanwhile shares the next), and only then hands
it out and lets acks go. Positions count what was published in this run of the process; the journal gives the offsets.

When the disk is slow, actions wait in memory: they are never shed, but beyond `backlog` of them the readers of edges
are told to pause (`wait_room`), so at most `backlog` and what the frames already read cause are waiting. When the disk
is full the same happens while the commit is tried again and again. When the disk fails the bus latches: nothing is
acknowledged or handed out any more, and the process should end.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from heapq import heappop, heappush
from itertools import count, islice

import attrs
import trio

from roomguard.errors import JournalError, JournalFailed
from roomguard.model.actions import Action, join
from roomguard.runtime.archive import Archive
from roomguard.runtime.delivery import Delivery, DeliveryStatistics, Subscription
from roomguard.runtime.metrics import Histogram, HistogramStatistics
from roomguard.runtime.resender import Sent
from roomguard.store.journal import JournalStalled
from roomguard.store.records import Draft, Stored, draft
from roomguard.store.settings import BusSettings

log = logging.getLogger(__name__)


@attrs.frozen
class BusStatistics:
    """What went through the bus since the process began."""

    published: int
    repeats: int
    """Actions not published again because their id was known, in memory or in the journal."""
    refused: int
    """Actions published after the journal failed: they are lost, and nothing they belong to is acknowledged."""
    waiting: int
    peak_waiting: int
    commits: int
    stalls: int
    """Commits that had to be tried again because the disk was full."""
    callback_errors: int
    failed: bool
    stalled: bool
    last_offset: int
    commit_seconds: HistogramStatistics


GATHER_S = 0.005
"""How long a commit waits for others whose turn it is. A commit takes the guard and the journal's process half a
millisecond of CPU, however many actions are in it: one for each turn of a loop that is behind was a tenth of it."""


@attrs.define
class _Counters:
    repeats: int = 0
    refused: int = 0
    peak_waiting: int = 0
    commits: int = 0
    stalls: int = 0
    callback_errors: int = 0


class ActionBus:
    """Makes actions durable and hands them out. `run` must be running for anything to become durable."""

    def __init__(self, archive: Archive, settings: BusSettings) -> None:
        self.archive = archive
        """What is on disk, for reading, and the rooms put aside."""
        self._settings = settings
        self._wall = archive.wall
        self._writer = archive.writer
        self._delivery = Delivery(settings)
        self._waiting: deque[Draft] = deque()
        self._recent: dict[str, int] = {}
        self._published = 0
        self._durable = 0
        self._last_offset = self._writer.last_offset
        self._remembered = archive.reader.consumers()
        self._acks: dict[str, int] = {}
        self._ended: list[str] = []
        self._callbacks: list[tuple[int, int, Callable[[], None]]] = []
        self._callback_order = count()
        self._to_commit = trio.Event()
        self._to_flush = trio.Event()
        self._progress = trio.Event()
        self._failure = trio.Event()
        self._failed: JournalFailed | None = None
        self._stalled = False
        self._committing = False
        self._in_turn = False
        self._gathers_until: float | None = None
        self._flush_due = False
        self.handing_out = False
        """Whether what a commit let go is just being handed out; looked at for each ack, so no property."""
        self._after: dict[Callable[[], None], None] = {}
        self._counters = _Counters()
        self._commit_seconds = Histogram()

    # Publishing -------------------------------------------------------------------------------------------------------

    def publish(self, actions: Iterable[Action]) -> int:
        """Queue actions for the disk in this order; returns the position that is durable when all of them are.

        An id published before is not published again, and its position is the old one. No actions: position 0, which
        is durable from the start. Never waits, never sheds; see `wait_room`.

        Raises:
            ValueError: an action cannot be encoded. The ones before it are queued.
        """
        position = 0
        recent = self._recent
        for action in actions:
            known = recent.get(action.id)
            if known is None:
                known = self._enqueue(action)
            else:
                self._counters.repeats += 1
            position = max(position, known)
        return position

    def _enqueue(self, action: Action) -> int:
        entry = draft(action)
        self._published += 1
        if self._failed is not None:
            self._counters.refused += 1
            return self._published
        self._waiting.append(entry)
        self._recent[entry.id] = self._published
        if len(self._recent) > self._settings.dedupe_ids:
            del self._recent[next(iter(self._recent))]
        if not self._in_turn:
            self._to_commit.set()
        return self._published

    def end(self, action_ids: Collection[str]) -> None:
        """These penalties are over early by a human's doing, and must not come back after a restart.

        Not needed for an action that has `undoes`. Written with the next commit.
        """
        if action_ids and self._failed is None:
            self._ended.extend(action_ids)
            self._to_commit.set()

    @property
    def has_room(self) -> bool:
        """Whether the disk keeps up: fewer than `backlog` actions wait for it."""
        return len(self._waiting) < self._settings.backlog

    async def wait_room(self) -> None:
        """Until the disk keeps up; readers of edges call it before they read on when `has_room` is false.

        Raises:
            JournalFailed: it never will.
        """
        await trio.lowlevel.checkpoint()
        while not self.has_room:
            await self._step()

    # Durability -------------------------------------------------------------------------------------------------------

    @property
    def durable(self) -> int:
        """The position up to which everything published is on disk and was handed out."""
        return self._durable

    @property
    def last_offset(self) -> int:
        """The offset of the last action on disk."""
        return self._last_offset

    @property
    def first_offset(self) -> int:
        """The oldest offset a consumer can still get, `last_offset + 1` if none."""
        return self._writer.first_offset

    @property
    def failed(self) -> JournalFailed | None:
        """What latched the bus, None while it is well."""
        return self._failed

    @property
    def stalled(self) -> bool:
        """Whether the disk is full right now and commits are being tried again."""
        return self._stalled

    async def wait_failed(self) -> JournalFailed:
        """Until the bus has failed; returns why."""
        await self._failure.wait()
        assert self._failed is not None  # noqa: S101  # set before the event
        return self._failed

    async def wait_durable(self, position: int) -> None:
        """Until everything up to `position` is on disk and was handed out.

        Raises:
            JournalFailed: it never will be.
        """
        await trio.lowlevel.checkpoint()
        while self._durable < position:
            await self._step()

    def when_durable(self, position: int, callback: Callable[[], None]) -> None:
        """Call `callback` once `position` is durable: at once if it is, else from the bus's task; never if it fails.

        It must be quick, must not raise (what it raises is logged and counted) and must not close a subscription.
        """
        if position <= self._durable:
            callback()
        elif self._failed is None:
            heappush(self._callbacks, (position, next(self._callback_order), callback))

    async def drain(self) -> None:
        """Until all that was published, acknowledged and ended so far is on disk. Raises as `wait_durable` does."""
        await self.wait_durable(self._published)
        while self._acks or self._ended or self._committing:
            if self._acks or self._ended:
                # Only then: asked for during a commit with nothing to follow, one empty commit would call the next.
                self._flush_due = True
                self._to_commit.set()
            await self._step()

    async def _step(self) -> None:
        """One commit further, or the failure."""
        if self._failed is not None:
            raise JournalFailed(str(self._failed)) from self._failed
        await self._progress.wait()

    # Delivery ---------------------------------------------------------------------------------------------------------

    def subscribe(self, rooms: Iterable[str] = (), wake: Callable[[], None] | None = None) -> Subscription:
        """What an edge connection gets: every action of its rooms once durable, again until enforced.

        `wake` is called when something starts to wait; it must only set a flag or an event.
        """
        return self._delivery.subscribe(rooms, wake)

    def tail(self, rooms: Collection[str] | None = None) -> Subscription:
        """What a consumer gets: each action after `last_offset` once, of all rooms or some."""
        return self._delivery.tail(rooms)

    # Named consumers --------------------------------------------------------------------------------------------------

    def remembered(self, consumer: str) -> int | None:
        """The offset this consumer acknowledged last, None if the name is new."""
        return self._remembered.get(consumer)

    def remember(self, consumer: str, offset: int) -> bool:
        """This consumer needs nothing up to `offset` any more; False if there are too many names for a new one.

        Written soon after (see `consumer_ack_ms`); a crash before that makes the consumer see some actions again.
        """
        if consumer not in self._remembered and len(self._remembered) >= self._settings.consumers:
            return False
        self._remembered[consumer] = offset
        if self._failed is None:
            self._acks[consumer] = offset
            self._to_flush.set()
        return True

    # The work ---------------------------------------------------------------------------------------------------------

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Commit, hand out, repeat and tidy up until cancelled. A commit under way is finished first."""
        await self._hold_recent()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._commit_all)
            nursery.start_soon(self._flush_acks)
            nursery.start_soon(self._delivery.repeat)
            nursery.start_soon(self._tidy)
            nursery.start_soon(self._watch)
            task_status.started()

    async def _hold_recent(self) -> None:
        """What was written just before the last end of the process may have reached nobody: the next taker gets it."""
        settings, now = self._settings, self._wall()
        window = settings.resend_every_s * settings.resend_times
        archive = self.archive
        recent = await archive.in_reader(archive.reader.written_since, now - window, settings.resend_actions)
        for stored in recent:
            sent = _sent(stored, stored.offset, age_s=max(0.0, now - stored.wall))
            self._delivery.hold(sent, trio.current_time())

    def turn_begins(self) -> None:
        """Steps of rooms are run from here on: what they publish is for `turn_over`, and wakes nobody before it."""
        self._in_turn = True

    def turn_over(self, *, others: bool = False) -> None:
        """Somebody has run steps of rooms: what they published is sent to the disk, what is on it by now is handed out.

        `others` wait for their turn: what they publish may go with it, for `GATHER_S` at most.

        For whoever does not give way to other tasks at once. Under load a commit of 0.2 ms took 2.5 ms longer where it
        waited for its turn among the tasks that decide frames, once to begin and once to be heard of.
        """
        self._in_turn = False
        if self._committing:
            self._writer.poll()
        if self._committing or not self._waiting:
            return  # whatever waits is taken up when that commit is done
        if self._stalled or self._failed or self._settings.commit_wait_ms or (others and self._gathers()):
            self._to_commit.set()
        else:
            self._begin()

    def _gathers(self) -> bool:
        """Whether the next commit, asked for now, may wait a moment longer."""
        now = trio.current_time()
        if self._gathers_until is None:
            self._gathers_until = now + GATHER_S
        return now < self._gathers_until

    def poll(self) -> None:
        """In the midst of a turn: what is on disk by now is handed out. A commit for each slice would be too many."""
        if self._committing:
            self._writer.poll()

    def after_hand_out(self, work: Callable[[], None]) -> bool:
        """Have `work` done once, when all that is now on disk is handed out; False where no hand-out is under way."""
        if self.handing_out:
            self._after[work] = None
        return self.handing_out

    async def _commit_all(self) -> None:
        """Begin the commits that nobody's turn begins, and try again where the disk is full."""
        try:
            while self._failed is None:
                if self._committing or not (self._waiting or self._ended or self._flush_due):
                    self._to_commit = trio.Event()
                    await self._to_commit.wait()
                elif self._stalled:
                    await trio.sleep(self._settings.full_retry_s)
                    self._begin()
                elif self._settings.commit_wait_ms:
                    await trio.sleep(self._settings.commit_wait_ms / 1000)
                    self._begin()
                elif self._gathers_until is not None and trio.current_time() < self._gathers_until:
                    await trio.sleep_until(self._gathers_until)  # a turn that ends may begin it meanwhile
                else:
                    self._begin()
        finally:
            with trio.CancelScope(shield=True):
                while self._committing:
                    await self._progress.wait()

    def _begin(self) -> None:
        """Send one commit on its way; there is none under way."""
        self._counters.peak_waiting = max(self._counters.peak_waiting, len(self._waiting))
        batch = list(islice(self._waiting, self._settings.commit_actions))
        acks, self._acks = self._acks, {}
        ended, self._ended = self._ended, []
        self._flush_due = False
        self._gathers_until = None
        self._committing = True
        done = partial(self._committed, batch, acks, ended, trio.current_time())
        self._writer.append(batch, self._wall(), acks, ended, done)

    def _committed(
        self,
        batch: Sequence[Draft],
        acks: Mapping[str, int],
        ended: Sequence[str],
        began: float,
        answer: list[int] | JournalError,
    ) -> None:
        self._committing = False
        if isinstance(answer, JournalStalled):
            self._stall(acks, ended, answer)
        elif isinstance(answer, JournalError):
            self._latch(answer)
        else:
            self._commit_seconds.observe(trio.current_time() - began)
            if self._stalled:
                log.warning("the journal can be written again")
            self._stalled = False
            for _ in batch:
                self._waiting.popleft()
            self._hand_out(batch, answer)
        if self._ended or self._flush_due or (self._waiting and not self._in_turn):
            self._to_commit.set()
        self._advance()

    def _stall(self, acks: Mapping[str, int], ended: Sequence[str], error: JournalStalled) -> None:
        """Put back what was to be written, to be tried again."""
        self._counters.stalls += 1
        if not self._stalled:
            log.error("actions wait in memory and nothing is acknowledged: %s", error)
        self._stalled = True
        self._acks = {**acks, **self._acks}
        self._ended[:0] = ended
        self._flush_due = True

    def _hand_out(self, batch: Sequence[Draft], offsets: Sequence[int]) -> None:
        now = trio.current_time()
        self.handing_out = True
        for entry, offset in zip(batch, offsets, strict=True):
            if offset <= self._last_offset:  # in the journal from an earlier run; see _hold_recent
                self._counters.repeats += 1
                continue
            self._last_offset = offset
            self._delivery.deliver(_sent(entry, offset), now)
        self._durable += len(batch)
        self._counters.commits += 1
        while self._callbacks and self._callbacks[0][0] <= self._durable:
            self._call(heappop(self._callbacks)[2])
        self.handing_out = False
        after, self._after = self._after, {}
        for work in after:
            self._call(work)

    def _call(self, callback: Callable[[], None]) -> None:
        """One connection's mistake must not end everybody's bus."""
        try:
            callback()
        except Exception:
            self._counters.callback_errors += 1
            log.exception("a callback for durable actions raised")

    def _advance(self) -> None:
        progress, self._progress = self._progress, trio.Event()
        progress.set()

    def _latch(self, error: JournalError) -> None:
        if self._failed is not None:
            return
        self._failed = error if isinstance(error, JournalFailed) else JournalFailed(str(error))
        log.critical("nothing is acknowledged any more: %s", error)
        self._counters.refused += len(self._waiting)
        self._waiting.clear()
        self._callbacks.clear()
        self._failure.set()
        self._to_commit.set()
        self._advance()

    async def _flush_acks(self) -> None:
        """Gather the acks of consumers for a moment: none of them is worth a commit of its own."""
        while True:
            self._to_flush = trio.Event()
            if not self._acks:
                await self._to_flush.wait()
            await trio.sleep(self._settings.consumer_ack_ms / 1000)
            if self._acks:  # a commit may have taken them meanwhile
                self._flush_due = True
                self._to_commit.set()

    async def _tidy(self) -> None:
        while self._failed is None:
            await trio.sleep(self._settings.prune_every_s)
            try:
                await self.archive.prune()
            except JournalStalled:
                continue
            except JournalError as error:
                self._latch(error)

    async def _watch(self) -> None:
        """Without its writer the bus would go on until the next action."""
        self._latch(await self._writer.wait_ended())

    def statistics(self) -> BusStatistics:
        """What went through, and how it stands."""
        return BusStatistics(
            **attrs.asdict(self._counters),
            published=self._published,
            waiting=len(self._waiting),
            failed=self._failed is not None,
            stalled=self._stalled,
            last_offset=self._last_offset,
            commit_seconds=self._commit_seconds.statistics(),
        )

    def delivery_statistics(self) -> DeliveryStatistics:
        """The same for what is on its way to connections."""
        return self._delivery.statistics()


def _sent(entry: Draft | Stored, offset: int, age_s: float = 0.0) -> Sent:
    """The action as it goes out. What remains of it is counted from its own times: clocks need not agree."""
    lasts_s = None if entry.until is None else max(0.0, entry.until - entry.at - age_s)
    return Sent(offset, entry.id, entry.room, join((entry.head, entry.tail), offset), lasts_s)
