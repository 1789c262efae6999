"""ComfyUI nodes: thin, one for each step of the method."""

from comfy_api.latest import io

from .attention_store import AttentionStoreNode
from .capture_attention import CaptureAttentionNode
from .concept import ConceptNode
from .edit import EditNode
from .extract_mask import ExtractMaskNode
from .fit_photo import FitPhotoNode
from .heatmap import HeatmapNode
from .invert import InvertNode
from .load_inversion import LoadInversionNode
from .masked_guider import MaskedGuiderNode
from .probe_attention import ProbeAttentionNode
from .replay_sampler import ReplaySamplerNode
from .save_inversion import SaveInversionNode
from .schedule import ScheduleNode
from .sweep import SweepNode
from .validation import validated

_EDITING = (FitPhotoNode, ScheduleNode, InvertNode, ConceptNode, EditNode)
_ATTENTION = (AttentionStoreNode, CaptureAttentionNode, ProbeAttentionNode, ExtractMaskNode, HeatmapNode)
_ADVANCED = (MaskedGuiderNode, ReplaySamplerNode, SaveInversionNode, LoadInversionNode)

NODES: list[type[io.ComfyNode]] = [validated(node) for node in (*_EDITING, *_ATTENTION, *_ADVANCED, SweepNode)]
