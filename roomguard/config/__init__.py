"""config.toml, environment and flags to frozen settings; every error at once, with file, line and key."""

from __future__ import annotations

from roomguard.config.loading import Loaded, load, load_document
from roomguard.config.root import Settings

__all__ = ["Loaded", "Settings", "load", "load_document"]
