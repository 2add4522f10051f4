"""Stages of the path, each alone and in one process.

This package alone of `loadtest` imports roomguard: a stage cannot be reached through the socket. It is run as a child
(`loadtest.bench.stages.run`), so that the code of another revision can take the place of this one's.
"""
