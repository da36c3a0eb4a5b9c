// This case beside another: operations and pairs of services that came, went, fail more, or take longer.

import { element } from "./dom.js";
import { count, counted, duration, percent, rate } from "./format.js";
import { signOf, table } from "./parts.js";

/** @typedef {import("./main.js").App} App */
/** @typedef {import("./parts.js").TableColumn} TableColumn */

/** Factor from which a change of duration is told. */
const MUCH_SLOWER = 1.25;
/** Change of the share that fails from which it is told. */
const SHARE = 0.005;

/** The comparison of two cases. */
export class CompareView {
  /** @param {App} app */
  constructor(app) {
    const compared = app.overview.comparison;
    this.title = "Compare";
    this.node = element("div", { class: "page", tabindex: "-1" }, compared ? compareCases(compared)
      : [element("h1", { id: "view-title" }, "Nothing to compare with"), element("p", {}, "This report was made of one case. ", element("code", {}, "wiretrace report CASE --compare OTHER -o FILE"), " makes one of two.")]);
  }

  update() {}

  focus() {
    this.node.focus({ preventScroll: true });
  }

  key() {
    return false;
  }
}

/** @param {any} compared @returns {HTMLElement[]} */
function compareCases({ name, before, after, operations, edges }) {
  const failed = (/** @type {any} */ side) => `${count(side.failed)} of ${counted(side.requests, "request")} failed (${percent(side.failed, side.requests)})`;
  return [
    element("h1", { id: "view-title" }, `Compared with ${name}`),
    element("p", {}, `Here ${failed(after)}, at ${rate(after.requests, after.span)}; there ${failed(before)}, at ${rate(before.requests, before.span)}.`),
    changes("operations-compared", "Operations, what changed most surely first", operations, [
      { title: "Operation", key: (row) => row.operation, cell: (row) => row.operation || "(none)" }, { title: "Service", key: (row) => row.server, cell: (row) => row.server }]),
    changes("services-compared", "Who calls whom, what changed most surely first", edges, [
      { title: "From", key: (row) => row.client, cell: (row) => row.client }, { title: "To", key: (row) => row.server, cell: (row) => row.server }]),
  ];
}

/** @param {string} file @param {string} caption @param {any[]} rows @param {TableColumn[]} columns @returns {HTMLElement} */
function changes(file, caption, rows, columns) {
  const figure = (/** @type {string} */ title, /** @type {string} */ name, /** @type {(value: any) => string} */ shown) => ["before", "after"].map((side) => ({
    title: `${title} ${side === "before" ? "there" : "here"}`, number: true, key: (/** @type {any} */ row) => row[side]?.[name] ?? null, cell: (/** @type {any} */ row) => (row[side] ? shown(row[side]) : "\u2013"),
  }));
  return table(file, caption, [...columns,
    { title: "Change", key: (row) => row.surprise, cell: change },
    ...figure("Calls", "calls", (side) => count(side.calls)),
    ...figure("Errors", "errors", (side) => (side.errors ? percent(side.errors, side.calls) : "0")),
    ...figure("p50", "p50", (side) => duration(side.p50)),
    ...figure("p95", "p95", (side) => duration(side.p95)),
  ], rows);
}

/** @param {any} row @returns {HTMLElement} */
function change({ before, after }) {
  if (!before) return told("question", "new here");
  if (!after) return told("question", "gone here");
  const failing = after.errors / after.calls - before.errors / before.calls;
  if (failing > SHARE) return told("error", `fails more: ${percent(after.errors, after.calls)} after ${percent(before.errors, before.calls)}`);
  if (failing < -SHARE) return told("ok", "fails less");
  const factor = Math.max(after.p95, 1) / Math.max(before.p95, 1);
  if (factor >= MUCH_SLOWER) return told("question", `p95 ${factor.toFixed(1)} \u00d7 as long`);
  if (factor <= 1 / MUCH_SLOWER) return told("ok", `p95 ${(1 / factor).toFixed(1)} \u00d7 as short`);
  return element("span", { class: "muted" }, "as before");
}

/** @param {string} state @param {string} words @returns {HTMLElement} */
function told(state, words) {
  return element("span", { class: `outcome ${state}` }, signOf(state), words);
}
