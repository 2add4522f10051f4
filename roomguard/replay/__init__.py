"""Recordings through the engine, in room time, as fast as it goes."""

from roomguard.replay.explaining import explained
from roomguard.replay.player import Player, Summary
from roomguard.replay.sources import Source, merged, open_source

__all__ = ["Player", "Source", "Summary", "explained", "merged", "open_source"]
