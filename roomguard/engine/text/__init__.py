"""Texts: folded, measured, searched. Pure and fast; the same text gives the same facts on every machine."""

from roomguard.engine.text.analyser import Analyser
from roomguard.engine.text.facts import EMPTY, Facts
from roomguard.engine.text.settings import AdvertCue, WordSettings

__all__ = ["EMPTY", "AdvertCue", "Analyser", "Facts", "WordSettings"]
