"""The rule language: Python-syntax expressions over features, checked and compiled, never interpreted."""
