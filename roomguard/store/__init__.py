"""What is kept on disk: the action journal in SQLite. Synchronous; a process of its own writes, a thread reads."""
