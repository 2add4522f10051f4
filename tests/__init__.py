"""Tests mirror the source: tests/engine beside roomguard/engine; each folder is a package (`__init__.py`)."""
