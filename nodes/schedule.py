from comfy_api.latest import io

from .checks import get_noise_kind
from .comfyui.sampling.noise import schedule


class ScheduleNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LEDITS_Schedule",
            display_name="LEDITS++ Schedule",
            category="LEDITS++",
            description="Chooses the noise levels for inversion and edits, as the LEDITS++ authors do. More steps are finer and take "
            "longer; skip decides how much of the photo's layout an edit may change.",
            search_aliases=["ledits", "sigmas", "scheduler", "inversion steps"],
            inputs=[
                io.Model.Input("model", tooltip="The checkpoint that will invert and edit; its own noise levels are used."),
                io.Int.Input("steps", default=50, min=1, max=1000, tooltip="20 for most edits, 50 for the finest masks. More take longer."),
                io.Float.Input(
                    "skip",
                    default=0.15,
                    min=0.0,
                    max=0.95,
                    step=0.01,
                    tooltip="The share of the noisiest levels to leave out. 0.1 lets shapes change; 0.25 stays close to the photo.",
                ),
            ],
            outputs=[io.Sigmas.Output(display_name="sigmas", tooltip="From high to low, ending in 0. Any SIGMAS node works instead.")],
        )

    @classmethod
    def execute(cls, model, steps: int, skip: float) -> io.NodeOutput:
        get_noise_kind(model)
        return io.NodeOutput(schedule(model, steps, skip))
