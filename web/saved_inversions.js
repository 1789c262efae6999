// Offers the file that LEDITS++ Save Inversion has written in LEDITS++ Load Inversion, without a reload of the page.

import { app } from "../../scripts/app.js";

/** Whether the page has the file in its list: a run that took the node's result from the cache names it again. */
function isOffered({ filename, subfolder }) {
  const offered = window.LiteGraph?.registered_node_types.LEDITS_LoadInversion?.nodeData?.input?.required?.file?.[1]?.options;
  const path = [subfolder.replaceAll("\\", "/"), filename].filter(Boolean).join("/");
  return Boolean(offered?.includes(`${path} [output]`));
}

app.registerExtension({
  name: "ledits.saved_inversions",
  nodeCreated(node) {
    if (node.comfyClass !== "LEDITS_SaveInversion") return;
    const executed = node.onExecuted;
    node.onExecuted = function (output, ...others) {
      executed?.call(this, output, ...others);
      // The page itself says so where its refresh fails.
      if (!(output?.inversions ?? []).every(isOffered)) app.refreshComboInNodes?.()?.catch(() => {});
    };
  },
});
