"""Verbs that talk to a running guard through its admin port: undo, pause, resume, reload, status."""

from __future__ import annotations
