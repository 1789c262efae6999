// Sets fields of a node as a person does, and so that one undo takes all of them back.

import { app } from "../../scripts/app.js";

export function setFields(node, values) {
  app.canvas.emitBeforeChange();
  for (const [name, value] of Object.entries(values)) {
    const widget = node.widgets.find((widget) => widget.name === name);
    widget.value = value;
    widget.callback?.(value, app.canvas, node);
  }
  app.canvas.emitAfterChange();
  node.setDirtyCanvas(true, true);
}
