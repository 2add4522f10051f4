"""The README's commands and links are real."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from roomguard.cli import main
from roomguard.config.loading import load

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
VERBS = sorted(set(re.findall(r"python3 -m roomguard ([a-z]+)", README)))
OPTIONS = sorted(set(re.findall(r"python3 -m roomguard ([a-z]+) ([^`\n]*)", README)))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_it_names_exists(verb: str) -> None:
    """A verb of the README is a verb of the command line."""
    assert isinstance(main, click.Group)
    assert verb in main.commands


@pytest.mark.parametrize(("verb", "rest"), OPTIONS)
def test_every_option_it_names_exists(verb: str, rest: str) -> None:
    """An option of the README is an option of its verb."""
    assert isinstance(main, click.Group)
    known = {name for parameter in main.commands[verb].params for name in parameter.opts}

    assert set(re.findall(r"--[a-z-]+", rest)) <= known


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_every_link_leads_somewhere(target: str) -> None:
    """A link of the README points to a file."""
    assert (ROOT / target).exists()


def test_its_rule_is_a_shipped_rule() -> None:
    """The rule it shows is in config.toml, word for word."""
    shown = re.search(r'name = "flood"\nwhen = "(.+)"\naction = \["(.+)"\]', README)
    rules = {rule.name: rule for rule in load(ROOT / "config.toml").settings.engine.rules}

    assert shown is not None
    assert (shown[1], (shown[2],)) == (rules["flood"].when, rules["flood"].action)
