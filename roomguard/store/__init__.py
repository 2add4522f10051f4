"""What is kept on disk: the action journal in SQLite. Synchronous; the runtime calls it in its own threads."""
