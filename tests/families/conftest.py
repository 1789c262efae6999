from scripts.host import in_comfy  # noqa: F401 (ComfyUI must be set to the CPU before the tests import anything of it)
