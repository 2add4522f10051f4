"""roomguard: one task a live room, events judged in memory, mutes and kicks on a durable bus."""

__version__ = "0.1.0"
