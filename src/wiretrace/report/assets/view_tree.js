// One request tree: a waterfall on the time axis of its root, and beside it all that is known of the chosen call.

import { heldNote } from "./held.js";
import { element } from "./dom.js";
import { count, counted, duration, linkProbability } from "./format.js";
import { copyButton, outcomeMark, signOf } from "./parts.js";
import { replaceRoute, routeTo } from "./router.js";
import { callPanel } from "./view_call.js";
import { WindowedRows, cell } from "./windowed.js";
import { BASES, outcomeClass } from "./words.js";

/** @typedef {import("./main.js").App} App */
/** @typedef {import("./router.js").Route} Route */

/** Levels that are drawn indented; deeper ones stay there and show their number. */
const INDENTED_LEVELS = 12;
/** Shares of the axis that are labelled. */
const TICKS = [0, 0.25, 0.5, 1];
const LEVEL_PIXELS = 16;

/** The waterfall of a tree. */
export class TreeView {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.title = "Tree";
    this.tree = -1;
    this.first = 0;
    this.from = 0;
    this.span = 1;
    this.chosen = -1;
    /** Which calls of the tree have a later sibling. @type {Uint8Array} */
    this.hasNext = new Uint8Array(0);
    this.heading = element("header", { class: "tree-heading" });
    this.axis = element("div", { role: "columnheader", class: "timeline axis", "aria-label": "Time since the tree began" });
    this.rows = new WindowedRows({
      label: "Calls of the tree", role: "treegrid", layout: "waterfall",
      heads: [
        element("div", { role: "columnheader", class: "call" }, "Call"),
        element("div", { role: "columnheader", class: "status" }, "Status"),
        element("div", { role: "columnheader", class: "link" }, "Link"),
        element("div", { role: "columnheader", class: "duration number" }, "Duration"),
        this.axis,
      ],
      render: (row) => this.render(row), clickOpens: false, choose: (row) => this.choose(row), open: () => this.panel.focus(),
    });
    this.panel = element("aside", { class: "panel", tabindex: "-1", "aria-label": "The chosen call" });
    this.node = element("section", { class: "fill" }, this.heading,
      element("div", { class: "split" }, element("div", { class: "waterfall-box" }, this.rows.node, legend()), this.panel));
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
    if (tree !== this.tree) this.show(tree);
    this.rows.setCount(model.callCount[tree], Math.min(Math.max(place - this.first, 0), model.callCount[tree] - 1));
    this.showCall(this.first + this.rows.active);
  }

  focus() {
    this.rows.node.focus();
  }

  /** @param {KeyboardEvent} event @returns {boolean} */
  key(event) {
    const { model } = this.app;
    const place = this.first + this.rows.active;
    if (event.key === "Escape") {
      if (this.panel.contains(document.activeElement)) this.rows.node.focus();
      else this.app.back();
    } else if (event.key === "ArrowLeft" && model.up[place]) {
      this.rows.activate(this.rows.active - model.up[place]);
    } else if (event.key === "ArrowRight" && model.up[place + 1] === 1) {
      this.rows.activate(this.rows.active + 1);
    } else if (event.key === "n" || event.key === "N") {
      this.nextFailing(event.key === "n" ? 1 : -1);
    } else {
      const reading = this.panel.contains(document.activeElement);
      return reading && !"jk".includes(event.key) ? false : this.rows.key(event);
    }
    event.preventDefault();
    return true;
  }

  /** @param {number} step */
  nextFailing(step) {
    const { model } = this.app;
    for (let row = this.rows.active + step; row >= 0 && row < this.rows.count; row += step) {
      if (outcomeClass(model.outcome.at(this.first + row)) === "error") {
        this.rows.activate(row);
        return;
      }
    }
  }

  /** @param {string} id */
  missing(id) {
    this.tree = -1;
    this.heading.replaceChildren(element("h1", {}, "Not in this report"), element("p", {}, `There is no call ${id} here. `, element("a", { href: "#/trees" }, "All trees")),
      ...[heldNote(this.app.overview)].filter((node) => node !== null));
    this.rows.setCount(0);
    this.panel.replaceChildren();
  }

  /** @param {number} tree */
  show(tree) {
    const { model, clock } = this.app;
    this.tree = tree;
    this.app.lastTree = tree;
    this.first = model.first[tree];
    const end = this.first + model.callCount[tree];
    let from = 0;
    let to = 1;
    for (let place = this.first; place < end; place++) {
      from = Math.min(from, model.start[place]);
      to = Math.max(to, model.start[place] + Math.max(model.duration[place], model.serverStart[place] + model.serverDuration[place]));
    }
    this.from = from;
    this.span = to - from;
    const errors = model.errors[tree];
    const questions = model.questions[tree];
    const unknown = model.unknown[tree];
    this.heading.replaceChildren(
      element("nav", { class: "crumbs", "aria-label": "Where this is" },
        element("a", { href: "#/trees", click: (event) => { event.preventDefault(); this.app.back(); } }, "\u2190 Trees"),
        element("span", { class: "muted" }, `tree ${model.id.at(this.first)}`), copyButton(model.id.at(this.first), "the id of the tree")),
      element("h1", { id: "view-title" }, model.summary.at(this.first) || model.operation.at(this.first)),
      element("p", { class: "facts" },
        outcomeMark(model.outcome.at(this.first)),
        element("span", {}, element("b", {}, duration(model.treeDuration[tree]))),
        element("span", {}, counted(model.callCount[tree], "call")),
        errors ? element("span", { class: "outcome error" }, signOf("error"), counted(errors, "failed call")) : null,
        unknown ? element("span", { class: "outcome unknown" }, signOf("unknown"), `${counted(unknown, "call")} whose end was not captured`) : null,
        questions ? element("span", { class: "outcome question" }, signOf("question"), counted(questions, "question")) : null,
        element("span", { class: "muted" }, clock.full(model.treeStart[tree]))));
    this.axis.replaceChildren(...TICKS.map((share) => {
      const node = element("span", { class: share === 1 ? "tick last" : "tick" }, duration(this.from + this.span * share));
      node.style.left = `${100 * share}%`;
      return node;
    }));
    this.hasNext = withNextSibling(model.depth.subarray(this.first, end));
  }

  /** @param {number} row */
  choose(row) {
    const { model } = this.app;
    replaceRoute(routeTo(["tree", model.id.at(this.first), model.id.at(this.first + row)]));
    this.showCall(this.first + row);
  }

  /** @param {number} place */
  async showCall(place) {
    this.chosen = place;
    const details = await this.app.model.detailsOf(place);
    if (this.chosen === place) this.panel.replaceChildren(...callPanel(this.app, place, details));
  }

  /** @param {number} row */
  render(row) {
    const { model } = this.app;
    const place = this.first + row;
    const depth = model.depth[place];
    const state = outcomeClass(model.outcome.at(place));
    const link = model.linkOf(place);
    const confidence = model.confidenceOf(place);
    return {
      properties: { "aria-level": depth + 1 },
      cells: [
        cell("call", this.guide(place, link), depth > INDENTED_LEVELS ? element("span", { class: "deep" }, `${count(depth)}\u203a`) : null,
          element("b", {}, model.server.at(place)), element("span", { class: "what" }, model.summary.at(place) || model.operation.at(place))),
        cell("status", state === "ok" ? element("span", {}, model.status.at(place) || "\u2013")
          : outcomeMark(model.outcome.at(place), model.status.at(place) && model.outcome.at(place) === "error" ? model.status.at(place) : undefined)),
        cell("link", linkBadge(link, confidence)),
        cell("duration number", duration(model.duration[place])),
        cell("timeline", this.bar(place, state)),
      ],
    };
  }

  /** The lines from the ancestors of a call to it, drawn as its link is. @param {number} place @param {string} link */
  guide(place, link) {
    const { model } = this.app;
    const guide = element("span", { class: "guide", "aria-hidden": "true" });
    guide.style.width = `${Math.min(model.depth[place], INDENTED_LEVELS) * LEVEL_PIXELS}px`;
    for (let at = place; model.up[at]; at -= model.up[at]) {
      const level = model.depth[at];
      if (level > INDENTED_LEVELS || (at !== place && !this.hasNext[at - this.first])) continue;
      const line = element("i", { class: at === place ? `elbow ${link}` : "" });
      line.style.left = `${(level - 1) * LEVEL_PIXELS + 4}px`;
      guide.append(line);
      if (at === place && this.hasNext[at - this.first]) {
        const onward = element("i");
        onward.style.left = line.style.left;
        guide.append(onward);
      }
    }
    return guide;
  }

  /** The caller's interval, with the server's inside it where both were captured. @param {number} place @param {string} state */
  bar(place, state) {
    const { model } = this.app;
    const both = model.serverDuration[place] >= 0;
    const bar = element("span", { class: `bar ${state} ${both ? "both" : "one"}` });
    placeBar(bar, model.start[place] - this.from, model.duration[place], this.span);
    if (!both) return bar;
    const inner = element("span", { class: `bar inner ${state}` });
    placeBar(inner, model.start[place] + model.serverStart[place] - this.from, model.serverDuration[place], this.span);
    return element("span", { class: "bars" }, bar, inner);
  }
}

/** Which calls have a later sibling. @param {import("./blocks.js").Numbers} depths in the order of the tree @returns {Uint8Array} */
function withNextSibling(depths) {
  const result = new Uint8Array(depths.length);
  /** @type {boolean[]} */
  const below = [];
  for (let row = depths.length - 1; row >= 0; row--) {
    result[row] = Number(Boolean(below[depths[row]]));
    below.length = depths[row];
    below[depths[row]] = true;
  }
  return result;
}

/** How a call is tied to its parent, and how surely. @param {string} link @param {number | null} confidence @returns {HTMLElement} */
export function linkBadge(link, confidence) {
  if (!link) return element("span", { class: "muted" }, "root");
  const surely = confidence === null || (link === "stated" && confidence === 1) ? "" : ` ${linkProbability(confidence, link)}`;
  return element("span", { class: `badge ${link}`, title: BASES[link]?.sentence }, `${link === "question" ? "? " : ""}${BASES[link]?.label ?? link}${surely}`);
}

/** @param {HTMLElement} bar @param {number} start @param {number} length @param {number} span */
function placeBar(bar, start, length, span) {
  bar.style.left = `${(100 * start) / span}%`;
  bar.style.width = `${(100 * Math.max(length, 0)) / span}%`;
}

/** @returns {HTMLElement} */
function legend() {
  return element("p", { class: "legend" },
    element("span", {}, element("i", { class: "key outer" }), "seen by the caller"),
    element("span", {}, element("i", { class: "key inner" }), "inside it, seen by the server"),
    element("span", {}, element("i", { class: "key one" }), "seen at one side only"),
    element("span", {}, element("i", { class: "key error" }), "failed"),
    element("span", {}, element("i", { class: "key unknown" }), "end not captured"));
}
