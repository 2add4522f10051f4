"""Verbs that talk to a running guard through its admin port: undo, override, pause, resume, reload, status."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from datetime import datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from roomguard.cli.common import config_file_option, config_option, configured

EXIT_REFUSED = 1
"""The guard answered, and the answer was no."""
EXIT_UNREACHABLE = 3
"""No guard answered."""
TIMEOUT_S = 60.0
_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}

F = TypeVar("F", bound=Callable[..., Any])


def admin_options(command: F) -> F:
    """Where the guard is: its admin address and token, by default those of the configuration."""
    return config_option(_address_options(command))


def _address_options(command: F) -> F:
    command = click.option(
        "--token",
        envvar="ROOMGUARD_ADMIN_TOKEN",
        help="Bearer token of the admin port; better in the environment as ROOMGUARD_ADMIN_TOKEN.",
    )(command)
    return click.option("--admin", metavar="URL", help="Admin address of the guard, e.g. http://127.0.0.1:8701.")(
        command
    )


@click.command()
@click.argument("action", required=False)
@click.option("--rule", metavar="RULE", help="Take back everything this rule did ...")
@click.option("--since", metavar="T", help="... since T: 10m, 2h, a Unix time, or 2026-01-31T20:15 (local time).")
@admin_options
def undo(action: str | None, rule: str | None, since: str | None, **where: Any) -> None:
    """Take back an action by its id, or all of a rule's since some time.

    The inverse goes to the edges like any action (unmute, readmit, restore, lift), and the user's strike is removed.

    \b
    Exit code: 0 done, 1 there is nothing to take back, 2 wrong usage, 3 no guard answers.
      python3 -m roomguard undo 5f2c1b0a9d8e7f6a5b4c3d2e
      python3 -m roomguard undo --rule flood --since 10m
    """
    if (action is None) == (rule is None) or (rule is None) != (since is None):
        raise click.UsageError("give either ACTION, or --rule and --since")
    wish: dict[str, Any] = {"action": action} if action else {"rule": rule, "since": moment(since or "", time.time())}
    found = _ask("POST", "/undo", wish, **where)
    click.echo(
        f"{found['told']} of {found['found']} taken back" + ("; there are more, ask again" if found["more"] else "")
    )
    sys.exit(0 if found["told"] == found["found"] else EXIT_REFUSED)


def _pairs(_: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """NAME=VALUE, as often as it was given; the last one of a name stands."""
    found: dict[str, str] = {}
    for value in values:
        name, sign, rest = (part.strip() for part in value.partition("="))
        if not (name and sign and rest):
            raise click.BadParameter(f"{value!r} is not {param.metavar}")
        found[name] = rest
    return found


def _numbers(context: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
    """NAME=NUMBER, as often as it was given."""
    found = _pairs(context, param, values)
    try:
        return {name: float(text) for name, text in found.items()}
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _seconds(_: click.Context, __: click.Parameter, text: str) -> float:
    """Seconds, or 10m, 2h, 1d."""
    if match := _AGO.fullmatch(text):
        return float(match[1]) * _UNIT_S[match[2]]
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no time; write seconds, or 10m, 2h") from None


@click.command()
@click.argument("room")
@click.option(
    "--set",
    "thresholds",
    multiple=True,
    callback=_numbers,
    metavar="NAME=NUMBER",
    help="Another value for a threshold. May be repeated.",
)
@click.option(
    "--rule",
    "rules",
    multiple=True,
    callback=_pairs,
    metavar="NAME=MODE",
    help="off, shadow or enforce for a rule. May be repeated.",
)
@click.option("--strategy", metavar="NAME", help="Judge the room by this strategy.")
@click.option("--mode", metavar="LEVEL", help="Hold the room in calm, elevated or raid.")
@click.option(
    "--ttl",
    callback=_seconds,
    default="3600",
    show_default=True,
    metavar="SECONDS",
    help="When it ends by itself: seconds, or 10m, 2h; a day at most.",
)
@click.option("--end", is_flag=True, help="End everything that was set for the room.")
@_address_options
@config_file_option
def override(room: str, *, end: bool, ttl: float, **options: Any) -> None:
    """Judge one room otherwise for a while: other numbers, rules, strategy or mode. It ends by itself.

    Later overrides stand before earlier ones, name by name. A room has 16 at most; one more ends the oldest. They are
    in the room's memory: a restart of the guard ends them.

    \b
    Exit code: 0 done, 1 refused (each problem with its field), 2 wrong usage, 3 no guard answers.
      python3 -m roomguard override anna-live --set flood_10s=20 --rule links=shadow --ttl 2h
      python3 -m roomguard override anna-live --mode raid --ttl 600
      python3 -m roomguard override anna-live --end
    """
    wish = {key: options.pop(key) for key in ("thresholds", "rules", "strategy", "mode")}
    wish = {key: value for key, value in wish.items() if value}
    if end and wish:
        raise click.UsageError("--end ends everything that was set; set nothing with it")
    wish |= {"end": True} if end else {"ttl_s": ttl}
    found = _ask("POST", "/override", {"room": room, **wish}, flags=(), **options)
    click.echo(f"{room}: " + ("nothing is overridden any more" if end else f"set for {found['ttl_s']:g} s"))
    if not found["live"]:
        click.echo(f"{room} was not live here; it waits for its first event", err=True)


@click.command()
@admin_options
def pause(**where: Any) -> None:
    """Send no actions from now on; everything is still decided and counted. The same as SIGUSR1."""
    changed = _ask("POST", "/pause", {}, **where)["changed"]
    click.echo("enforcing is paused" if changed else "enforcing was paused already")


@click.command()
@admin_options
def resume(**where: Any) -> None:
    """Enforce again after a pause. The same as SIGUSR2."""
    changed = _ask("POST", "/resume", {}, **where)["changed"]
    click.echo("enforcing again" if changed else "enforcing was not paused")


@click.command()
@admin_options
def reload(**where: Any) -> None:
    """Let the guard load its configuration again. Exit 1 if it refuses; the old one stays in force then."""
    report = _ask("POST", "/reload", {}, **where)
    for problem in report["problems"]:
        click.echo(problem, err=True)
    if not report["ok"]:
        click.echo("refused; the configuration before stays in force", err=True)
        sys.exit(EXIT_REFUSED)
    for change in report["changed"]:
        click.echo(change)
    for change in report["restart"]:
        click.echo(f"{change} (after a restart)")
    click.echo("reloaded" if report["changed"] or report["restart"] else "reloaded, nothing differs")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON.")
@admin_options
def status(*, as_json: bool, **where: Any) -> None:
    """Say how the guard is. Exit 1 if it is not ready."""
    found = _ask("GET", "/status", None, **where)
    if as_json:
        click.echo(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        for line in _status_lines(found):
            click.echo(line)
    sys.exit(0 if found["ready"] else EXIT_REFUSED)


def _status_lines(found: dict[str, Any]) -> list[str]:
    """The state in a few lines."""
    state = "ready" if found["ready"] else f"not ready: {'; '.join(found['reasons'])}"
    mode = f"mode {found['mode']}{', paused' if found['paused'] else ''}"
    lines = [
        f"{state}; {mode}; configuration {found['config']}; up {found['uptime_s']:,.0f} s",
        f"{found['rooms']:,} rooms, {found['edges']:,} edges, {found['consumers']:,} consumers",
        f"{found['events']:,} events, {found['actions']:,} actions, last offset {found['offset']:,}",
    ]
    lines += [
        f"rule {rule}: {', '.join(f'{count:,} {outcome}' for outcome, count in outcomes.items())}"
        for rule, outcomes in found["rules"].items()
    ]
    for one in found["unusual"]["rooms"]:
        set_now = [
            f"{_settings(override['settings'])} for {override['left_s']:,.0f} s" for override in one["overrides"]
        ]
        lines.append(f"room {one['room']}: {'; '.join((one['mode'], *set_now))}")
    if found["unusual"]["count"] > len(found["unusual"]["rooms"]):
        lines.append(f"{found['unusual']['count']:,} rooms are above calm or overridden")
    if found["quarantined"]:
        lines.append(f"in quarantine: {', '.join(found['quarantined'])}")
    if not found["reload"]["ok"]:
        lines.append("the last reload was refused; see the log")
    return lines


def _settings(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
                     for name, value in settings.items())  # fmt: skip


def moment(text: str, now: float) -> float:
    """A time as people write it, in Unix seconds. Raises BadParameter."""
    if ago := _AGO.fullmatch(text):
        return now - float(ago[1]) * _UNIT_S[ago[2]]
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise click.BadParameter("expected 10m, 2h, a Unix time or an ISO time", param_hint="--since") from None


def _ask(
    method: str,
    path: str,
    body: dict[str, Any] | None,
    *,
    config: Path | None,
    flags: tuple[str, ...],
    admin: str | None,
    token: str | None,
) -> dict[str, Any]:
    """One request to the admin port; its answer, or the end of the program with what went wrong."""
    url = admin
    if url is None:
        settings = configured(config, flags).settings.admin
        url = _address(settings.host, settings.port)
        token = token or next((one for one in settings.tokens if not one.startswith("sha256:")), None)
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        code, answer = _request(url, method, path, None if body is None else json.dumps(body), headers)
    except (OSError, HTTPException, ValueError) as error:
        click.echo(f"roomguard: no guard answers at {url}: {error}", err=True)
        sys.exit(EXIT_UNREACHABLE)
    if code != 200:
        click.echo(f"roomguard: {_why(code, answer)}", err=True)
        sys.exit(EXIT_REFUSED)
    return answer


def _request(url: str, method: str, path: str, body: str | None, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
    finally:
        connection.close()
    return response.status, answer if isinstance(answer, dict) else {}


def _why(code: int, answer: dict[str, Any]) -> str:
    error = answer.get("error", {})
    if not isinstance(error, dict):
        return f"refused ({code}): {error}"
    if code == 401:
        return "refused: the admin port wants a token (--token or ROOMGUARD_ADMIN_TOKEN)"
    detail = "; ".join(error.get("problems", ())) or error.get("detail", "")
    return f"refused ({code}): {error.get('code', '')} {detail}".rstrip()


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
