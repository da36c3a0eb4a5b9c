// All request trees: a filter, a heatmap with a region to explain, an order, and a windowed list.

import { element } from "./dom.js";
import { explanation } from "./explain.js";
import { parseFilter, scopeless } from "./filter.js";
import { count, duration } from "./format.js";
import { Heatmap } from "./heatmap.js";
import { heldNote } from "./held.js";
import { downloads, outcomeMark, signOf } from "./parts.js";
import { replaceRoute, routeTo } from "./router.js";
import { findTrees, sortTrees } from "./search.js";
import { WindowedRows, cell } from "./windowed.js";

/** @typedef {import("./main.js").App} App */
/** @typedef {import("./router.js").Route} Route */

/** Columns of the list: sort name, title, class. */
const COLUMNS = [
  ["outcome", "Outcome", ""],
  ["start", "Start", ""],
  ["service", "Service", ""],
  ["operation", "Request", ""],
  ["status", "Status", ""],
  ["duration", "Duration", "number"],
  ["calls", "Calls", "number"],
  ["errors", "Errors", "number"],
  ["questions", "Questions", "number"],
];
/** Columns that begin with their highest value when they are first pressed. */
const FALLING_FIRST = new Set(["duration", "calls", "errors", "questions"]);
/** Filters that are one press away. */
const QUICK = [["errors>0", "With errors"], ["questions>0", "With questions"], ["", "All"]];

/** Length of the bar of the longest tree. */
const METER_PIXELS = 84;

/** The list of trees. */
export class TreesView {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.title = "Trees";
    /** Trees that the filter finds. @type {Uint32Array} */
    this.found = new Uint32Array(0);
    /** Those of them that are listed. @type {Uint32Array} */
    this.trees = new Uint32Array(0);
    this.sort = "start";
    this.falling = false;
    this.longest = 1;
    for (const length of app.model.treeDuration) this.longest = Math.max(this.longest, length);
    this.input = /** @type {HTMLInputElement} */ (element("input", {
      type: "search", id: "filter", spellcheck: "false", autocomplete: "off", placeholder: "service:db errors>0 duration>200ms path~/orders",
      "aria-describedby": "filter-message filter-count", input: () => this.typed(), keydown: (event) => this.inputKey(event),
    }));
    this.message = element("p", { id: "filter-message", class: "filter-message", role: "alert" });
    this.counter = element("output", { id: "filter-count", for: "filter" });
    this.heads = COLUMNS.map(([name, title, kind]) => element("div", { role: "columnheader", class: `${name} ${kind}`, "aria-sort": "none" },
      element("button", { type: "button", tabindex: "-1", click: () => this.order(name) }, title)));
    this.rows = new WindowedRows({
      label: "Request trees", role: "grid", layout: "trees", heads: this.heads,
      render: (row) => this.render(row), clickOpens: true, choose: () => {}, open: (row) => this.open(row),
    });
    this.heatmap = new Heatmap(app, () => this.typed());
    this.explained = element("div", { "aria-live": "polite" });
    this.empty = element("div", { class: "empty", hidden: true });
    this.node = element("section", { class: "fill" },
      element("h1", { id: "view-title", class: "off-screen" }, "Request trees"),
      element("div", { class: "filter-bar" }, element("label", { for: "filter" }, "Filter"), this.input, this.counter,
        element("span", { class: "quick" }, QUICK.map(([filter, title]) => element("button", { type: "button", class: "small", click: () => this.setFilter(filter) }, title))),
        downloads("trees", () => this.table())),
      this.message, heldNote(app.overview), this.heatmap.node, this.explained, this.rows.node, this.empty);
  }

  /** @param {Route} route */
  update(route) {
    const sort = route.query.get("sort") ?? "start";
    this.falling = sort.startsWith("-");
    this.sort = COLUMNS.some(([name]) => name === sort.replace("-", "")) ? sort.replace("-", "") : "start";
    this.input.value = route.query.get("filter") ?? "";
    const region = (route.query.get("region") ?? "").split("_").map(Number);
    this.heatmap.region = region.length === 4 && region.every(Number.isFinite) ? { from: region[0], to: region[1], shortest: region[2], longest: region[3] } : null;
    this.apply(this.app.lastTree);
  }

  focus() {
    this.rows.node.focus();
  }

  /** @param {KeyboardEvent} event @returns {boolean} */
  key(event) {
    if (event.key === "/") {
      this.input.focus();
      this.input.select();
    } else if (event.key === "h") {
      this.heatmap.canvas.focus();
    } else {
      return this.rows.key(event);
    }
    event.preventDefault();
    return true;
  }

  /** @param {KeyboardEvent} event */
  inputKey(event) {
    if (event.key === "Escape") {
      if (this.input.value) this.setFilter("");
      else this.rows.node.focus();
    } else if (event.key === "Enter" || event.key === "ArrowDown") {
      this.rows.node.focus();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  typed() {
    this.apply(-1);
    replaceRoute(this.app.treesAddress);
  }

  /** @param {string} text */
  setFilter(text) {
    this.input.value = text;
    this.typed();
  }

  /** @param {string} term */
  addTerm(term) {
    this.heatmap.region = null;
    this.setFilter(`${this.input.value} ${term}`.trim());
  }

  /** @param {string} name */
  order(name) {
    this.falling = this.sort === name ? !this.falling : FALLING_FIRST.has(name);
    this.sort = name;
    this.typed();
  }

  address() {
    const sort = this.sort === "start" && !this.falling ? "" : `${this.falling ? "-" : ""}${this.sort}`;
    const region = this.heatmap.region;
    return routeTo(["trees"], { filter: this.input.value, sort, region: region ? [region.from, region.to, region.shortest, region.longest].join("_") : "" });
  }

  /** @param {number} active tree to keep in sight; -1 for the top */
  apply(active) {
    const { model } = this.app;
    this.app.treesAddress = this.address();
    const filter = parseFilter(this.input.value);
    this.message.textContent = filter.error;
    this.input.setAttribute("aria-invalid", String(Boolean(filter.error)));
    this.found = findTrees(model, filter);
    this.heatmap.setTrees(this.found);
    this.trees = this.found;
    if (this.heatmap.region) {
      const { inside, outside } = this.heatmap.split();
      this.trees = inside;
      this.explained.replaceChildren(explanation(model, inside, outside, (term) => this.addTerm(term), () => { this.heatmap.region = null; this.typed(); }));
    } else {
      this.explained.replaceChildren();
      this.trees = this.found.slice();
    }
    sortTrees(model, this.trees, this.sort, this.falling);
    this.counter.textContent = `${count(this.trees.length)} of ${count(model.treeCount)} trees`;
    this.empty.hidden = this.trees.length > 0;
    this.rows.node.hidden = this.trees.length === 0;
    this.heatmap.node.hidden = this.found.length === 0;
    if (!this.trees.length) this.tellEmpty();
    COLUMNS.forEach(([name], number) => {
      this.heads[number].setAttribute("aria-sort", name === this.sort ? (this.falling ? "descending" : "ascending") : "none");
    });
    this.rows.setCount(this.trees.length, active < 0 ? 0 : this.trees.indexOf(active));
  }

  /** Says that nothing is found, and what finds more: the same terms of any call. */
  tellEmpty() {
    const wider = scopeless(this.input.value);
    const more = wider === this.input.value ? 0 : findTrees(this.app.model, parseFilter(wider)).length;
    this.empty.replaceChildren(element("p", {}, "No tree satisfies the filter."), more
      ? element("p", {}, "Terms are about the root call. With any call of the tree: ", element("button", { type: "button", class: "term", click: () => this.setFilter(wider) }, wider), ` finds ${count(more)}.`) : "");
  }

  table() {
    const { model, app: { clock } } = { model: this.app.model, app: this.app };
    const rows = Array.from(this.trees, (tree) => {
      const root = model.first[tree];
      return [model.id.at(root), clock.iso(model.treeStart[tree]), model.server.at(root), model.titleOf(root), model.status.at(root), model.outcome.at(root),
        model.treeDuration[tree], model.callCount[tree], model.errors[tree], model.questions[tree]];
    });
    return { titles: ["tree", "start", "service", "request", "status", "outcome", "duration_ns", "calls", "errors", "questions"], rows };
  }

  /** @param {number} row */
  open(row) {
    const tree = this.trees[row];
    this.app.lastTree = tree;
    location.hash = routeTo(["tree", this.app.model.id.at(this.app.model.first[tree])]);
  }

  /** @param {number} row */
  render(row) {
    const { model, clock, hues } = this.app;
    const tree = this.trees[row];
    const root = model.first[tree];
    const bar = element("span", { class: "length" });
    bar.style.width = `${Math.max(1, (METER_PIXELS * model.treeDuration[tree]) / this.longest)}px`;
    const errors = model.errors[tree];
    const questions = model.questions[tree];
    return {
      cells: [
        cell("outcome", outcomeMark(model.outcome.at(root))),
        cell("start", clock.timeOfDay(model.treeStart[tree])),
        cell("service", element("i", { class: `swatch ${hues.of(model.server.at(root))}` }), model.server.at(root)),
        cell("operation", model.titleOf(root)),
        cell("status", model.status.at(root) || "\u2013"),
        cell("duration number", bar, element("span", {}, duration(model.treeDuration[tree]))),
        cell("calls number", count(model.callCount[tree])),
        cell(`errors number ${errors ? "has" : "none"}`, errors ? signOf("error") : null, count(errors)),
        cell(`questions number ${questions ? "has" : "none"}`, questions ? signOf("question") : null, count(questions)),
      ],
    };
  }
}
