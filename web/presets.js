// A list of presets on LEDITS++ Concept. Choosing one fills the node's fields, and nothing else happens: the list itself is neither
// saved nor sent, so that files are the same with it and without.

import { app } from "../../scripts/app.js";

const PRESETS = {
  "object": { "direction": "add", "scale": 12, "threshold": 0.9, "mask_mode": "intersect", "warmup": 5, "cooldown": 0 },
  "face": { "direction": "add", "scale": 5, "threshold": 0.95, "mask_mode": "intersect", "warmup": 2, "cooldown": 0 },
  "style": { "direction": "add", "scale": 7, "threshold": 0.5, "mask_mode": "noise", "warmup": 2, "cooldown": 0 },
  "remove": { "direction": "remove", "scale": 12, "threshold": 0.9, "mask_mode": "intersect", "warmup": 5, "cooldown": 0 }
};

// The page has no translations for what a script adds.
const WORDS = {
  "en": {
    "label": "preset",
    "tooltip": "Good values to start from. Choosing one fills direction, scale, threshold, mask_mode, warmup and cooldown.",
    "choose": "choose…",
    "object": "object", "face": "face detail", "style": "style", "remove": "remove"
  },
  "zh": {
    "label": "预设",
    "tooltip": "好的起点。选一个，就会填好方向、强度、阈值、遮罩方式、起始步和结束步。",
    "choose": "选择…",
    "object": "物体", "face": "面部细节", "style": "风格", "remove": "去除"
  }
};

function fill(node, values) {
  app.canvas.emitBeforeChange(); // undo takes all fields back in one step
  for (const [name, value] of Object.entries(values)) {
    const widget = node.widgets.find((widget) => widget.name === name);
    widget.value = value;
    widget.callback?.(value, app.canvas, node);
  }
  app.canvas.emitAfterChange();
  node.setDirtyCanvas(true, true);
}

app.registerExtension({
  name: "ledits.presets",
  nodeCreated(node) {
    if (node.comfyClass !== "LEDITS_Concept") return;
    const words = WORDS[app.extensionManager.setting.get("Comfy.Locale")] ?? WORDS.en;
    const named = Object.fromEntries(Object.entries(PRESETS).map(([key, values]) => [words[key], values]));
    // The last widget: saved values are counted by place.
    const list = node.addWidget("combo", "preset", words.choose, choose, { values: [words.choose, ...Object.keys(named)], serialize: false });
    Object.assign(list, { label: words.label, tooltip: words.tooltip, serialize: false });

    function choose(name) {
      list.value = words.choose; // what it would show otherwise need not be true for long
      if (named[name]) fill(node, named[name]);
    }
  },
});
