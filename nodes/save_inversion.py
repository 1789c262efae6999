import os
from pathlib import Path

import folder_paths
from comfy_api.latest import io

from .comfyui.images.preview import text_ui
from .comfyui.storage import inversion_file
from .comfyui.storage.files import SUFFIX
from .comfyui.storage.tensor_tree import UnstorableError
from .comfyui.types import ImageInversion, InversionSocket
from .errors import LeditsInputError, require


class SaveInversionNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LEDITS_SaveInversion",
            display_name="LEDITS++ Save Inversion",
            category="LEDITS++/advanced",
            description="Writes an inverted photo to ComfyUI's output folder, to edit it another day with LEDITS++ Load Inversion.",
            search_aliases=["ledits", "export inversion", "store inversion"],
            is_output_node=True,
            inputs=[
                InversionSocket.Input("inversion", tooltip="From LEDITS++ Invert. Its prompts are saved with it, the checkpoint is not."),
                io.String.Input(
                    "filename_prefix",
                    default="inversions/photo",
                    tooltip="Begins the file name; a number follows. / makes a subfolder; %date:yyyy-MM-dd%: today.",
                ),
            ],
            outputs=[],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, inversion: ImageInversion, filename_prefix: str) -> io.NodeOutput:
        folder, subfolder, name = _next_file(filename_prefix, inversion)
        try:
            inversion_file.save(inversion, folder, name)
        except UnstorableError as error:
            raise LeditsInputError("inversion", str(error)) from error
        except OSError as error:
            problem = f"{filename_prefix!r}: the file could not be written ({error}); check the disk's space and the folder"
            raise LeditsInputError("filename_prefix", problem) from error
        saved = {"filename": name, "subfolder": subfolder, "type": "output"}
        return io.NodeOutput(ui={"inversions": [saved], **text_ui(cls, f"Saved {Path(subfolder, name).as_posix()}")})


def _next_file(prefix: str, inversion: ImageInversion) -> tuple[Path, str, str]:
    """The folder, its name below the output folder, and the first free file name in it."""
    height, width = inversion.trajectory.x0.shape[-2:]
    # LEDITS++ Load Inversion lists neither hidden names, which begin with a dot, as an empty one does here, nor what lies behind a link.
    if "\0" in prefix or os.path.basename(os.path.normpath(prefix.strip())).startswith("."):
        problem = f"is {prefix!r}: give the beginning of a file name, such as inversions/photo, without a dot before it"
        raise LeditsInputError("filename_prefix", problem)
    try:
        output = folder_paths.get_output_directory()
        folder, name, number, subfolder, _ = folder_paths.get_save_image_path(prefix, output, width, height)
    except Exception as error:  # ComfyUI raises the class itself for a prefix that leads elsewhere
        problem = f"{prefix!r} leads out of the output folder, or no folder can be made there: give one such as inversions/photo"
        raise LeditsInputError("filename_prefix", problem) from error
    problem = f"{prefix!r} leads through a symbolic link, behind which the file would not be listed: give another subfolder"
    require(Path(os.path.realpath(folder)) == Path(os.path.realpath(output), subfolder), "filename_prefix", problem)
    return Path(folder), subfolder, f"{name}_{number:05}_{SUFFIX}"
