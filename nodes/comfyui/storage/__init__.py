"""Inversions as files."""
