// One request tree: as a waterfall, as a sequence, or beside others; and beside it all that is known of the chosen call.

import { heldNote } from "./held.js";
import { element } from "./dom.js";
import { packetsButton } from "./evidence.js";
import { counted, duration } from "./format.js";
import { Minimap } from "./minimap.js";
import { choice, copyButton, downloads, outcomeMark, signOf } from "./parts.js";
import { replaceRoute, routeTo } from "./router.js";
import { sequenceView } from "./sequence.js";
import { compareView } from "./tree_compare.js";
import { TreeShape } from "./tree_shape.js";
import { callPanel } from "./view_call.js";
import { waterfallLegend, waterfallRow } from "./waterfall.js";
import { WindowedRows } from "./windowed.js";

/** @typedef {import("./main.js").App} App */
/** @typedef {import("./router.js").Route} Route */
/** @typedef {import("./waterfall.js").Drawing} Drawing */

/** Shares of the axis that are labelled. */
const TICKS = [0, 0.25, 0.5, 0.75, 1];
/** How much a key zooms in or out. */
const ZOOM_STEP = 2;
/** @type {[string, string][]} */
const WAYS = [["", "Waterfall"], ["sequence", "Sequence"], ["compare", "Compare"]];

/** One tree. */
export class TreeView {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.title = "Tree";
    this.tree = -1;
    this.first = 0;
    this.chosen = -1;
    this.way = "";
    this.with = "";
    /** @type {Drawing} */
    this.drawing = /** @type {any} */ (null);
    /** Rows of the tree that are in sight. @type {Uint32Array} */
    this.visible = new Uint32Array(0);
    this.heading = element("header", { class: "tree-heading" });
    this.minimap = new Minimap((window) => this.zoom(window));
    this.axis = element("div", { role: "columnheader", class: "timeline axis", "aria-label": "Time since the tree began" });
    this.rows = new WindowedRows({
      label: "Calls of the tree", role: "treegrid", layout: "waterfall",
      heads: [
        element("div", { role: "columnheader", class: "call" }, "Call"),
        element("div", { role: "columnheader", class: "status" }, "Status"),
        element("div", { role: "columnheader", class: "link" }, "Link"),
        element("div", { role: "columnheader", class: "self number", title: "Without the time that its own calls cover" }, "Self"),
        element("div", { role: "columnheader", class: "duration number" }, "Duration"),
        this.axis,
      ],
      render: (row) => waterfallRow(this.drawing, this.visible[row], (of) => this.toggle(of)), clickOpens: false, choose: (row) => this.choose(this.first + this.visible[row]), open: () => this.panel.focus(),
    });
    this.waterfall = element("div", { class: "waterfall-box" }, this.minimap.canvas, this.rows.node, waterfallLegend());
    this.other = element("div", { class: "waterfall-box", hidden: true });
    this.panel = element("aside", { class: "panel", tabindex: "-1", "aria-label": "The chosen call" });
    this.split = element("div", { class: "split" }, this.waterfall, this.other, this.panel);
    this.node = element("section", { class: "fill" }, this.heading, this.split);
  }

  /** @param {Route} route */
  update(route) {
    const { model } = this.app;
    const root = model.placeOf(route.path[0] ?? "");
    const place = route.path[1] ? model.placeOf(route.path[1]) : root;
    if (root < 0 || place < 0) {
      this.missing(route.path[root < 0 ? 0 : 1] ?? "");
      return;
    }
    const tree = model.treeAt(root);
    this.way = WAYS.some(([name]) => name === route.query.get("view")) ? route.query.get("view") ?? "" : "";
    this.with = route.query.get("with") ?? "";
    if (tree !== this.tree) this.load(tree);
    this.drawing.unfolded = route.query.get("fold") === "0" ? new Set(this.drawing.shape.groups.keys()) : this.drawing.unfolded;
    const zoom = (route.query.get("zoom") ?? "").split("_").map(Number);
    const { from, to } = this.drawing.shape;
    this.drawing.window = zoom.length === 2 && zoom[1] > zoom[0] ? { from: Math.max(zoom[0], from), to: Math.min(zoom[1], to) } : { from, to };
    this.reveal(place - this.first);
    this.chosen = place;
    this.arrange();
    this.showHeading();
    this.showCall(place);
  }

  focus() {
    (this.way === "sequence" ? /** @type {HTMLElement} */ (this.other.firstChild) : this.way ? this.heading.querySelector("button") ?? this.rows.node : this.rows.node)?.focus();
  }

  /** @param {KeyboardEvent} event @returns {boolean} */
  key(event) {
    if (this.tree < 0) return event.key === "Escape" ? (this.app.back(), true) : false;
    const row = this.visible[this.rows.active];
    const inPanel = this.panel.contains(document.activeElement);
    /** @type {Record<string, () => void>} */
    const keys = {
      Escape: () => (inPanel ? this.focus() : this.app.back()),
      n: () => this.nextFailing(1), N: () => this.nextFailing(-1),
      w: () => this.go(""), s: () => this.go("sequence"), c: () => this.go("compare"), u: () => this.foldAll(),
      "+": () => this.zoomBy(1 / ZOOM_STEP), "-": () => this.zoomBy(ZOOM_STEP), "0": () => this.zoom(null),
      p: () => this.nextOnPath(),
    };
    if (!this.way && !inPanel) {
      keys.ArrowLeft = () => (this.isOpen(row) ? this.toggle(row) : this.activate(this.drawing.shape.parent(row)));
      keys.ArrowRight = () => (this.isOpen(row) || !this.canOpen(row) ? this.activate(row + 1, row) : this.toggle(row));
    }
    if (event.key in keys) keys[event.key]();
    else return (inPanel && !"jk".includes(event.key)) || this.way ? false : this.rows.key(event);
    event.preventDefault();
    return true;
  }

  /** Whether calls beneath a call are in sight. @param {number} row */
  isOpen(row) {
    return this.drawing.shape.end[row] > row + 1 && !this.canOpen(row);
  }

  /** Whether something is hidden beneath a row. @param {number} row */
  canOpen(row) {
    const { shape, closed, unfolded } = this.drawing;
    return closed.has(row) || (shape.alike[row] === row && !unfolded.has(row));
  }

  /** Opens or closes what is beneath a row. @param {number} row */
  toggle(row) {
    const { shape, closed, unfolded } = this.drawing;
    if (shape.alike[row] === row && !unfolded.has(row)) unfolded.add(row);
    else if (closed.has(row)) closed.delete(row);
    else closed.add(row);
    this.arrange();
  }

  /** Shows every call that is alike, or folds them again. */
  foldAll() {
    const { shape, unfolded } = this.drawing;
    this.drawing.unfolded = unfolded.size ? new Set() : new Set(shape.groups.keys());
    replaceRoute(this.address());
    this.arrange();
    this.showHeading();
  }

  /** Makes a row active if it is in sight and, with `below`, a child of that row. @param {number} row @param {number} [below] */
  activate(row, below) {
    const at = this.visible.indexOf(row);
    if (at < 0 || (below !== undefined && this.drawing.shape.parent(row) !== below)) return;
    this.rows.activate(at);
  }

  /** @param {number} step */
  nextFailing(step) {
    const { shape } = this.drawing;
    const { model } = this.app;
    for (let row = this.chosen - this.first + step; row >= 0 && row < shape.count; row += step) {
      if (shape.failed[model.outcome.codes[this.first + row]]) {
        this.jump(row);
        return;
      }
    }
  }

  /** To the next call on the critical path, in the order of time. */
  nextOnPath() {
    const rows = [...new Set(this.drawing.shape.critical.map(({ row }) => row))].reverse();
    if (rows.length) this.jump(rows[(rows.indexOf(this.chosen - this.first) + 1) % rows.length]);
  }

  /** @param {number} row */
  jump(row) {
    this.chosen = this.first + row;
    this.reveal(row);
    this.arrange();
    this.choose(this.chosen);
  }

  /** Opens whatever hides a row. @param {number} row */
  reveal(row) {
    const { shape, closed, unfolded } = this.drawing;
    for (let at = row; at >= 0; at = shape.parent(at)) {
      if (at !== row) closed.delete(at);
      if (shape.alike[at] >= 0 && (at !== row || shape.alike[at] !== at)) unfolded.add(shape.alike[at]);
    }
  }

  /** @param {import("./minimap.js").Window | null} window */
  zoom(window) {
    const { from, to } = this.drawing.shape;
    this.drawing.window = window ?? { from, to };
    replaceRoute(this.address());
    this.arrange();
  }

  /** @param {number} factor */
  zoomBy(factor) {
    const { shape, window } = this.drawing;
    const centre = Math.min(Math.max(this.app.model.start[this.chosen] + this.app.model.duration[this.chosen] / 2, window.from), window.to);
    const half = ((window.to - window.from) * factor) / 2;
    this.zoom(half * 2 >= shape.to - shape.from ? null : { from: Math.max(centre - half, shape.from), to: Math.min(centre + half, shape.to) });
  }

  /** @param {string} way */
  go(way) {
    location.hash = routeTo(["tree", this.app.model.id.at(this.first), this.app.model.id.at(this.chosen)], { view: way });
  }

  address() {
    const { model } = this.app;
    const { window, shape, unfolded } = this.drawing;
    const zoomed = window.from > shape.from || window.to < shape.to;
    return routeTo(["tree", model.id.at(this.first), model.id.at(this.chosen)], {
      view: this.way, with: this.with, fold: shape.groups.size && unfolded.size === shape.groups.size ? "0" : "", zoom: zoomed ? `${Math.round(window.from)}_${Math.round(window.to)}` : "",
    });
  }

  /** @param {string} id */
  missing(id) {
    this.tree = -1;
    this.heading.replaceChildren(element("h1", {}, "Not in this report"), element("p", {}, `There is no call ${id} here. `, element("a", { href: "#/trees" }, "All trees")),
      ...[heldNote(this.app.overview)].filter((node) => node !== null));
    this.rows.setCount(0);
    this.split.hidden = true;
    this.panel.replaceChildren();
  }

  /** @param {number} tree */
  load(tree) {
    const { model } = this.app;
    this.tree = tree;
    this.app.lastTree = tree;
    this.first = model.first[tree];
    this.split.hidden = false;
    const shape = new TreeShape(model, tree);
    /** @type {Map<number, import("./tree_shape.js").Segment[]>} */
    const path = new Map();
    for (const segment of shape.critical) {
      const segments = path.get(segment.row);
      if (segments) segments.push(segment);
      else path.set(segment.row, [segment]);
    }
    this.drawing = { app: this.app, shape, window: { from: shape.from, to: shape.to }, closed: new Set(), unfolded: new Set(), hasNext: new Uint8Array(shape.count), path };
  }

  showHeading() {
    const { model, clock } = this.app;
    const { tree } = this;
    const { shape, unfolded } = this.drawing;
    const id = model.id.at(this.first);
    const [errors, questions, unknown] = [model.errors[tree], model.questions[tree], model.unknown[tree]];
    const alike = [...shape.groups.values()].reduce((sum, rows) => sum + rows.length, 0);
    this.heading.replaceChildren(
      element("div", { class: "tree-title" },
        element("nav", { class: "crumbs", "aria-label": "Where this is" },
          element("a", { href: "#/trees", click: (event) => { event.preventDefault(); this.app.back(); } }, "\u2190 Trees"),
          element("span", { class: "muted" }, `tree ${id}`), copyButton(id, "the id of the tree"), copyButton(() => location.href, "a link to this view", "Copy link")),
        element("h1", { id: "view-title" }, model.titleOf(this.first)),
        element("p", { class: "facts" },
          outcomeMark(model.outcome.at(this.first)),
          element("span", {}, element("b", {}, duration(model.treeDuration[tree]))),
          element("span", {}, counted(model.callCount[tree], "call")),
          errors ? element("span", { class: "outcome error" }, signOf("error"), counted(errors, "failed call")) : null,
          unknown ? element("span", { class: "outcome unknown" }, signOf("unknown"), `${counted(unknown, "call")} whose end was not captured`) : null,
          questions ? element("span", { class: "outcome question" }, signOf("question"), counted(questions, "question")) : null,
          element("span", { class: "muted" }, clock.full(model.treeStart[tree])))),
      element("div", { class: "tree-tools" },
        choice("How the tree is shown", WAYS, this.way, (way) => this.go(way)),
        alike ? element("button", { type: "button", class: "small", "aria-pressed": String(unfolded.size > 0), click: () => this.foldAll() }, unfolded.size ? "Fold alike calls" : `Show all ${alike} alike calls`) : null,
        packetsButton(this.app, id), downloads(`tree-${id}`, () => this.table())));
  }

  /** Draws what is in sight again. */
  arrange() {
    const { shape, closed, unfolded, hasNext } = this.drawing;
    this.visible = shape.visible(closed, unfolded);
    markNext(shape, this.visible, hasNext);
    this.waterfall.hidden = this.way !== "";
    this.other.hidden = this.way === "";
    this.panel.hidden = this.way === "compare";
    this.split.classList.toggle("whole", this.way === "compare");
    if (this.way === "compare") this.other.replaceChildren(compareView(this.app, this.tree, this.with, shape));
    if (this.way === "sequence") this.other.replaceChildren(sequenceView(this.drawing, this.visible, this.chosen, (place) => this.choose(place), this.other.clientWidth));
    if (this.way) return;
    this.showAxis();
    this.minimap.show(shape, this.drawing.window);
    const wanted = this.chosen - this.first;
    let active = this.visible.indexOf(wanted);
    for (let at = wanted; active < 0 && at >= 0; at = shape.parent(at)) active = this.visible.indexOf(shape.alike[at] >= 0 ? shape.alike[at] : at);
    this.rows.setCount(this.visible.length, Math.max(active, 0));
  }

  showAxis() {
    const { from, to } = this.drawing.window;
    this.axis.replaceChildren(...TICKS.map((share) => {
      const node = element("span", { class: share === 1 ? "tick last" : "tick" }, duration(from + (to - from) * share));
      node.style.left = `${100 * share}%`;
      return node;
    }));
  }

  /** @param {number} place */
  choose(place) {
    this.chosen = place;
    replaceRoute(this.address());
    this.showCall(place);
    if (this.way === "sequence") this.arrange();
  }

  /** @param {number} place */
  async showCall(place) {
    const details = await this.app.model.detailsOf(place);
    if (this.chosen !== place) return;
    this.panel.replaceChildren(...callPanel(this.app, place, details, this.drawing.shape));
    this.panel.scrollTop = 0;
  }

  table() {
    const { model, clock } = this.app;
    const { shape } = this.drawing;
    const rows = Array.from({ length: shape.count }, (_, row) => {
      const place = this.first + row;
      const parent = model.parentOf(place);
      return [model.id.at(place), parent < 0 ? null : model.id.at(parent), model.linkOf(place), parent < 0 ? null : model.follows[place] ? "follows" : "child", model.confidenceOf(place), model.client.at(place), model.server.at(place), model.operation.at(place),
        model.titleOf(place), model.status.at(place), model.outcome.at(place), clock.iso(model.treeStart[this.tree] + model.start[place]), model.duration[place], shape.self[row], shape.onPath[row]];
    });
    return { titles: ["id", "parent", "link", "relation", "confidence", "client", "service", "operation", "request", "status", "outcome", "start", "duration_ns", "self_ns", "critical_ns"], rows };
  }
}

/** Notes which calls in sight have a later sibling in sight. @param {TreeShape} shape @param {Uint32Array} visible @param {Uint8Array} hasNext */
function markNext(shape, visible, hasNext) {
  const seen = new Uint8Array(shape.count);
  for (let at = visible.length - 1; at >= 0; at--) {
    const row = visible[at];
    const parent = shape.parent(row);
    hasNext[row] = parent < 0 ? 0 : seen[parent];
    if (parent >= 0) seen[parent] = 1;
  }
}
