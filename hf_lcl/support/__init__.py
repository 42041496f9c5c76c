"""Helpers that several packages share: atomic file writes, checkpoints, tables, optional dependencies."""
