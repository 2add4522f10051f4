"""One configuration from its four sources: flags over environment over file over defaults."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path as FilePath

import attrs

from roomguard.config.lines import Path
from roomguard.config.overlay import apply, from_environment, from_flags
from roomguard.config.reading import EMPTY, Document, read
from roomguard.config.root import TOP_VALUES, Settings, settings_of, type_at
from roomguard.config.structure import Complaint
from roomguard.errors import ConfigError, ConfigProblem

_SECRET = re.compile(r"(token|secret|password)s?$")


@attrs.frozen
class Loaded:
    """Settings, and where each of them came from."""

    settings: Settings
    document: Document
    origins: Mapping[Path, str]

    def problems(self, complaints: Iterable[Complaint]) -> list[ConfigProblem]:
        """Complaints found later (by the rule compiler), placed like our own."""
        return _placed(complaints, self.document, self.origins)


def load(path: FilePath | None, flags: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> Loaded:
    """Load the configuration; `path` None means no file. Raises ConfigError with everything that is wrong."""
    return load_document(EMPTY if path is None else read(path), flags, environment)


def load_document(
    document: Document, flags: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Loaded:
    """The same for a file already read."""
    flagged, malformed = from_flags(flags)
    overrides = [*from_environment(environment or {}, TOP_VALUES), *flagged]
    tables, origins, stray = apply(document.tables, overrides, lambda at: type_at(at) is str)
    settings, complaints = settings_of(tables)
    settings, unread = _with_token_files(settings)
    problems = [*_placed([*complaints, *exposed(document), *unread], document, origins), *stray, *malformed]
    if settings is None or problems:
        raise ConfigError(problems)
    return Loaded(settings, document, origins)


def _with_token_files(settings: Settings | None) -> tuple[Settings | None, list[Complaint]]:
    """The settings with the tokens of their files among the others, and what is wrong with those files."""
    if settings is None:
        return None, []
    listen, admin = settings.listen, settings.admin
    complaints: list[Complaint] = []
    if listen.token_file:
        tokens = _tokens(("listen", "token_file"), listen.token_file, complaints)
        listen = attrs.evolve(listen, tokens=(*listen.tokens, *tokens))
    if admin.token_file:
        tokens = _tokens(("admin", "token_file"), admin.token_file, complaints)
        admin = attrs.evolve(admin, tokens=(*admin.tokens, *tokens))
    return attrs.evolve(settings, listen=listen, admin=admin), complaints


def _tokens(key: Path, name: str, complaints: list[Complaint]) -> list[str]:
    """The tokens in a file; what is wrong with it goes into `complaints`."""
    file = FilePath(name)
    try:
        if file.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
            complaints.append(Complaint(key, f"everybody may read {name}: chmod o-rw {name}"))
            return []
        lines = file.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        complaints.append(Complaint(key, f"{name} cannot be read: {getattr(error, 'strerror', None) or 'not ASCII'}"))
        return []
    tokens = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not tokens:
        complaints.append(Complaint(key, f"{name} holds no token"))
    return tokens


def exposed(document: Document) -> list[Complaint]:
    """Secrets written into a file that every user of the machine can read."""
    if document.path is None:
        return []
    try:
        mode = document.path.stat().st_mode
    except OSError:
        return []
    if not mode & (stat.S_IROTH | stat.S_IWOTH):
        return []
    return [
        Complaint(
            path, f"a secret in a file that everybody may read: chmod o-rw {document.file}, or name a file of its own"
        )
        for path in document.lines.of
        if is_secret(path)
    ]


def is_secret(path: Path) -> bool:
    """Whether the value at `path` must never be shown."""
    names = [step for step in path if isinstance(step, str)]
    return bool(names and _SECRET.search(names[-1]))


def _placed(complaints: Iterable[Complaint], document: Document, origins: Mapping[Path, str]) -> list[ConfigProblem]:
    """Problems in the order of the file; what an override brought in comes last."""
    problems = [_place(complaint, document, origins) for complaint in complaints]
    return sorted(problems, key=lambda one: (one.line is None, one.line or 0, one.key, one.message))


def _place(complaint: Complaint, document: Document, origins: Mapping[Path, str]) -> ConfigProblem:
    key = spelled(complaint.path, document)
    message = (
        "not a value for this secret" if is_secret(complaint.path) and "got" in complaint.message else complaint.message
    )
    for length in range(len(complaint.path), 0, -1):
        if (origin := origins.get(complaint.path[:length])) is not None:
            return ConfigProblem(origin, None, key, message)
    return ConfigProblem(document.file or "defaults", document.lines.nearest(complaint.path), key, message)


def spelled(path: Path, document: Document) -> str:
    """A path as people read it: `rules[flood].when`, by name where the entry has one."""
    out = ""
    here: object = document.tables
    for step in path:
        here = _below(here, step)
        if isinstance(step, str):
            out += f".{step}" if out else step
        else:
            name = here.get("name") if isinstance(here, dict) else None
            out += f"[{name if isinstance(name, str) else step}]"
    return out


def _below(place: object, step: str | int) -> object:
    if isinstance(place, dict) and isinstance(step, str):
        return place.get(step)
    if isinstance(place, list) and isinstance(step, int) and step < len(place):
        return place[step]
    return None
