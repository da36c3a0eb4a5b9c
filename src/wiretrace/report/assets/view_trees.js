// All request trees: a filter, an order, and a windowed list.

import { element } from "./dom.js";
import { parseFilter } from "./filter.js";
import { count, duration } from "./format.js";
import { outcomeMark, signOf } from "./parts.js";
import { replaceRoute, routeTo } from "./router.js";
import { heldNote } from "./held.js";
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

/** Length of the bar of the longest tree. */
const METER_PIXELS = 84;

/** The list of trees. */
export class TreesView {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.title = "Trees";
    /** @type {Uint32Array} */
    this.trees = new Uint32Array(0);
    this.sort = "start";
    this.falling = false;
    this.lastText = "";
    this.longest = 1;
    for (const duration of app.model.treeDuration) this.longest = Math.max(this.longest, duration);
    this.input = /** @type {HTMLInputElement} */ (element("input", {
      type: "search", id: "filter", spellcheck: "false", autocomplete: "off", placeholder: "errors>0 service:api duration>200ms",
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
    this.empty = element("p", { class: "empty", hidden: true }, "No tree matches. Loosen the filter, or press Esc in it to see all.");
    const quick = [["All", ""], ["Failing", "errors>0"], ["With questions", "questions>0"]];
    this.node = element("section", { class: "fill", "aria-labelledby": "view-title" },
      element("h1", { id: "view-title", class: "off-screen" }, "Request trees"),
      heldNote(app.overview),
      element("div", { class: "filter-bar" },
        element("label", { for: "filter" }, "Filter"), this.input, this.counter,
        element("div", { class: "quick", role: "group", "aria-label": "Ready filters" }, quick.map(([title, text]) =>
          element("button", { type: "button", class: "small", click: () => this.setFilter(text) }, title)))),
      this.message, this.empty, this.rows.node);
  }

  /** @param {Route} route */
  update(route) {
    const sort = route.query.get("sort") ?? "start";
    this.falling = sort.startsWith("-");
    this.sort = COLUMNS.some(([name]) => name === sort.replace("-", "")) ? sort.replace("-", "") : "start";
    this.input.value = route.query.get("filter") ?? "";
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
      event.preventDefault();
      return true;
    }
    return this.rows.key(event);
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

  /** @param {string} name */
  order(name) {
    this.falling = this.sort === name ? !this.falling : FALLING_FIRST.has(name);
    this.sort = name;
    this.typed();
  }

  address() {
    const sort = this.sort === "start" && !this.falling ? "" : `${this.falling ? "-" : ""}${this.sort}`;
    return routeTo(["trees"], { filter: this.input.value, sort });
  }

  /** @param {number} active tree to keep in sight; -1 for the top */
  apply(active) {
    this.app.treesAddress = this.address();
    const filter = parseFilter(this.input.value);
    this.message.textContent = filter.error;
    this.input.setAttribute("aria-invalid", String(Boolean(filter.error)));
    this.trees = findTrees(this.app.model, filter);
    sortTrees(this.app.model, this.trees, this.sort, this.falling);
    this.counter.textContent = `${count(this.trees.length)} of ${count(this.app.model.treeCount)} trees`;
    this.empty.hidden = this.trees.length > 0;
    this.rows.node.hidden = this.trees.length === 0;
    COLUMNS.forEach(([name], number) => {
      this.heads[number].setAttribute("aria-sort", name === this.sort ? (this.falling ? "descending" : "ascending") : "none");
    });
    this.rows.setCount(this.trees.length, active < 0 ? 0 : this.trees.indexOf(active));
  }

  /** @param {number} row */
  open(row) {
    const tree = this.trees[row];
    this.app.lastTree = tree;
    location.hash = routeTo(["tree", this.app.model.id.at(this.app.model.first[tree])]);
  }

  /** @param {number} row */
  render(row) {
    const { model, clock } = this.app;
    const tree = this.trees[row];
    const root = model.first[tree];
    const bar = element("span", { class: "meter" });
    bar.style.width = `${Math.max(1, (METER_PIXELS * model.treeDuration[tree]) / this.longest)}px`;
    const errors = model.errors[tree];
    const questions = model.questions[tree];
    return {
      cells: [
        cell("outcome", outcomeMark(model.outcome.at(root))),
        cell("start", clock.timeOfDay(model.treeStart[tree])),
        cell("service", model.server.at(root)),
        cell("operation", model.summary.at(root) || model.operation.at(root)),
        cell("status", model.status.at(root) || "\u2013"),
        cell("duration number", bar, element("span", {}, duration(model.treeDuration[tree]))),
        cell("calls number", count(model.callCount[tree])),
        cell(`errors number ${errors ? "has" : "none"}`, errors ? signOf("error") : null, count(errors)),
        cell(`questions number ${questions ? "has" : "none"}`, questions ? signOf("question") : null, count(questions)),
      ],
    };
  }
}
