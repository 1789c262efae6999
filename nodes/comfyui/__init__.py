"""The one place that knows ComfyUI's hooks: sampling, attention, text encoders, files and images on nodes."""

KEY = "ledits"  # of all wrappers, attachments and options of the pack
