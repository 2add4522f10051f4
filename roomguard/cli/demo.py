"""`demo`: the guard under attack, from nothing to a summary in under a minute.

Three processes: the real `serve`, the load generator as its edges and attackers, and this one, which only consumes
`/v1/actions` like any enforcer would and shows what falls.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import attrs
import click

from roomguard.cli.child import Child
from roomguard.cli.common import config_option, config_path

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from websockets.sync.client import ClientConnection

WIDE_CLAMP = ("listen.clamp_back_s=1e9",)
"""A recording played faster than time carries `ts` from the past."""
LOAD_SLACK_S = 60.0
"""What the load generator may need beyond the seconds asked for: starting, idle trips, the last acks."""
RECENT = 14
"""Actions shown at once on a terminal."""
PLAIN_EVERY_S = 0.5
"""On no terminal at most one action line in this time: a log is read later."""


@click.command()
@config_option
@click.option("--rooms", default=300, show_default=True, type=click.IntRange(10, 20_000), help="Simulated rooms.")
@click.option("--rate", default=4_000, show_default=True, type=click.IntRange(50, 100_000), help="Events a second.")
@click.option("--seconds", default=20, show_default=True, type=click.IntRange(3, 600), help="How long.")
@click.option(
    "--recording",
    "recordings",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Play a recorded chat instead (JSONL, one event a line); may be repeated, further FILEs may follow.",
)
@click.argument("more", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="[FILE...]")
def demo(
    config: Path | None,
    flags: tuple[str, ...],
    *,
    rooms: int,
    rate: int,
    seconds: int,
    recordings: tuple[Path, ...],
    more: tuple[Path, ...],
) -> None:
    """Show the guard at work: simulated rooms under attack, or a recorded chat, through real websockets.

    Starts the guard on loopback with a temporary data folder, lets a load generator in another process talk to it,
    shows the actions as they fall, and ends by itself with a summary.

    \b
      python3 -m roomguard demo
      python3 -m roomguard demo --set mode=shadow
      python3 -m roomguard demo --recording monday.jsonl tuesday.jsonl
    """
    from rich.console import Console

    files = (*recordings, *more)
    console = Console(highlight=False)
    path = config_path(config)
    with tempfile.TemporaryDirectory(prefix="roomguard-demo-") as folder:
        document = Path(folder, "load.json")
        load = _load(files, rooms, rate, seconds, document)
        wide = WIDE_CLAMP if files else ()
        with _guard(path, (*flags, *wide), Path(folder, "data")) as (guard, url):
            console.print(
                f"the guard listens on {url} (configuration {path}); the load generator is its edges", soft_wrap=True
            )
            seen = Seen()
            with _consumer(url) as actions, _generator(load, url, guard.pid) as generator:
                _watch(console, seen, actions, guard, generator)
            code = generator.stop()
            faults = [line for line in guard.lines() if " ERROR " in line or " CRITICAL " in line]
        if not document.is_file():
            raise click.ClickException(f"the load generator failed ({code}):\n{generator.printed()}")
        _summary(console, json.loads(document.read_text()), seen, path)
        if faults:
            console.print(f"The guard logged {len(faults)} errors, the last: {faults[-1]}", style="red", markup=False)


@attrs.define
class Seen:
    """What came over /v1/actions so far."""

    total: int = 0
    rules: Counter[str] = attrs.field(factory=Counter)
    kinds: Counter[str] = attrs.field(factory=Counter)
    recent: deque[dict[str, Any]] = attrs.field(factory=lambda: deque(maxlen=RECENT))

    def take(self, action: dict[str, Any]) -> None:
        """Count one action."""
        self.total += 1
        self.rules[action["rule"]] += 1
        self.kinds[action["kind"]] += 1
        self.recent.append(action)


def _load(files: Sequence[Path], rooms: int, rate: int, seconds: int, document: Path) -> list[str]:
    """The load generator's arguments."""
    common = ["--json", str(document), "--edges", "3", "--idle-trips", "50", "--drain-s", "5"]
    if not files:
        what = ["--scenario", "mixed", "--rooms", str(rooms), "--rate", str(rate), "--seconds", str(seconds)]
        return [*what, *common]
    speed = max(1.0, _length(files) / seconds)
    return ["--recording", *map(str, files), "--speed", f"{speed:.3f}", *common]


def _length(files: Sequence[Path]) -> float:
    """Seconds from the first event to the last of all recordings."""
    times: list[float] = []
    for file in files:
        try:
            with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as lines:
                first = last = next(iter(lines), b"")
                for line in lines:
                    last = line if line.strip() else last
            times += [float(json.loads(line)["ts"]) for line in (first, last)]
        except (OSError, EOFError, ValueError, KeyError, TypeError):
            raise click.ClickException(f"{file}: not a recording: JSONL, one event with a `ts` a line") from None
    return max(times) - min(times)


def _guard(path: Path, flags: Sequence[str], data: Path) -> Any:
    """The real `serve`, on ports the system chooses."""
    from roomguard.cli.child import serving

    sets = [
        argument
        for flag in (*flags, "admin.port=0", "listen.tokens=[]", "listen.token_file=")
        for argument in ("--set", flag)
    ]
    return serving(["--config", str(path), "--listen", "127.0.0.1:0", "--data", str(data), *sets])


def _generator(load: Sequence[str], url: str, pid: int) -> Child:
    """The load generator, in a process of its own."""
    return Child([sys.executable, "-m", "loadtest", "--url", url, "--guard-pid", str(pid), *load])


def _consumer(url: str) -> ClientConnection:
    """A consumer of the action bus, as an enforcer would connect."""
    from websockets.sync.client import connect

    return connect(f"{url}/v1/actions", subprotocols=None, max_size=2**24, compression=None)


def _frames(actions: ClientConnection, timeout: float) -> Iterator[dict[str, Any]]:
    """The actions that arrive within `timeout` seconds."""
    from websockets.exceptions import ConnectionClosed

    deadline = time.monotonic() + timeout
    try:
        while (left := deadline - time.monotonic()) > 0:
            frame = json.loads(actions.recv(timeout=left))
            yield from frame.get("actions", ())
    except TimeoutError:
        return
    except ConnectionClosed:
        time.sleep(max(0.0, deadline - time.monotonic()))  # the load runs on, and its summary comes at the deadline


def _watch(console: Console, seen: Seen, actions: ClientConnection, guard: Child, generator: Child) -> None:
    """Show actions as they fall until the generator is done."""
    started = time.monotonic()
    show: Live | Plain = Live(console) if console.is_terminal else Plain(console)
    with show:
        while generator.running:
            for action in _frames(actions, 0.25):
                seen.take(action)
                show.action(action)
            show.tick(seen, time.monotonic() - started, _progress(generator))
            if not guard.running:
                raise click.ClickException(f"the guard ended ({guard.code}):\n{guard.printed()}")
            if time.monotonic() - started > LOAD_SLACK_S + 600:
                raise click.ClickException("the load generator does not end")
        for action in _frames(actions, 0.5):
            seen.take(action)


def _progress(generator: Child) -> str:
    """The load generator's line of the last second."""
    return next((line.strip() for line in reversed(generator.lines()) if "answered" in line), "")


class Plain:
    """For a log or a pipe: a line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said = 0.0
        self._ticked = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def action(self, action: dict[str, Any]) -> None:
        """One line, if the last one is long enough ago."""
        now = time.monotonic()
        if now - self._said >= PLAIN_EVERY_S:
            self._said = now
            self._console.print(describe(action), markup=False, soft_wrap=True)

    def tick(self, seen: Seen, elapsed: float, line: str) -> None:
        """Every other second: how far we are."""
        if elapsed - self._ticked >= 2:
            self._ticked = elapsed
            self._console.print(f"[{elapsed:3.0f} s] {seen.total} actions. {line}", markup=False, soft_wrap=True)


class Live:
    """For a terminal: counts by rule and the latest actions, in place."""

    def __init__(self, console: Console) -> None:
        from rich.live import Live as RichLive

        self._live = RichLive(console=console, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def action(self, action: dict[str, Any]) -> None:
        """Shown with the next tick."""

    def tick(self, seen: Seen, elapsed: float, line: str) -> None:
        """Draw anew."""
        self._live.update(_screen(seen, elapsed, line))


def _screen(seen: Seen, elapsed: float, line: str) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    rules = Table("rule", "actions", box=None, pad_edge=False)
    for rule, count in seen.rules.most_common(8):
        rules.add_row(rule, f"{count:,}")
    recent = Text("\n".join(describe(action) for action in seen.recent), no_wrap=True, overflow="ellipsis")
    head = Text(f"{elapsed:3.0f} s   {seen.total:,} actions   {line}", style="bold", no_wrap=True, overflow="ellipsis")
    return Group(head, rules, recent)


def describe(action: dict[str, Any]) -> str:
    """One action in one line, evidence included."""
    evidence = " ".join(f"{name}={value}" for name, value in list(action.get("evidence", {}).items())[:3])
    lasts = f" {action['duration_s']:g}s" if "duration_s" in action else ""
    who = f" {action['user']}" if "user" in action else ""
    return f"{action['room']}{who}: {action['kind']}{lasts} by {action['rule']} {evidence}".rstrip()


def _summary(console: Console, document: dict[str, Any], seen: Seen, config: Path) -> None:
    """What happened, and what to try next."""
    from rich.table import Table

    table = Table(title="What happened", show_header=False, title_justify="left")
    for name, value in _rows(document, seen):
        table.add_row(name, value)
    console.print(table)
    console.print("Try next:", style="bold")
    for line in (
        f"  edit a threshold in {config} and run the demo again, or `serve`: it reloads by itself",
        "  python3 -m roomguard demo --set mode=shadow         decide and count everything, send nothing",
        "  python3 -m roomguard serve                          then connect an edge, see docs/protocol.md",
        "  python3 -m loadtest --rooms 5000 --rate 50000       how much this machine carries",
    ):
        console.print(line, markup=False, soft_wrap=True)


def _rows(document: dict[str, Any], seen: Seen) -> Iterator[tuple[str, str]]:
    events, script, latency = document["events"], document["script"], document["latency_ms"]
    yield "rooms", f"{script['rooms']:,}"
    yield (
        "events",
        f"{events['sent_in_load']:,}, {events['rate']:,}/s; lost {events['lost']:,}, rejected {events['rejected']:,}",
    )
    yield "actions by rule", "\n".join(f"{rule} {count:,}" for rule, count in seen.rules.most_common()) or "none"
    for kind, attack in document["attacks"].items():
        soon = attack["first_action_s_p50"]
        after = "" if soon is None else f", half of them within {soon:.1f} s"
        yield f"attack: {kind}", f"{attack['caught']:,} of {attack['accounts']:,} accounts caught{after}"
    innocents = document["innocents"]
    label = "users hit" if document["options"]["recordings"] else "innocents hit"
    rules = ", ".join(f"{rule} {count}" for rule, count in list(innocents["by_rule"].items())[:4])
    yield label, f"{innocents['hit']:,} of {innocents['users']:,}" + (f" ({rules})" if rules else "")
    yield "event to action", _latency(latency["action"])
    yield "event to ack", _latency(latency["ack"])


def _latency(figures: dict[str, Any]) -> str:
    return f"p50 {figures['p50']:.1f} ms, p99 {figures['p99']:.1f} ms" if figures["count"] else "-"
