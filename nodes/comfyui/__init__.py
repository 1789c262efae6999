"""The one place that knows ComfyUI's hooks: model, guider, samplers and capture."""
