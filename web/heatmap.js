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

/** On the canvas: the picture under a place of the graph, and the place on it in shares of its sides. */
function onCanvas(node, [x, y]) {
  const widget = node.widgets?.find((other) => other.name === "$$canvas-image-preview");
  const index = node.imgs?.length === 1 ? 0 : node.imageIndex;
  const image = node.imgs?.[index ?? -1];
  if (!widget?.computedHeight || !image?.naturalWidth) return null;
  const room = [node.size[0], widget.computedHeight - (app.extensionManager.setting.get("Comfy.Node.AllowImageSizeDraw") ? SIZE_TEXT : 0)];
  const scale = Math.min(room[0] / image.naturalWidth, room[1] / image.naturalHeight, 1);
  const [width, height] = [scale * image.naturalWidth, scale * image.naturalHeight];
  const left = node.pos[0] + (room[0] - width) / 2;
  const top = node.pos[1] + widget.y + (room[1] - height) / 2;
  return { index, image, at: [(x - left) / width, (y - top) / height] };
}

/** In Nodes 2.0, whose pictures are elements that hold them whole. */
function inElement(node, image, event) {
  const box = image.getBoundingClientRect();
  const scale = Math.min(box.width / image.naturalWidth, box.height / image.naturalHeight);
  const [width, height] = [scale * image.naturalWidth, scale * image.naturalHeight];
  const index = Math.max(0, (node.imgs ?? []).findIndex((other) => other.src === image.src));
  return {
    index,
    image,
    at: [(event.clientX - box.left - (box.width - width) / 2) / width, (event.clientY - box.top - (box.height - height) / 2) / height],
  };
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
