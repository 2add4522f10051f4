"""The list of signals against the configuration that is shipped."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from roomguard.configure import Configuration, configure
from roomguard.engine.features import JUDGED_KINDS
from roomguard.engine.reasons import REASONS
from roomguard.engine.signals import SIGNALS


@pytest.fixture(scope="module")
def shipped() -> Configuration:
    return configure(Path(__file__).parents[2] / "config.toml")


def test_every_rule_belongs_to_a_signal(shipped: Configuration) -> None:
    """Each rule that is shipped stands in the list once, and the list names no other."""
    listed = Counter(rule for signal in SIGNALS for rule in signal.rules)

    assert Counter(rule.name for rule in shipped.settings.engine.rules) == listed


def test_every_signal_reads_what_there_is(shipped: Configuration) -> None:
    """A signal names features that its rules can read, and says when the same is legitimate."""
    catalogue = shipped.program.catalogue
    names = {name for kind in JUDGED_KINDS for name in catalogue.rule_scope(kind, {}).symbols}
    names |= {f'over("{name}")' for name in catalogue.limits}

    assert [(s.name, f) for s in SIGNALS for f in s.features if f not in names] == []
    assert all(signal.rules and signal.legitimate.endswith(".") for signal in SIGNALS)


def test_every_reason_has_words(shipped: Configuration) -> None:
    """A rule that is shipped gives a reason that viewers can be told in their language."""
    rules = shipped.settings.engine.rules

    assert [rule.name for rule in rules if (rule.reason or rule.name) not in REASONS] == []


def test_names_are_single() -> None:
    """No signal is listed twice."""
    assert len({signal.name for signal in SIGNALS}) == len(SIGNALS)
