"""Reuse: what was computed before, found by identity and verified before it is used again."""
