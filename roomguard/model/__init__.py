"""The words of the system: what comes in (events, control records) and what goes out (actions)."""
