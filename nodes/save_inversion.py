"""LEDITS_SaveInversion and LEDITS_LoadInversion."""

from __future__ import annotations

from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..ledits import inversion_file
from ..ledits.tensor_tree import UnstorableError
from .comfyui.notice import notice
from .comfyui.types import Base, InversionSocket, PictureInversion
from .errors import LeditsInputError

SAVE, LOAD = "LEDITS++ Save Inversion", "LEDITS++ Load Inversion"

IN_OUTPUT = " [output]"
"""ComfyUI's own mark for a file of the output folder in a list of input files."""


class SaveInversion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LEDITS_SaveInversion",
            display_name=SAVE,
            category="LEDITS++/advanced",
            description="Writes an inverted photo to a file in ComfyUI's output folder, so that it can be edited another day without inverting "
            "it again. LEDITS++ Load Inversion reads it.",
            search_aliases=["ledits", "export inversion", "store inversion"],
            is_output_node=True,
            inputs=[
                InversionSocket.Input("inversion", tooltip="From LEDITS++ Invert. Its prompts are saved with it, the checkpoint is not."),
                io.String.Input(
                    "filename_prefix",
                    default="inversions/photo",
                    tooltip="What the file's name begins with; a number follows. A / makes a subfolder; %year%, %month%, %day% stand for today.",
                ),
            ],
            outputs=[],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, inversion: PictureInversion, filename_prefix: str) -> io.NodeOutput:
        folder, subfolder, name = _next_file(filename_prefix, inversion)
        base = inversion.base
        stored = inversion_file.StoredInversion(
            inversion.walk, inversion.seed, inversion.latent, base.negative, base.positive, base.cfg, inversion.fingerprint
        )
        try:
            inversion_file.save(stored, folder, name)
        except UnstorableError as error:
            raise LeditsInputError(SAVE, "inversion", str(error)) from error
        except OSError as error:
            raise LeditsInputError(
                SAVE,
                "filename_prefix",
                f"{filename_prefix!r}: the file could not be written ({error}); check the disk's space and the folder",
            ) from error
        saved = {"filename": name, "subfolder": subfolder, "type": "output"}
        return io.NodeOutput(ui={"inversions": [saved], **notice(cls, f"Saved {Path(subfolder, name).as_posix()}")})


class LoadInversion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LEDITS_LoadInversion",
            display_name=LOAD,
            category="LEDITS++/advanced",
            description="Reads an inverted photo from a file that LEDITS++ Save Inversion wrote. Edits of it are the same, to the bit, as edits of the "
            "inversion that was saved.",
            search_aliases=["ledits", "import inversion", "open inversion"],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=_files(),
                    tooltip="A file in ComfyUI's input folder, or one that was just saved [output]. Edit it with the checkpoint that inverted the "
                    "photo: LEDITS++ Edit says whether it is.",
                ),
            ],
            outputs=[InversionSocket.Output(display_name="inversion", tooltip="The photo with the noise that draws it, as it was saved.")],
        )

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        try:
            stored = inversion_file.load(*_place(file))
        except inversion_file.InversionFileError as error:
            raise LeditsInputError(LOAD, "file", f"{file!r} {error}") from error
        base = Base(stored.negative, stored.positive, stored.cfg)
        return io.NodeOutput(PictureInversion(stored.walk, stored.latent, base, stored.seed, stored.network))

    @classmethod
    def fingerprint_inputs(cls, file: str) -> str | float:
        try:
            return inversion_file.state(*_place(file))
        except inversion_file.InversionFileError:
            return float("nan")  # never the same: the node runs and says what is wrong


def _next_file(prefix: str, inversion: PictureInversion) -> tuple[Path, str, str]:
    """The folder, its name below the output folder, and the first free file name in it."""
    height, width = inversion.walk.original.shape[-2:]
    output = folder_paths.get_output_directory()
    if not prefix.strip() or "\0" in prefix:
        raise LeditsInputError(SAVE, "filename_prefix", f"is {prefix!r}: give the beginning of a file name, such as inversions/photo")
    try:
        folder, name, number, subfolder, _ = folder_paths.get_save_image_path(prefix, output, width, height)
    except Exception as error:  # ComfyUI raises the class itself for a prefix that leads elsewhere
        raise LeditsInputError(
            SAVE,
            "filename_prefix",
            f"{prefix!r} leads out of the output folder, or no folder can be made there: give one such as inversions/photo",
        ) from error
    return Path(folder), subfolder, f"{name}_{number:05}_{inversion_file.SUFFIX}"


def _files() -> list[str]:
    """The list to choose from: files of the input folder, then those of the output folder with its mark."""
    inside, outside = (Path(folder) for folder in (folder_paths.get_input_directory(), folder_paths.get_output_directory()))
    return inversion_file.names(inside) + [name + IN_OUTPUT for name in inversion_file.names(outside)]


def _place(file: str) -> tuple[Path, str]:
    """An entry of the list as a folder and a name below it."""
    if file.endswith(IN_OUTPUT):
        return Path(folder_paths.get_output_directory()), file.removesuffix(IN_OUTPUT)
    return Path(folder_paths.get_input_directory()), file
