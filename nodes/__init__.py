"""ComfyUI nodes: thin, one for each step of the method."""

from comfy_api.latest import io

from .attention_store import AttentionStore
from .capture_attention import CaptureAttention
from .concept import Concept
from .edit import Edit
from .guidance import MaskedGuider
from .heatmap import Heatmap
from .inversion import Invert
from .inversion_file import LoadInversion, SaveInversion
from .masks import ExtractMask
from .probe_attention import ProbeAttention
from .replay import ReplaySampler
from .schedule import Schedule
from .sockets import checked
from .sweep import Sweep

NODES: list[type[io.ComfyNode]] = [
    checked(node)
    for node in (
        Schedule,
        Invert,
        Concept,
        Edit,
        AttentionStore,
        CaptureAttention,
        ProbeAttention,
        ExtractMask,
        Heatmap,
        MaskedGuider,
        ReplaySampler,
        SaveInversion,
        LoadInversion,
        Sweep,
    )
]
