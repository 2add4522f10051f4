"""From a file, the environment and flags to settings: strictly, and every error at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from roomguard.config import Settings, load, load_document
from roomguard.config.loading import Loaded
from roomguard.config.reading import parse
from roomguard.errors import ConfigError


def loaded(text: str, *flags: str, **environment: str) -> Loaded:
    return load_document(parse(text.encode(), "c.toml"), flags, environment)


def problems(text: str, *flags: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(text, *flags, **environment)
    return [str(problem) for problem in caught.value.problems]


WRONG: dict[str, tuple[str, str]] = {
    "unknown table": ("[bugdet]", 'c.toml:1: bugdet: unknown key; did you mean "budget"?'),
    "unknown key": ("[rooms]\nidel_s = 1", 'c.toml:2: rooms.idel_s: unknown key; did you mean "idle_s"?'),
    "key of another table": (
        "[bus]\nidle_s = 1",
        'c.toml:2: bus.idle_s: unknown key; did you mean "idle_s" of [rooms]?',
    ),
    "key of nobody": ("zzz = 1", "c.toml:1: zzz: unknown key"),
    "a table of its own": (
        "[engine]\nwords = {}",
        "c.toml:2: engine.words: stands at the top level of the file, not in [engine]",
    ),
    "no table": ("rooms = 1", "c.toml:1: rooms: expected a table, got the whole number 1"),
    "engine is no table": ("engine = []", "c.toml:1: engine: expected a table, got an array"),
    "text for a number": ('[rooms]\nidle_s = "5"', 'c.toml:2: rooms.idle_s: expected a number, got the text "5"'),
    "truth for a number": ("[rooms]\nidle_s = true", "c.toml:2: rooms.idle_s: expected a number, got true"),
    "fraction for a count": (
        "[engine.caps]\ntexts = 5.9",
        "c.toml:2: engine.caps.texts: expected a whole number, got the number 5.9",
    ),
    "whole float for a count": (
        "[engine.caps]\ntexts = 5.0",
        "c.toml:2: engine.caps.texts: expected a whole number, got the number 5",
    ),
    "text for truth": (
        '[words]\nbuiltin_adverts = "no"',
        'c.toml:2: words.builtin_adverts: expected true or false, got the text "no"',
    ),
    "number for text": ("[limits.a]\nrate = 5", "c.toml:2: limits.a.rate: expected text, got the whole number 5"),
    "text for an array": ('[words]\nblock = "ab"', 'c.toml:2: words.block: expected an array, got the text "ab"'),
    "in an array": ('[words]\nblock = [\n"a",\n1]', "c.toml:4: words.block[1]: expected text, got the whole number 1"),
    "no such word": (
        'mode = "enforced"',
        'c.toml:1: mode: expected one of shadow, enforce, got the text "enforced"; did you mean "enforce"?',
    ),
    "missing": ('[limits.a]\nkey = "room"', "c.toml:1: limits.a.rate: missing"),
    "nan": ("[thresholds]\na = nan", "c.toml:2: thresholds.a: must be a finite number"),
    "infinity": ("[thresholds]\na = -inf", "c.toml:2: thresholds.a: must be a finite number"),
    "too large for a float": ("[thresholds]\na = 1e999", "c.toml:2: thresholds.a: must be a finite number"),
    "too large an integer": (
        f"[thresholds]\na = 1{'0' * 400}",
        "c.toml:2: thresholds.a: must be a finite number",
    ),
    "negative": ("[thresholds]\na = -1", "c.toml:2: thresholds.a: must be at least 0, got -1"),
    "no time": (
        "[features.f]\nkind = 'count'\nwindow_s = 0",
        "c.toml:3: features.f.window_s: must be more than 0, got 0",
    ),
    "an age": (
        "[features.f]\nkind = 'count'\nwindow_s = 1e12",
        "c.toml:3: features.f.window_s: must be at most 3.16224e+07, got 1e+12",
    ),
    "percent": (
        '[[rules]]\nname = "a"\nwhen = "true"\nrollout = 101',
        "c.toml:4: rules[a].rollout: must be at most 100, got 101",
    ),
    "a validator's": ("[rooms]\nmax_rooms = 0", "c.toml:2: rooms.max_rooms: must be >= 1: 0"),
    "a date": (
        "[rooms]\nidle_s = 1979-05-27",
        "c.toml:2: rooms.idle_s: expected a number, got the date or time 1979-05-27",
    ),
    "a secret is not repeated": (
        "[listen]\ntokens = [123456]",
        "c.toml:2: listen.tokens[0]: not a value for this secret",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong(name: str) -> None:
    """Each thing wrong is one line: file, line, key, what was expected, what is there, what was meant."""
    text, expected = WRONG[name]

    assert problems(text) == [expected]


def test_all_at_once() -> None:
    """Every error of every source is reported, in the order of the file, then what came from elsewhere."""
    text = "\n".join(
        text for name, (text, _) in WRONG.items() if name in {"unknown table", "text for truth", "missing"}
    )

    found = problems(text, "rooms.max_rooms=no", "nonsense", ROOMGUARD_ROOMS__IDLE_S="-1")

    assert [line.split(": ")[0] for line in found] == [
        "c.toml:1",
        "c.toml:3",
        "c.toml:4",
        "environment ROOMGUARD_ROOMS__IDLE_S",
        "--set",
        "--set",
    ]


def test_empty_is_the_defaults() -> None:
    """Nothing set means every default."""
    assert loaded("").settings == Settings()


def test_precedence() -> None:
    """A flag wins over the environment, that over the file, that over the default."""
    text = "[rooms]\nidle_s = 1\nsweep_s = 1\nquarantine_s = 1"

    rooms = loaded(text, "rooms.idle_s=3", ROOMGUARD_ROOMS__IDLE_S="2", ROOMGUARD_ROOMS__SWEEP_S="2").settings.rooms

    assert (rooms.idle_s, rooms.sweep_s, rooms.quarantine_s, rooms.max_rooms) == (3, 2, 1, Settings().rooms.max_rooms)


OVERRIDES: dict[str, tuple[str, object]] = {
    "mode=shadow": ("engine.mode", "shadow"),
    'mode="shadow"': ("engine.mode", "shadow"),
    "engine.caps.users=5": ("engine.caps.users", 5),
    "thresholds.flood=9": ("engine.thresholds.flood", 9.0),
    "words.block=['a', 'b']": ("engine.words.block", ("a", "b")),
    "exempt.users=[]": ("engine.exempt.users", ()),
    "listen.host=::1": ("listen.host", "::1"),
    "bus.data_dir=12": ("bus.data_dir", "12"),
    " rooms . idle_s =  7 ": ("rooms.idle_s", 7.0),
}


@pytest.mark.parametrize("flag", OVERRIDES)
def test_overrides(flag: str) -> None:
    """A value is TOML; what is none is text, and so is whatever a text setting gets."""
    path, expected = OVERRIDES[flag]
    value: object = loaded("[exempt]\nusers = ['u']", flag).settings
    for name in path.split("."):
        value = value[name] if isinstance(value, dict) else getattr(value, name)

    assert value == expected


def test_rules_are_named() -> None:
    """A rule is overridden by its name, or by its position."""
    text = '[[rules]]\nname = "a"\nwhen = "x"\n[[rules]]\nname = "b"\nwhen = "x"'

    rules = loaded(text, "rules.b.mode=enforce", "rules.0.rollout=5").settings.engine.rules

    assert [(rule.mode, rule.rollout) for rule in rules] == [("shadow", 5), ("enforce", 100)]
    assert problems(text, "rules.bb.mode=off") == [
        '--set: rules.bb.mode: there is no entry named "bb"; did you mean "b"?'
    ]


@pytest.mark.parametrize(
    "flag", ["", "=", "rooms", "rooms.=1", ".rooms=1", "a b=1", "a\nb=1", "[rooms]=1", f"{'a.' * 99}a=1"]
)
def test_no_override(flag: str) -> None:
    """What is not KEY=VALUE is said to be so."""
    assert [line.split(": ")[-1] for line in problems("", flag)] == ["expected KEY=VALUE, as in rooms.idle_s=60"]


def test_overriding_through_a_value() -> None:
    """A key below something that is no table leads nowhere."""
    assert problems("mode = 'shadow'", "mode.x=1") == ['--set: mode.x: there is no table to hold "x"']


def test_foreign_environment() -> None:
    """Variables that merely begin like ours are left alone; a misspelt one of ours is an error."""
    assert loaded("", ROOMGUARD_NO_BOOTSTRAP="1", ROOMGUARD_MODE="shadow", PATH="x").settings.engine.mode == "shadow"
    assert problems("", ROOMGUARD_ROOMS__IDEL_S="1") == [
        'environment ROOMGUARD_ROOMS__IDEL_S: rooms.idel_s: unknown key; did you mean "idle_s"?'
    ]


def test_tokens_of_digits() -> None:
    """A secret from the environment stays text whatever it is made of, and is never shown."""
    settings = loaded("", ROOMGUARD_LISTEN__TOKENS='["123"]').settings

    assert settings.listen.tokens == ("123",)
    assert "123" not in "".join(problems("", ROOMGUARD_LISTEN__TOKENS="123"))


def test_secret_for_everybody(tmp_path: Path) -> None:
    """A secret in a file that everybody may read is an error; in one's own file it is none."""
    path = tmp_path / "config.toml"
    path.write_text('[listen]\ntokens = ["abc"]\n')
    path.chmod(0o644)

    with pytest.raises(
        ConfigError, match=r"config\.toml:2: listen\.tokens: a secret in a file that everybody may read"
    ):
        load(path)

    path.chmod(0o600)
    assert load(path).settings.listen.tokens == ("abc",)


def test_token_file(tmp_path: Path) -> None:
    """Tokens may stand in a file of their own, which not everybody may read."""
    file = tmp_path / "tokens"
    file.write_text("# for the edges\nabc\n\ndef\n")
    text = f"[listen]\ntokens = ['first']\ntoken_file = '{file}'\n"
    file.chmod(0o640)

    assert loaded(text).settings.listen.tokens == ("first", "abc", "def")

    file.chmod(0o644)
    assert problems(text) == [f"c.toml:3: listen.token_file: everybody may read {file}: chmod o-rw {file}"]
    file.chmod(0o600)
    file.write_text("# none\n")
    assert problems(text) == [f"c.toml:3: listen.token_file: {file} holds no token"]
    file.unlink()
    assert problems(text) == [f"c.toml:3: listen.token_file: {file} cannot be read: No such file or directory"]
