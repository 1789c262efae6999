// Fills %date:yyyy-MM-dd% and %Node.widget% into the file name of LEDITS++ Save Inversion, as the page does for its own Save nodes.

import { app } from "../../scripts/app.js";

app.registerExtension({
  name: "ledits.save_inversion",
  nodeCreated(node) {
    if (node.comfyClass !== "LEDITS_SaveInversion") return;
    const prefix = node.widgets.find((widget) => widget.name === "filename_prefix");
    // A page without this function sends what was typed.
    prefix.serializeValue = () => window.comfyAPI?.utils?.applyTextReplacements?.(app.graph, prefix.value) ?? prefix.value;
  },
});
