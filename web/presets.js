// A list of tasks at the top of LEDITS++ Concept. Choosing one fills the node's fields, and the list shows the task whose values they have.
// It is neither saved nor sent, so that files are the same with it and without. The values come with the node's definition.

import { app } from "../../scripts/app.js";
import { setFields } from "./fields.js";

// The page has no translations for what a script adds.
const WORDS = {
  "en": {
    "label": "preset",
    "tooltip": "Values to start from, by task. Write the thing in the photo in 'where'; to add, what the new thing stands on.",
    "own": "own values",
    "replace": "replace", "add": "add", "remove": "remove", "restyle": "restyle", "face detail": "face detail", "few steps": "few steps",
    "as published": "as published"
  },
  "zh": {
    "label": "预设",
    "tooltip": "按任务给出的起点。在“位置”里写照片中的那样东西；添加时写新东西要放在什么上面。",
    "own": "自定义",
    "replace": "替换", "add": "添加", "remove": "去除", "restyle": "换风格", "face detail": "面部细节", "few steps": "少步数",
    "as published": "论文的值"
  }
};

/** A preset's values for this graph: its warmup is a share of the steps. */
function valuesFor(node, { warmup, ...values }) {
  const schedule = node.graph?.nodes.find((other) => other.comfyClass === "LEDITS_Schedule");
  const steps = schedule?.widgets.find((widget) => widget.name === "steps").value ?? 50;
  return { ...values, warmup: Math.round(warmup * steps) };
}

app.registerExtension({
  name: "ledits.presets",
  nodeCreated(node) {
    if (node.comfyClass !== "LEDITS_Concept") return;
    const presets = node.constructor.nodeData.input.required.direction[1].presets;
    const words = WORDS[app.extensionManager.setting.get("Comfy.Locale")] ?? WORDS.en;
    const named = Object.fromEntries(Object.entries(presets).map(([key, preset]) => [words[key], preset]));
    const fields = node.widgets.filter((widget) => widget.name in presets.add);
    const list = node.addWidget("combo", "preset", words.own, choose, { values: [...Object.keys(named), words.own], serialize: false });
    Object.assign(list, { label: words.label, tooltip: words.tooltip, serialize: false });
    node.widgets.unshift(node.widgets.pop());
    // Saved values are counted by place. Some pages leave a gap for a widget that is not saved, and none reads one.
    const serialized = node.onSerialize;
    node.onSerialize = function (saved) {
      saved.widgets_values = node.widgets.filter((widget) => widget.serialize !== false).map((widget) => widget.value ?? null);
      serialized?.call(this, saved);
    };

    function choose(name) {
      if (named[name]) setFields(node, valuesFor(node, named[name]));
      show();
    }

    /** Names the preset whose values the fields have; of two with the same the one that was named before. */
    function show() {
      const has = (name) => named[name] && Object.entries(valuesFor(node, named[name])).every(([field, value]) => fields.find((widget) => widget.name === field).value === value);
      list.value = [list.value, ...Object.keys(named)].find(has) ?? words.own;
    }

    for (const field of fields) {
      const callback = field.callback;
      field.callback = function (...values) {
        callback?.apply(this, values);
        show();
      };
    }
    const configured = node.onConfigure;
    node.onConfigure = function (...values) {
      configured?.apply(this, values);
      show();
    };
    queueMicrotask(show); // a new node is in no graph yet
  },
});
