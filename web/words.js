// "Words" in the right-click menu of LEDITS++ Concept and Extract Mask: the words that their map has, to choose for the field 'words'.

import { app } from "../../scripts/app.js";
import { setFields } from "./fields.js";

const TITLE = { en: "Words", zh: "词语" };
const WEIGHT = /:[\d.\s]+\)/g; // of (red:1.2)

const field = (node, name) => node.widgets?.find((widget) => widget.name === name);

/** The node behind an input, or nothing. */
function source(node, name) {
  const slot = node.inputs?.findIndex((input) => input.name === name) ?? -1;
  return slot < 0 ? null : node.getInputNode(slot);
}

/** The texts that a node's output has maps of, in the order of the concepts. A graph that is being wired may go in a circle. */
function textsOf(node, seen = new Set()) {
  if (!node || seen.has(node)) return [];
  seen.add(node);
  if (node.comfyClass === "LEDITS_Concept") return [...textsOf(source(node, "concepts"), seen), textOfConcept(node, seen)];
  const text = field(node, "text");
  if (text) return [text.value];
  const reroute = node.inputs?.length === 1 ? node.getInputNode(0) : null;
  return textsOf(source(node, "attention") ?? source(node, "concepts") ?? reroute, seen);
}

function textOfConcept(node, seen) {
  const attention = source(node, "attention");
  if (attention) return textsOf(attention, seen)[0];
  return field(node, "where").value.trim() || field(node, "text").value;
}

const TEXT = {
  LEDITS_Concept: (node) => textOfConcept(node, new Set([node])),
  LEDITS_ExtractMask: (node) => textsOf(source(node, "attention"))[field(node, "concept").value],
};

const chosenIn = (node) => field(node, "words").value.split(/[\s,;，；、]+/).filter(Boolean);

function toggle(node, word) {
  const chosen = chosenIn(node);
  const words = chosen.includes(word) ? chosen.filter((other) => other !== word) : [...chosen, word];
  setFields(node, { words: words.join(" ") });
}

app.registerExtension({
  name: "ledits.words",
  getNodeMenuItems(node) {
    const text = TEXT[node.comfyClass]?.(node) ?? "";
    // Also of Chinese, where a word is any run of characters: it is offered whole, to be cut by hand.
    const words = new Set(text.replace(WEIGHT, " ").match(/[\p{L}\p{M}\p{N}]+/gu));
    if (!words.size) return [];
    const chosen = chosenIn(node);
    const options = [...words].map((word) => ({ content: chosen.includes(word) ? `✓ ${word}` : word, callback: () => toggle(node, word) }));
    return [null, { content: TITLE[app.extensionManager.setting.get("Comfy.Locale")] ?? TITLE.en, has_submenu: true, submenu: { options } }];
  },
});
