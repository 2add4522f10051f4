from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from roomguard.errors import JournalCorrupt, JournalError, JournalFailed, OffsetGone
from roomguard.model.actions import Action
from roomguard.store import journal as journal_module
from roomguard.store.journal import Journal
from roomguard.store.records import draft
from roomguard.store.settings import BusSettings
from tests.store.building import NOW, action

DAY = 86_400.0


def settings(folder: Path, **changes: object) -> BusSettings:
    return BusSettings(data_dir=str(folder), reserve_bytes=2**16, **changes)  # type: ignore[arg-type]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(settings(tmp_path))
    yield journal
    journal.close()


def write(journal: Journal, *actions: Action, wall: float = NOW) -> list[int]:
    return journal.append([draft(one) for one in actions], wall)


def offsets(journal: Journal, after: int = 0, limit: int = 1000, rooms: list[str] | None = None) -> list[int]:
    return [record.offset for record in journal.reader.page(after, limit, rooms).actions]


class TestAppend:
    def test_durability_is_set(self, journal: Journal) -> None:
        """Every connection runs WAL with synchronous=FULL and leaves checkpoints to us."""
        for db in (journal._db, journal.reader._db):
            found = [db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]

            assert found == ["wal", 2]
            assert db.execute("PRAGMA wal_autocheckpoint").fetchone()[0] == 0

    def test_offsets_count_actions(self, journal: Journal) -> None:
        """The first action gets offset 1, and each one after it one more."""
        assert write(journal, action(1), action(2)) == [1, 2]
        assert write(journal, action(3)) == [3]
        assert (journal.first_offset, journal.last_offset) == (1, 3)

    @pytest.mark.parametrize("size", [1, 7, 8, 9, 511, 512, 513, 700])
    def test_any_size(self, journal: Journal, size: int) -> None:
        """A batch of any size is written whole and in order."""
        actions = [action(number) for number in range(size)]

        assert write(journal, *actions) == list(range(1, size + 1))
        assert [record.action() for record in journal.reader.page(0, 1000).actions] == actions

    def test_same_id_is_written_once(self, journal: Journal) -> None:
        """An id that is there gets its old offset, in the same batch, a later one and after a restart."""
        assert write(journal, action(1), action(2), action(1)) == [1, 2, 1]
        assert write(journal, action(2), action(3)) == [2, 3]
        assert journal.statistics().repeats == 2

    def test_action_comes_back_as_it_was(self, tmp_path: Path) -> None:
        """What is read after a restart equals what was written, text, numbers and absent fields."""
        sent = [
            action(1),
            action(2, kind="restrict", user=None, mode="slow", cohort="new_users", duration_s=5.5, until=NOW + 8),
            action(3, kind="delete", events=("e-1", "e-2"), cluster="c-9"),
            action(4, kind="unmute", undoes=action(1).id),
        ]
        journal = Journal(settings(tmp_path))
        write(journal, *sent)
        journal.close()

        journal = Journal(settings(tmp_path))
        found = journal.reader.page(0, 10).actions
        journal.close()

        assert [record.action() for record in found] == sent
        assert b'"offset":2,"kind":"restrict","room":"room-2","at":' in found[1].json()

    @pytest.mark.parametrize("bad", [{"at": float("nan")}, {"until": float("inf")}, {"room": "r\ud800"}])
    def test_what_cannot_be_encoded_never_reaches_a_commit(self, bad: dict[str, object]) -> None:
        """A time that is not finite or a text that is not Unicode is refused where the action was made."""
        with pytest.raises(ValueError, match=r"finite|surrogates"):
            draft(action(1, **bad))


class TestRead:
    def test_pages_follow_each_other(self, journal: Journal) -> None:
        """Reading on after `upto` gives everything once, whatever the size of a page."""
        write(journal, *(action(number) for number in range(10)))
        after, found = 0, []
        while after < journal.last_offset:
            page = journal.reader.page(after, 3)
            found += [record.offset for record in page.actions]
            after = page.upto

        assert found == list(range(1, 11))

    def test_rooms(self, journal: Journal) -> None:
        """A page of some rooms has only those, and says how far it looked."""
        write(journal, *(action(number) for number in range(60)))
        page = journal.reader.page(0, 2, ["room-1"])
        empty = journal.reader.page(0, 2, ["nowhere"])

        assert [record.offset for record in page.actions] == [2, 5]
        assert page.upto == 5
        assert (empty.actions, empty.upto) == ((), 16)

    def test_end(self, journal: Journal) -> None:
        """After the last action there is an empty page that does not move on."""
        write(journal, action(1))

        assert journal.reader.page(1, 5).upto == 1
        assert journal.reader.page(7, 5).upto == 7

    def test_look_ups(self, journal: Journal) -> None:
        """An action is found by its id, and by its rule and time while it is not undone."""
        first, second, other = action(1), action(2), action(3, rule="raid")
        warning = action(4, kind="warn")
        write(journal, first, second, other, warning)
        write(journal, action(5, kind="unmute", undoes=second.id))

        found = journal.reader.action(first.id)
        assert found is not None
        assert found.action() == first
        assert journal.reader.action("unknown") is None
        assert [one.action() for one in journal.reader.by_rule("chat_flood", NOW, 10)] == [first]
        assert journal.reader.by_rule("chat_flood", NOW + 2, 10) == []


class TestPenalties:
    @pytest.mark.parametrize(
        ("changes", "in_force"),
        [
            ({"until": NOW + 0.1}, True),
            ({"until": NOW}, False),
            ({"kind": "kick", "until": NOW + 5}, True),
            ({"kind": "kick", "at": NOW - 59}, True),
            ({"kind": "kick", "at": NOW - 61}, False),
            ({"kind": "restrict", "user": None, "until": NOW + 5}, True),
            ({"kind": "warn", "until": NOW + 5}, False),
            ({"kind": "delete", "events": ("e",)}, False),
        ],
    )
    def test_in_force(self, journal: Journal, changes: dict[str, object], in_force: bool) -> None:
        """Mutes, kicks and restricts count until `until`; a kick without one for a minute."""
        sent = action(1, **changes)
        write(journal, sent)

        assert [one.id for one in journal.reader.penalties_in_force(NOW)] == ([sent.id] if in_force else [])

    def test_inverse_and_human_end_them(self, tmp_path: Path) -> None:
        """A penalty is over once its inverse or a human ended it, in the same batch, later, and after a restart."""
        mutes = [action(number) for number in range(4)]
        journal = Journal(settings(tmp_path))
        write(journal, mutes[0], action(10, kind="unmute", undoes=mutes[0].id), *mutes[1:])
        write(journal, action(11, kind="unmute", undoes=mutes[1].id))
        journal.append([], NOW, ended=[mutes[2].id, "unknown", mutes[2].id])
        journal.close()

        journal = Journal(settings(tmp_path))
        found = [one.id for one in journal.reader.penalties_in_force(NOW)]
        journal.close()

        assert found == [mutes[3].id]


class TestRetention:
    def test_old_actions_go_but_penalties_stay(self, tmp_path: Path) -> None:
        """What is older than `keep_days` is dropped, a penalty in force only once it is over."""
        journal = Journal(settings(tmp_path, keep_days=1.0, prune_actions=2))
        long = action(2, until=NOW + 10 * DAY)
        ended = action(4, until=NOW + 10 * DAY)
        write(journal, action(1), long, action(3), ended, action(5, kind="unmute", undoes=ended.id))
        write(journal, action(6), wall=NOW + 2 * DAY)

        while journal.prune(NOW + 2 * DAY):
            pass

        assert journal.first_offset == 6
        assert [one.id for one in journal.reader.penalties_in_force(NOW + 2 * DAY)] == [long.id]
        assert offsets(journal, 5) == [6]
        with pytest.raises(OffsetGone) as gone:
            journal.reader.page(4, 10)
        assert gone.value.first == 6

        while journal.prune(NOW + 20 * DAY):
            pass
        left = journal._db.execute("SELECT count(*) FROM actions UNION ALL SELECT count(*) FROM ended").fetchall()
        journal.close()
        assert left == [(0,), (0,)]

    def test_offsets_are_never_used_again(self, tmp_path: Path) -> None:
        """After everything was dropped and the process restarted, offsets go on where they were."""
        journal = Journal(settings(tmp_path, keep_days=0.0))
        write(journal, action(1), action(2))
        while journal.prune(NOW + DAY):
            pass
        journal.close()

        journal = Journal(settings(tmp_path))
        found = (journal.first_offset, journal.last_offset, write(journal, action(3)))
        journal.close()

        assert found == (3, 2, [3])

    def test_size(self, tmp_path: Path) -> None:
        """Beyond `keep_bytes` the oldest go, until it fits."""
        journal = Journal(settings(tmp_path, keep_bytes=2**20, prune_actions=100))
        for begin in range(0, 3000, 500):
            write(journal, *(action(number) for number in range(begin, begin + 500)))

        while journal.prune(NOW + DAY / 2):
            pass
        state = journal._state
        journal.close()

        assert state.bytes <= 2**20 < state.bytes + 100 * 800
        assert state.last_offset == 3000

    def test_a_step_is_small(self, tmp_path: Path) -> None:
        """One step drops no more than `prune_actions`, so that a commit can go between two."""
        journal = Journal(settings(tmp_path, keep_days=0.0, prune_actions=10))
        write(journal, *(action(number) for number in range(100)))

        steps = 1
        while journal.prune(NOW + DAY):
            assert journal.statistics().pruned <= 10 * steps
            steps += 1
        journal.close()

        assert steps == 11

    def test_snapshots_and_names(self, tmp_path: Path) -> None:
        """Old rooms put aside, the oldest of too many, and names long unheard of go too."""
        journal = Journal(settings(tmp_path, snapshot_rooms=2, snapshot_days=5.0, consumer_days=5.0))
        journal.save_snapshots({"old": b"1"}, NOW - 6 * DAY)
        journal.save_snapshots({"a": b"2"}, NOW - 2 * DAY)
        journal.save_snapshots({"b": b"3", "c": b"4"}, NOW - DAY)
        journal.append([], NOW - 6 * DAY, {"gone": 0})
        journal.append([], NOW, {"here": 0})

        while journal.prune(NOW):
            pass
        found = (journal.reader.snapshot_rooms(), journal.reader.consumers())
        journal.close()

        assert found == ({"b", "c"}, {"here": 0})


def test_snapshot_is_replaced_and_forgotten(journal: Journal) -> None:
    """A room has one snapshot, the last one, until it is dropped."""
    journal.save_snapshots({"r": b"one", "s": b"\0" * 100_000}, NOW)
    journal.save_snapshots({"r": b"two"}, NOW)
    journal.drop_snapshots(["s", "unknown"])

    assert journal.reader.snapshot("r") == b"two"
    assert journal.reader.snapshot("s") is None


def test_consumers_are_remembered(tmp_path: Path) -> None:
    """A named offset is there after a restart."""
    journal = Journal(settings(tmp_path))
    journal.append([draft(action(1))], NOW, {"audit": 1, "other": 0})
    journal.append([], NOW, {"other": 1})
    journal.close()

    journal = Journal(settings(tmp_path))
    found = journal.reader.consumers()
    journal.close()

    assert found == {"audit": 1, "other": 1}


class TestOpening:
    def test_one_process_at_a_time(self, tmp_path: Path, checkout: Path) -> None:
        """A second process gets a message that names the first; once that is gone the folder is free."""
        code = (
            "import sys\nfrom roomguard.store.journal import Journal\n"
            "from roomguard.store.settings import BusSettings\n"
            f"Journal(BusSettings(data_dir={str(tmp_path)!r})); print('ready', flush=True); sys.stdin.read()"
        )
        other = subprocess.Popen(
            [sys.executable, "-c", code], cwd=checkout, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert other.stdin is not None
        assert other.stdout is not None
        with other:
            other.stdout.readline()
            with pytest.raises(JournalError, match=f"in use by another roomguard process .pid {other.pid}"):
                Journal(settings(tmp_path))
            other.stdin.close()
        Journal(settings(tmp_path)).close()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ("PRAGMA user_version = 0", "schema version 0"),
            ("PRAGMA user_version = 99", "schema version 99"),
            ("PRAGMA application_id = 7", "no journal of roomguard"),
            ("DROP TABLE ended", "other tables than it was made with: ended"),
            ("CREATE TABLE extra (a)", "other tables than it was made with: extra"),
            ("DELETE FROM actions WHERE offset = 2", "no action at offset 2"),
            ("DELETE FROM actions WHERE offset = 3", "ends at offset 2, but 3"),
            ("UPDATE actions SET until = until - 1 WHERE offset = 2", "offset 2 does not match"),
            ("UPDATE actions SET room = 'other' WHERE offset = 1", "offset 1 does not match"),
            ("UPDATE actions SET tail = CAST(tail AS TEXT) WHERE offset = 1", "offset 1 does not match"),
            ("UPDATE consumers SET offset = 99", "row for 'audit' does not match"),
            ("UPDATE snapshots SET data = x'00'", "row for 'r' does not match"),
            ("INSERT INTO ended VALUES ('x', 0)", "row for 'x' does not match"),
            ("UPDATE state SET last_offset = 2", "counters do not match"),
            ("DELETE FROM state", "counters do not match"),
        ],
    )
    def test_what_does_not_add_up_is_refused(self, tmp_path: Path, change: str, message: str) -> None:
        """Nothing is started on top of a journal that is not what was written."""
        self.filled(tmp_path)
        db = sqlite3.connect(tmp_path / "journal.db")
        db.execute(change)
        db.commit()
        db.close()

        with pytest.raises(JournalCorrupt, match=message):
            Journal(settings(tmp_path))

    @pytest.mark.parametrize("how", ["gone", "empty", "half", "text", "old"])
    def test_never_a_silent_empty_journal(self, tmp_path: Path, how: str) -> None:
        """A file that is missing, cut, older or something else is an error, not a fresh start."""
        path = tmp_path / "journal.db"
        self.filled(tmp_path)
        old = path.read_bytes()
        self.filled(tmp_path, first=4)
        whole = path.read_bytes()
        path.unlink()
        if how != "gone":
            path.write_bytes({"empty": b"", "half": whole[: len(whole) // 2], "text": b"x" * 9000, "old": old}[how])

        with pytest.raises(JournalCorrupt):
            Journal(settings(tmp_path))

    def test_missing_log_is_noticed(self, tmp_path: Path) -> None:
        """After a kill the log holds what was acknowledged; without it the journal is refused."""
        copy = tmp_path / "copy"
        copy.mkdir()
        journal = Journal(settings(tmp_path / "live"))
        write(journal, action(1))
        for name in ("journal.db", "journal.mark"):  # the files as a kill would leave them, without the log
            (copy / name).write_bytes((tmp_path / "live" / name).read_bytes())
        journal.close()

        with pytest.raises(JournalCorrupt, match=r"were acknowledged.*journal\.db-wal"):
            Journal(settings(copy))

    @staticmethod
    def filled(folder: Path, first: int = 1) -> None:
        journal = Journal(settings(folder))
        journal.append([draft(action(number)) for number in range(first, first + 3)], NOW, {"audit": 1})
        journal.save_snapshots({"r": b"data"}, NOW)
        journal.close()


def test_a_long_log_is_folded_at_the_start(tmp_path: Path) -> None:
    """What runs that were killed left in the log goes into the file: it must not grow from crash to crash."""
    killed, after = tmp_path / "killed", tmp_path / "after"
    running = Journal(settings(killed))
    for begin in range(0, 3_000, 500):
        running._unsynced = 0  # as if each batch had been a run of its own
        write(running, *(action(begin + number, message="x" * 2_000) for number in range(500)))
    shutil.copytree(killed, after)
    running.close()
    log = after / "journal.db-wal"
    assert log.stat().st_size > 4 * 2**20
    journal = Journal(settings(after))

    assert log.stat().st_size == 0
    assert offsets(journal, limit=9_000) == list(range(1, 3_001))
    journal.close()


def test_a_long_log_is_folded_at_rest(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody asks for anything a log of some length goes into the file; a short one and a failed one stay."""
    monkeypatch.setattr(journal_module, "_IDLE_CHECKPOINT_BYTES", 20_000)
    write(journal, action(0))
    journal.rest()
    assert journal.statistics().checkpoints == 0
    write(journal, *(action(number) for number in range(1, 20)))
    for _ in range(2):
        journal.rest()
    assert journal.statistics().checkpoints == 1

    write(journal, *(action(number) for number in range(20, 40)))
    journal._db.execute("ALTER TABLE state RENAME TO hidden")
    with pytest.raises(JournalFailed):
        write(journal, action(50))
    journal.rest()
    assert journal.statistics().checkpoints == 1


def test_a_lock_by_another_program_is_no_failure(journal: Journal, tmp_path: Path) -> None:
    """A writer that cannot begin because the file is locked may try again."""
    other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    journal._db.execute("PRAGMA busy_timeout = 10")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError, match="cannot be written now"):
        write(journal, action(1))
    other.execute("COMMIT")
    other.close()

    assert write(journal, action(1)) == [1]


def test_failed_stays_failed(journal: Journal) -> None:
    """After an error that is not a full disk nothing is written any more, not even where it would work again."""
    journal._db.execute("ALTER TABLE actions RENAME TO hidden")
    with pytest.raises(JournalFailed):
        write(journal, action(1))
    journal._db.execute("ALTER TABLE hidden RENAME TO actions")

    with pytest.raises(JournalFailed, match="until a restart"):
        write(journal, action(1))
    with pytest.raises(JournalFailed):
        journal.save_snapshots({"r": b""}, NOW)
    assert journal.failed is not None
