"""Inversion and edits inside ComfyUI's sampling."""
