// The choices of the pack's lists in the page's language. What is saved and sent stays English, and stands beside the translation, since
// help pages, messages and other people's workflows say it.

import { app } from "../../scripts/app.js";

// By field. ComfyUI's translations have names and tooltips of fields, but no choices.
const CHOICES = {
  "zh": {
    "direction": { "add": "添加", "remove": "去除" },
    "mask_mode": { "intersect": "相交", "attention": "注意力", "noise": "噪波", "none": "处处" },
    "masks": { "all steps": "所有步", "last step": "最后一步" },
    "branch": { "positive": "正面", "negative": "负面" },
    "solver": { "automatic": "自动", "first order": "一阶", "ODE": "常微分方程", "LCM": "潜在一致性" },
    "columns": { "scale": "强度", "threshold": "阈值", "warmup": "起始步", "cooldown": "结束步", "smoothing": "平滑" },
    "rows": { "none": "无", "scale": "强度", "threshold": "阈值", "warmup": "起始步", "cooldown": "结束步", "smoothing": "平滑" }
  }
};

app.registerExtension({
  name: "ledits.choices",
  nodeCreated(node) {
    const choices = CHOICES[app.extensionManager.setting.get("Comfy.Locale")];
    if (!choices || !node.comfyClass?.startsWith("LEDITS_")) return;
    for (const widget of node.widgets ?? []) {
      const names = choices[widget.name];
      if (names) widget.options.getOptionLabel = (value) => (names[value] ? `${names[value]} ${value}` : value ?? "");
    }
  },
});
