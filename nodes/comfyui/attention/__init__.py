"""Recording attention while ComfyUI samples."""
