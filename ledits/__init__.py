"""LEDITS++ (Brack et al., CVPR 2024, arXiv 2311.16711) as functions on tensors. Imports nothing from ComfyUI."""
