from pathlib import Path

import folder_paths
from comfy_api.latest import io

from .comfyui.storage import files, inversion_file
from .comfyui.types import InversionSocket
from .errors import LeditsInputError, require

IN_OUTPUT = " [output]"  # ComfyUI's own mark for a file of the output folder in a list of input files
NO_FILES = "no inversion saved yet"  # the page shows an empty list as "undefined"


class LoadInversionNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        inputs, outputs = (files.names(Path(folder())) for folder in (folder_paths.get_input_directory, folder_paths.get_output_directory))
        return io.Schema(
            node_id="LEDITS_LoadInversion",
            display_name="LEDITS++ Load Inversion",
            category="LEDITS++/advanced",
            description="Reads an inverted photo that LEDITS++ Save Inversion wrote. Edits of it are the same, to the bit, as before.",
            search_aliases=["ledits", "import inversion", "open inversion"],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=inputs + [name + IN_OUTPUT for name in outputs] or [NO_FILES],
                    tooltip="From ComfyUI's input folder, or just saved [output]. Edit warns if another checkpoint made it.",
                ),
            ],
            outputs=[InversionSocket.Output(display_name="inversion", tooltip="The photo with the noise that makes it, as it was saved.")],
        )

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        problem = "has nothing to load: run LEDITS++ Save Inversion, refresh the list (press R) and choose its file"
        require(file != NO_FILES, "file", problem)
        try:
            return io.NodeOutput(inversion_file.load(*_find(file)))
        except files.InversionFileError as error:
            raise LeditsInputError("file", f"{file!r} {error}") from error

    @classmethod
    def fingerprint_inputs(cls, file: str) -> str | float:
        try:
            return files.state(*_find(file))
        except files.InversionFileError:
            return float("nan")  # never the same: the node runs and says what is wrong


def _find(file: str) -> tuple[Path, str]:
    """The folder of an entry in the list, and the name below it."""
    if file.endswith(IN_OUTPUT):
        return Path(folder_paths.get_output_directory()), file.removesuffix(IN_OUTPUT)
    return Path(folder_paths.get_input_directory()), file
