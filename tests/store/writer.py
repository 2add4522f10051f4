"""A process that writes actions for ever and says on stdout which ids are acknowledged; killed by its tests.

Arguments: data folder, number of the first action, actions a commit, bytes between checkpoints, number of commits.
"""

from __future__ import annotations

import os
import sys

from roomguard.errors import JournalFailed
from roomguard.store import journal as journal_module
from roomguard.store.journal import Journal, JournalStalled
from roomguard.store.records import draft
from roomguard.store.settings import BusSettings
from tests.store.building import NOW, action


def main() -> None:
    folder, first, size, checkpoint_bytes, commits = sys.argv[1], *map(int, sys.argv[2:6])
    journal_module._CHECKPOINT_BYTES = checkpoint_bytes
    journal = Journal(BusSettings(data_dir=folder, reserve_bytes=2**16))
    os.write(1, b"open\n")
    for number in range(first, first + size * commits, size):
        actions = [action(one) for one in range(number, number + size)]
        try:
            offsets = journal.append([draft(one) for one in actions], NOW)
        except JournalFailed:
            os.write(1, b"failed\n")
        except JournalStalled:
            os.write(1, b"stalled\n")
        else:
            os.write(
                1,
                b"".join(b"%d %s\n" % (offset, one.id.encode()) for offset, one in zip(offsets, actions, strict=True)),
            )
    journal.close()


if __name__ == "__main__":
    main()
