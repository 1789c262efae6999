"""Prompts: their encodings, and which tokens are which words."""
