// The whole tree in a strip: every call a line. Dragging over it zooms the waterfall to a stretch of time.

import { element } from "./dom.js";
import { duration } from "./format.js";

/** @typedef {import("./tree_shape.js").TreeShape} TreeShape */
/** @typedef {{ from: number, to: number }} Window */

const STRIP_HEIGHT = 44;
/** Calls that are drawn; of more, an even part. */
const CALLS_DRAWN = 20_000;
/** A drag shorter than this many pixels is a click, and zooms out. */
const CLICK_PIXELS = 4;

/** The strip above a waterfall. */
export class Minimap {
  /** @param {(window: Window | null) => void} zoom called with a stretch, or with null for all */
  constructor(zoom) {
    this.zoom = zoom;
    /** @type {TreeShape | null} */
    this.shape = null;
    /** @type {Window} */
    this.window = { from: 0, to: 1 };
    this.from = 0;
    this.dragged = -1;
    this.canvas = /** @type {HTMLCanvasElement} */ (element("canvas", {
      class: "minimap", height: STRIP_HEIGHT, role: "img", pointerdown: (event) => this.press(event), pointermove: (event) => this.drag(event), pointerup: (event) => this.release(event),
    }));
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    document.addEventListener("themechange", () => this.draw());
  }

  /** @param {TreeShape} shape @param {Window} window */
  show(shape, window) {
    this.shape = shape;
    this.window = window;
    this.canvas.setAttribute("aria-label", `The whole tree, ${duration(shape.to - shape.from)}; the waterfall shows ${duration(window.from)} to ${duration(window.to)}`);
    this.draw();
  }

  draw() {
    const { shape, canvas } = this;
    if (!shape) return;
    const ratio = window.devicePixelRatio || 1;
    const width = Math.max(canvas.clientWidth, 60);
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(STRIP_HEIGHT * ratio);
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    const style = getComputedStyle(canvas);
    pen.scale(ratio, ratio);
    const { model } = shape;
    const x = (/** @type {number} */ time) => ((time - shape.from) / (shape.to - shape.from)) * width;
    const step = Math.max(Math.ceil(shape.count / CALLS_DRAWN), 1);
    const lineHeight = Math.min(Math.max((STRIP_HEIGHT - 6) / shape.count, 1), 4);
    for (const failing of [0, 1]) {
      pen.fillStyle = style.getPropertyValue(failing ? "--heat-error" : "--heat-ink");
      for (let row = 0; row < shape.count; row += step) {
        const place = shape.first + row;
        if (shape.failed[model.outcome.codes[place]] !== failing) continue;
        const from = x(model.start[place]);
        pen.globalAlpha = row ? 0.75 : 0.35;
        pen.fillRect(from, 3 + (row / shape.count) * (STRIP_HEIGHT - 6), Math.max(x(model.start[place] + model.duration[place]) - from, 1.2), lineHeight);
      }
    }
    pen.globalAlpha = 1;
    const [left, right] = this.dragged >= 0 ? [Math.min(this.from, this.dragged), Math.max(this.from, this.dragged)] : [x(this.window.from), x(this.window.to)];
    if (right - left < width - 1) {
      pen.fillStyle = style.getPropertyValue("--veil");
      pen.fillRect(0, 0, left, STRIP_HEIGHT);
      pen.fillRect(right, 0, width - right, STRIP_HEIGHT);
      pen.strokeStyle = style.getPropertyValue("--accent");
      pen.lineWidth = 2;
      pen.strokeRect(left + 1, 1, Math.max(right - left - 2, 2), STRIP_HEIGHT - 2);
    }
  }

  /** @param {PointerEvent} event */
  press(event) {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.from = this.dragged = event.clientX - this.canvas.getBoundingClientRect().left;
  }

  /** @param {PointerEvent} event */
  drag(event) {
    if (this.dragged < 0) return;
    this.dragged = event.clientX - this.canvas.getBoundingClientRect().left;
    this.draw();
  }

  /** @param {PointerEvent} event */
  release(event) {
    if (this.dragged < 0 || !this.shape) return;
    const to = event.clientX - this.canvas.getBoundingClientRect().left;
    this.dragged = -1;
    const time = (/** @type {number} */ at) => /** @type {TreeShape} */ (this.shape).from + (Math.min(Math.max(at / this.canvas.clientWidth, 0), 1)) * (/** @type {TreeShape} */ (this.shape).to - /** @type {TreeShape} */ (this.shape).from);
    this.zoom(Math.abs(to - this.from) < CLICK_PIXELS ? null : { from: time(Math.min(this.from, to)), to: time(Math.max(this.from, to)) });
  }
}
