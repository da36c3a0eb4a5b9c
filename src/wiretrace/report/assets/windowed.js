// A list of any length of which only the visible rows are in the page. One row is active; the arrows, j and k move it.

import { element } from "./dom.js";

/** @typedef {import("./dom.js").Child} Child */
/**
 * @typedef {object} WindowedOptions
 * @property {string} label what the rows are, for screen readers
 * @property {string} role "grid" or "treegrid"
 * @property {string} layout class that lays out the cells of heads and rows
 * @property {HTMLElement[]} heads cells of the head
 * @property {(row: number) => { cells: Child[], properties?: Record<string, string | number | boolean | null> }} render
 * @property {(row: number) => void} choose called when a row becomes active
 * @property {(row: number) => void} open called when it is opened
 * @property {boolean} clickOpens whether a click opens a row, or only makes it active
 */

/** Rows drawn beyond what is visible, so that scrolling does not show gaps. */
const OVERSCAN = 12;
/** Rows that are printed. */
const PRINTED_ROWS = 500;

/** The list. `node` goes into the page; `setCount` says how many rows there are. */
export class WindowedRows {
  /** @param {WindowedOptions} options */
  constructor(options) {
    this.options = options;
    this.count = 0;
    this.active = 0;
    /** Rows that are in the page. @type {Map<number, HTMLElement>} */
    this.drawn = new Map();
    this.rowHeight = 30;
    this.name = `rows-${options.layout}`;
    this.body = element("div", { class: "rows", role: "rowgroup" });
    this.head = element("div", { class: "row head", role: "row", "aria-rowindex": 1 }, options.heads);
    this.printNote = element("p", { class: "print-note", hidden: true });
    this.node = element("div", {
      class: `windowed ${options.layout}`, role: options.role, "aria-label": options.label, tabindex: "0",
      scroll: () => this.draw(false), keydown: (event) => this.key(event),
    }, element("div", { role: "rowgroup", class: "head-group" }, this.head), this.body, this.printNote);
    this.body.addEventListener("click", (event) => this.click(event));
    new ResizeObserver(() => this.draw(true)).observe(this.node);
    window.addEventListener("beforeprint", () => this.print());
    window.addEventListener("afterprint", () => this.draw(true));
  }

  /** @param {number} count @param {number} [active] row that is active and in sight */
  setCount(count, active = 0) {
    this.count = count;
    this.active = Math.min(Math.max(active, 0), Math.max(count - 1, 0));
    this.node.setAttribute("aria-rowcount", String(count + 1));
    this.draw(true);
    this.reveal();
  }

  /** Makes a row active and brings it into sight. @param {number} row */
  activate(row) {
    if (row < 0 || row >= this.count) return;
    this.active = row;
    this.reveal();
    this.draw(true);
    this.options.choose(row);
  }

  /** Handles a key if it is one of the list's. @param {KeyboardEvent} event @returns {boolean} */
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return false;
    const page = Math.max(Math.floor(this.node.clientHeight / this.rowHeight) - 2, 1);
    /** @type {Record<string, number>} */
    const moves = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -this.count, End: this.count };
    if (event.key in moves) {
      this.activate(Math.min(Math.max(this.active + moves[event.key], 0), this.count - 1));
    } else if (event.key === "Enter" && this.count) {
      this.options.open(this.active);
    } else {
      return false;
    }
    event.preventDefault();
    return true;
  }

  /** @param {MouseEvent} event */
  click(event) {
    const row = event.target instanceof Element ? event.target.closest("[data-row]") : null;
    if (!row) return;
    const number = Number(row.getAttribute("data-row"));
    this.activate(number);
    if (this.options.clickOpens) this.options.open(number);
  }

  reveal() {
    const above = this.active * this.rowHeight;
    const room = this.node.clientHeight - this.head.offsetHeight;
    if (above < this.node.scrollTop) this.node.scrollTop = above;
    else if (above + this.rowHeight > this.node.scrollTop + room) this.node.scrollTop = above + this.rowHeight - room;
  }

  /** @param {boolean} changed whether rows must be drawn again although they are the same */
  draw(changed) {
    if (changed) {
      this.rowHeight = Number.parseFloat(getComputedStyle(this.node).getPropertyValue("--row-height")) || 30;
      this.body.style.height = `${this.count * this.rowHeight}px`;
    }
    const first = Math.max(Math.floor(this.node.scrollTop / this.rowHeight) - OVERSCAN, 0);
    const end = Math.min(Math.ceil((this.node.scrollTop + this.node.clientHeight) / this.rowHeight) + OVERSCAN, this.count);
    this.fill(first, end, changed ? new Map() : this.drawn);
  }

  /** Puts the rows from `first` to before `end` into the page, those of `ready` as they are.
   * @param {number} first @param {number} end @param {Map<number, HTMLElement>} ready */
  fill(first, end, ready) {
    if (ready.size === end - first && ready.has(first)) return;
    const old = this.drawn;
    this.drawn = new Map();
    for (let row = first; row < end; row++) this.drawn.set(row, ready.get(row) ?? this.row(row));
    for (const [row, node] of old) if (this.drawn.get(row) !== node) node.remove();
    /** @type {HTMLElement | null} */
    let next = null;
    for (const node of [...this.drawn.values()].reverse()) {
      if (!node.isConnected) this.body.insertBefore(node, next);
      next = node;
    }
    const descendant = this.active >= first && this.active < end ? `${this.name}-${this.active}` : null;
    if (descendant === this.node.getAttribute("aria-activedescendant")) return;
    if (descendant) this.node.setAttribute("aria-activedescendant", descendant);
    else this.node.removeAttribute("aria-activedescendant");
  }

  /** @param {number} number @returns {HTMLElement} */
  row(number) {
    const { cells, properties } = this.options.render(number);
    const active = number === this.active;
    const node = element("div", {
      role: "row", id: `${this.name}-${number}`, "data-row": number, "aria-rowindex": number + 2,
      "aria-selected": String(active), ...properties, class: `row${active ? " active" : ""}`,
    }, cells);
    node.style.top = `${number * this.rowHeight}px`;
    return node;
  }

  print() {
    this.fill(0, Math.min(this.count, PRINTED_ROWS), new Map());
    this.printNote.hidden = this.count <= PRINTED_ROWS;
    this.printNote.textContent = `Printed: the first ${PRINTED_ROWS} of ${this.count} rows.`;
  }
}

/** A cell. @param {string | null} kind class @param {...(Child | Child[])} children @returns {HTMLElement} */
export function cell(kind, ...children) {
  return element("div", { role: "gridcell", class: kind }, ...children);
}
