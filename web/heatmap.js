// What a map of LEDITS++ Heatmap says under the pointer: the word, and how strong its attention is there. The node's result holds the
// values, so nothing is asked of the server.

import { app } from "../../scripts/app.js";

const KIND = "LEDITS_Heatmap";
const SIZE_TEXT = 15; // below a picture on the canvas, where the page's setting shows its size

/** The values that came with the node's last result. */
function readingsOf(node) {
  const key = node.graph?.isRootGraph === false ? `${node.graph.id}:${node.id}` : node.id;
  return app.nodeOutputs?.[key]?.ledits_heatmap?.[0];
}

/** Where a place lies on a picture that stands whole in the middle of a box, in shares of its sides. */
function sharesOf([x, y], [left, top, width, height], image, most = Infinity) {
  const scale = Math.min(width / image.naturalWidth, height / image.naturalHeight, most);
  const [across, down] = [scale * image.naturalWidth, scale * image.naturalHeight];
  return [(x - left - (width - across) / 2) / across, (y - top - (height - down) / 2) / down];
}

/** The picture on the canvas under a place of the graph, which is never enlarged. */
function onCanvas(node, place) {
  const widget = node.widgets?.find((other) => other.name === "$$canvas-image-preview");
  const index = node.imgs?.length === 1 ? 0 : node.imageIndex;
  const image = node.imgs?.[index ?? -1];
  if (!widget?.computedHeight || !image?.naturalWidth) return null;
  const height = widget.computedHeight - (app.extensionManager.setting.get("Comfy.Node.AllowImageSizeDraw") ? SIZE_TEXT : 0);
  const box = [node.pos[0], node.pos[1] + widget.y, node.size[0], height];
  return { index, image, at: sharesOf(place, box, image, 1) };
}

/** The same in Nodes 2.0, whose pictures are elements. */
function inElement(node, image, event) {
  const { left, top, width, height } = image.getBoundingClientRect();
  const index = Math.max(0, (node.imgs ?? []).findIndex((other) => other.src === image.src));
  return { index, image, at: sharesOf([event.clientX, event.clientY], [left, top, width, height], image) };
}

/** "red 0.83", or nothing beside the maps. */
function read(readings, { index, image, at }) {
  const { words, columns, panel, pitch, width, cells, values } = readings;
  const height = (image.naturalHeight / image.naturalWidth) * width;
  const [x, y] = [at[0] * width, at[1] * height];
  const [column, row] = [Math.floor(x / pitch[0]), Math.floor(y / pitch[1])];
  const [left, top] = [x - column * pitch[0], y - row * pitch[1]];
  const word = row * columns + column;
  const map = values[index]?.[word];
  if (x < 0 || y < 0 || column >= columns || left >= panel[0] || top >= panel[1] || !map) return null;
  const cell = Math.floor((top / panel[1]) * cells[1]) * cells[0] + Math.floor((left / panel[0]) * cells[0]);
  return `${words[word]} ${(parseInt(map.slice(2 * cell, 2 * cell + 2), 16) / 255).toFixed(2)}`;
}

function textUnder(event) {
  const element = event.target.closest?.("[data-node-id]");
  if (event.target !== app.canvas?.canvas && !element) return null;
  const place = app.canvas.convertEventToCanvasOffset(event);
  const node = element ? app.canvas.graph.getNodeById(element.dataset.nodeId) : app.canvas.graph.getNodeOnPos(...place);
  const readings = node?.comfyClass === KIND && !node.flags?.collapsed && readingsOf(node);
  if (!readings) return null;
  const image = element?.querySelector("img");
  const found = element ? image?.naturalWidth && inElement(node, image, event) : onCanvas(node, place);
  return found ? read(readings, found) : null;
}

app.registerExtension({
  name: "ledits.heatmap",
  setup() {
    const label = document.createElement("div");
    label.className = "ledits-heatmap-reading";
    Object.assign(label.style, {
      position: "fixed", left: 0, top: 0, zIndex: 9999, pointerEvents: "none", display: "none", padding: "2px 6px", borderRadius: "4px",
      background: "var(--comfy-menu-bg)", color: "var(--input-text)", border: "1px solid var(--border-color)", font: "12px sans-serif",
    });
    document.body.append(label);
    document.addEventListener("pointermove", (event) => {
      const text = event.buttons ? null : textUnder(event);
      label.style.display = text ? "block" : "none";
      label.textContent = text;
      label.style.translate = `${event.clientX + 14}px ${event.clientY + 14}px`;
    }, { passive: true });
  },
});
