// Latency over time of the listed trees, and a region of it that a person marks with the pointer or the keys.
// A cell is the darker, the more trees it holds; a dot in it says that some of them hold a failed call.

import { element } from "./dom.js";
import { counted, duration } from "./format.js";

/** @typedef {import("./main.js").App} App */
/** A region: times from the origin and durations, nanoseconds. @typedef {{ from: number, to: number, shortest: number, longest: number }} Region */

const CELL = 7;
const HEATMAP_HEIGHT = 154;
const LEFT = 62;
const BOTTOM = 18;

/** The heatmap. `node` goes into the page; `setTrees` says what it shows. */
export class Heatmap {
  /** @param {App} app @param {(region: Region | null) => void} mark called when the region changes */
  constructor(app, mark) {
    this.app = app;
    this.mark = mark;
    /** @type {Uint32Array} */
    this.trees = new Uint32Array(0);
    /** @type {Region | null} */
    this.region = null;
    this.scale = { from: 0, to: 1, low: 0, high: 1 };
    this.columns = 1;
    this.rows = Math.floor((HEATMAP_HEIGHT - BOTTOM) / CELL);
    /** Cell of the keyboard, and where its region began. */
    this.cursor = { x: 0, y: 0 };
    /** @type {{ x: number, y: number } | null} */
    this.anchor = null;
    this.hasFocus = false;
    this.canvas = /** @type {HTMLCanvasElement} */ (element("canvas", {
      class: "heatmap", height: HEATMAP_HEIGHT, role: "img", tabindex: "0", pointerdown: (event) => this.press(event), pointermove: (event) => this.drag(event), pointerup: (event) => this.release(event),
      keydown: (event) => this.key(event), focus: () => { this.hasFocus = true; this.draw(); }, blur: () => { this.hasFocus = false; this.draw(); },
    }));
    this.hint = element("p", { class: "heat-hint muted" }, "Drag over a region, or move with the arrows and mark with Shift, to see what is different there");
    this.node = element("div", { class: "heatmap-box" }, this.canvas, this.hint);
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    document.addEventListener("themechange", () => this.draw());
  }

  /** @param {Uint32Array} trees */
  setTrees(trees) {
    const { model } = this.app;
    this.trees = trees;
    let [from, to, low, high] = [Infinity, -Infinity, Infinity, 0];
    for (const tree of trees) {
      from = Math.min(from, model.treeStart[tree]);
      to = Math.max(to, model.treeStart[tree]);
      low = Math.min(low, Math.max(model.treeDuration[tree], 1));
      high = Math.max(high, model.treeDuration[tree]);
    }
    if (!trees.length) [from, to, low, high] = [0, 1, 1, 10];
    this.scale = { from, to: Math.max(to, from + 1), low: Math.log(low) - 0.05, high: Math.log(Math.max(high, low * 1.5)) + 0.05 };
    this.draw();
    this.canvas.setAttribute("aria-label", `Latency over time of ${counted(trees.length, "tree")}: durations from ${duration(low)} to ${duration(high)}${this.region ? "; a region is marked" : ""}`);
  }

  /** Trees inside the region, and those outside of it. @returns {{ inside: Uint32Array, outside: Uint32Array }} */
  split() {
    const { model } = this.app;
    const region = this.region;
    const isIn = (/** @type {number} */ tree) => region !== null && model.treeStart[tree] >= region.from && model.treeStart[tree] <= region.to
      && model.treeDuration[tree] >= region.shortest && model.treeDuration[tree] <= region.longest;
    return { inside: this.trees.filter(isIn), outside: this.trees.filter((tree) => !isIn(tree)) };
  }

  draw() {
    const width = Math.max(this.canvas.clientWidth, 120);
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(HEATMAP_HEIGHT * ratio);
    const pen = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    const style = getComputedStyle(this.canvas);
    const colour = (/** @type {string} */ name) => style.getPropertyValue(name);
    pen.scale(ratio, ratio);
    this.columns = Math.max(Math.floor((width - LEFT) / CELL), 1);
    const { counts, failed } = this.counted();
    const most = Math.max(...counts, 1);
    pen.fillStyle = colour("--heat-ink");
    for (let cell = 0; cell < counts.length; cell++) {
      if (!counts[cell]) continue;
      const x = LEFT + Math.floor(cell / this.rows) * CELL;
      const y = (this.rows - 1 - (cell % this.rows)) * CELL;
      pen.globalAlpha = 0.2 + (0.8 * Math.log1p(counts[cell])) / Math.log1p(most);
      pen.fillRect(x, y, CELL - 1, CELL - 1);
      if (failed[cell]) {
        pen.globalAlpha = 1;
        pen.fillStyle = colour("--heat-error");
        pen.fillRect(x + 1.5, y + 1.5, CELL - 4, CELL - 4);
        pen.fillStyle = colour("--heat-ink");
      }
    }
    pen.globalAlpha = 1;
    this.drawAxes(pen, width, colour("--muted"), colour("--line"));
    this.drawRegion(pen, colour("--accent"));
  }

  counted() {
    const { model } = this.app;
    const counts = new Uint32Array(this.columns * this.rows);
    const failed = new Uint8Array(counts.length);
    for (const tree of this.trees) {
      const { x, y } = this.cellOf(model.treeStart[tree], model.treeDuration[tree]);
      counts[x * this.rows + y] += 1;
      if (model.errors[tree]) failed[x * this.rows + y] = 1;
    }
    return { counts, failed };
  }

  /** @param {number} time @param {number} length @returns {{ x: number, y: number }} */
  cellOf(time, length) {
    const { from, to, low, high } = this.scale;
    const x = Math.floor(((time - from) / (to - from)) * this.columns);
    const y = Math.floor(((Math.log(Math.max(length, 1)) - low) / (high - low)) * this.rows);
    return { x: Math.min(Math.max(x, 0), this.columns - 1), y: Math.min(Math.max(y, 0), this.rows - 1) };
  }

  /** @param {CanvasRenderingContext2D} pen @param {number} width @param {string} ink @param {string} line */
  drawAxes(pen, width, ink, line) {
    const { from, to, low, high } = this.scale;
    const bottom = this.rows * CELL;
    pen.font = "11px system-ui, sans-serif";
    pen.fillStyle = ink;
    pen.strokeStyle = line;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    for (let power = Math.ceil(low / Math.LN10); power * Math.LN10 <= high; power++) {
      const y = bottom - ((power * Math.LN10 - low) / (high - low)) * bottom;
      pen.fillText(duration(10 ** power), LEFT - 6, Math.max(y, 6));
      pen.beginPath();
      pen.moveTo(LEFT, y);
      pen.lineTo(width, y);
      pen.stroke();
    }
    pen.textBaseline = "alphabetic";
    const ticks = Math.max(Math.min(Math.floor((width - LEFT) / 150), 6), 1);
    for (let tick = 0; tick <= ticks; tick++) {
      pen.textAlign = tick === 0 ? "left" : tick === ticks ? "right" : "center";
      pen.fillText(this.app.clock.timeOfDay(from + ((to - from) * tick) / ticks).slice(0, 12), LEFT + ((width - LEFT) * tick) / ticks, HEATMAP_HEIGHT - 4);
    }
  }

  /** @param {CanvasRenderingContext2D} pen @param {string} ink */
  drawRegion(pen, ink) {
    pen.strokeStyle = ink;
    if (this.region) {
      const a = this.cellOf(this.region.from, this.region.shortest);
      const b = this.cellOf(this.region.to, this.region.longest);
      const [x, y] = [LEFT + a.x * CELL, (this.rows - 1 - b.y) * CELL];
      const [w, h] = [(b.x - a.x + 1) * CELL - 1, (b.y - a.y + 1) * CELL - 1];
      pen.fillStyle = ink;
      pen.globalAlpha = 0.12;
      pen.fillRect(x, y, w, h);
      pen.globalAlpha = 1;
      pen.lineWidth = 2;
      pen.strokeRect(x, y, w, h);
    }
    if (this.hasFocus) {
      pen.lineWidth = 2;
      pen.strokeRect(LEFT + this.cursor.x * CELL - 1, (this.rows - 1 - this.cursor.y) * CELL - 1, CELL + 1, CELL + 1);
    }
  }

  /** @param {PointerEvent} event @returns {{ x: number, y: number }} */
  cellAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = Math.floor((event.clientX - box.left - LEFT) / CELL);
    const y = this.rows - 1 - Math.floor((event.clientY - box.top) / CELL);
    return { x: Math.min(Math.max(x, 0), this.columns - 1), y: Math.min(Math.max(y, 0), this.rows - 1) };
  }

  /** @param {PointerEvent} event */
  press(event) {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.anchor = this.cellAt(event);
    this.cursor = this.anchor;
  }

  /** @param {PointerEvent} event */
  drag(event) {
    if (!this.anchor || !this.canvas.hasPointerCapture(event.pointerId)) return;
    this.cursor = this.cellAt(event);
    this.region = this.between(this.anchor, this.cursor);
    this.draw();
  }

  /** @param {PointerEvent} event */
  release(event) {
    if (!this.anchor) return;
    const end = this.cellAt(event);
    const moved = end.x !== this.anchor.x || end.y !== this.anchor.y;
    this.region = moved ? this.between(this.anchor, end) : null;
    this.anchor = null;
    this.draw();
    this.mark(this.region);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    /** @type {Record<string, [number, number]>} */
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (event.key in moves) {
      const [dx, dy] = moves[event.key];
      const before = this.cursor;
      this.cursor = { x: Math.min(Math.max(before.x + dx, 0), this.columns - 1), y: Math.min(Math.max(before.y + dy, 0), this.rows - 1) };
      if (event.shiftKey) {
        this.anchor ??= before;
        this.region = this.between(this.anchor, this.cursor);
        this.mark(this.region);
      } else {
        this.anchor = null;
      }
    } else if (event.key === "Escape" && this.region) {
      this.anchor = null;
      this.region = null;
      this.mark(null);
    } else {
      return;
    }
    this.draw();
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {{ x: number, y: number }} one @param {{ x: number, y: number }} other @returns {Region} */
  between(one, other) {
    const { from, to, low, high } = this.scale;
    const time = (/** @type {number} */ x) => from + ((to - from) * x) / this.columns;
    const length = (/** @type {number} */ y) => Math.exp(low + ((high - low) * y) / this.rows);
    return {
      from: Math.floor(time(Math.min(one.x, other.x))), to: Math.ceil(time(Math.max(one.x, other.x) + 1)),
      shortest: Math.floor(length(Math.min(one.y, other.y))), longest: Math.ceil(length(Math.max(one.y, other.y) + 1)),
    };
  }
}
