"""Every exception of roomguard, in one tree whose names say whose fault it was.

    RoomguardError
    ├── ConfigError          the operator: config.toml cannot be used; carries every problem found, not the first
    ├── WishError            the operator: what is asked of a running guard cannot be done; carries every problem too
    ├── RemoteError          the peer: an edge server or a consumer sent what PROTOCOL.md does not allow
    │   ├── FrameError       one whole message is unusable; it gets `error`, the connection stays
    │   └── EventError       one event of a frame is unusable; it is rejected alone, by index
    ├── RecordingError       the recording's author: a line that is no event and no control record
    ├── JournalError         the disk: the action journal cannot promise durability any more
    │   ├── JournalFailed    it latched after an I/O error; restart the process once the disk is well
    │   └── JournalCorrupt   what is on disk does not add up; nothing is started on top of it
    └── OffsetGone           the consumer: asks for actions older than what is kept

Anything else that escapes a pure package is a bug in roomguard.
"""

from __future__ import annotations

import attrs


class RoomguardError(Exception):
    """The root: catch it to catch everything roomguard raises on purpose."""


@attrs.frozen
class ConfigProblem:
    """One thing wrong with a configuration file, with where and what to do."""

    file: str
    line: int | None
    key: str
    message: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.key}: {self.message}" if self.key else f"{where}: {self.message}"


class ConfigError(RoomguardError):
    """The configuration cannot be used; `problems` holds all that is wrong with it."""

    def __init__(self, problems: list[ConfigProblem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class WishError(RoomguardError):
    """What an operator asks of a running guard cannot be done; each of `problems` names the field that is wrong."""

    def __init__(self, code: str, problems: list[str]) -> None:
        super().__init__(f"{code}: {'; '.join(problems)}")
        self.code = code
        self.problems = problems


class RemoteError(RoomguardError):
    """The peer broke the protocol; `code` is stable, `detail` names the field."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail


class FrameError(RemoteError):
    """A complete text message that is no frame; `seq` is set where it could still be read."""

    def __init__(self, code: str, detail: str = "", seq: int | None = None) -> None:
        super().__init__(code, detail)
        self.seq = seq


class EventError(RemoteError):
    """One event that is no event."""


class RecordingError(RoomguardError):
    """A recording line that cannot be replayed; the message names file, line and field."""


class JournalError(RoomguardError):
    """The action journal is not usable."""


class JournalFailed(JournalError):
    """The journal saw an I/O error and acknowledges nothing more until a restart."""


class JournalCorrupt(JournalError):
    """The journal on disk is damaged or of an unknown version."""


class OffsetGone(RoomguardError):
    """The wanted offset is older than the first one kept (`first`)."""

    def __init__(self, first: int) -> None:
        super().__init__(f"the oldest action kept has offset {first}")
        self.first = first
