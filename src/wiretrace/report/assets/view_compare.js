// This case beside another: operations and pairs of services that came, went, fail more, or take longer.

import { element } from "./dom.js";
import { count, counted, duration, percent } from "./format.js";
import { signOf, table } from "./parts.js";

/** @typedef {import("./main.js").App} App */
/** @typedef {import("./parts.js").TableColumn} TableColumn */

/** Kinds of request whose change is told part by part. */
const TOLD_IN_PARTS = 6;
/** @type {Record<string, string>} */
const CHANGES = { p50: "median", p95: "95th percentile", errors: "errors", new: "new here", gone: "gone here", time: "time", missing: "missing here", calls: "number of calls" };

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
function compareCases({ name, before, after, shared, operations, steps }) {
  const failed = (/** @type {any} */ side) => `${count(side.failed)} of ${counted(side.requests, "request")} failed (${percent(side.failed, side.requests)})`;
  const changed = operations.filter((/** @type {any} */ row) => row.flagged.length);
  return [
    element("h1", { id: "view-title" }, `Compared with ${name}`),
    element("p", { class: "lead" }, `Here ${failed(after)}; there ${failed(before)}. `, changed.length ? `${counted(changed.length, "kind")} of request changed by more than accident.` : "No kind of request changed by more than accident."),
    shared ? element("p", {}, shared) : null,
    element("section", {}, element("h2", {}, "Requests"), table("requests-compared", "What changed by more than accident first", [
      { title: "Request", key: (row) => row.operation, cell: (row) => row.operation || "(none)" },
      { title: "Service", key: (row) => row.service, cell: (row) => row.service },
      { title: "Changed", key: (row) => row.flagged.join(" "), cell: flags },
      ...pair("Requests", (row, after_) => (after_ ? row.requests_after : row.requests_before), count),
      ...pair("Errors", (row, after_) => (after_ ? row.errors_after : row.errors_before), (value) => (value ? percent(value, 1) : "0")),
      ...[50, 95].flatMap((rank) => pair(`p${rank}`, (row, after_) => ofPercentile(row, rank, after_), duration)),
    ], operations)),
    steps.length ? element("section", {}, element("h2", {}, "Calls that changed"), table("calls-compared", "By what they cost or save a request", [
      { title: "From", key: (row) => row.caller, cell: (row) => row.caller }, { title: "To", key: (row) => row.callee, cell: (row) => row.callee },
      { title: "Operation", key: (row) => row.operation, cell: (row) => row.operation },
      { title: "Changed", key: (row) => row.flagged.join(" "), cell: flags },
      { title: "Time a request", number: true, key: (row) => row.change_ns, cell: (row) => signed(row.change_ns) },
      { title: "Mostly", key: (row) => row.part, cell: (row) => row.part },
      ...pair("Calls a request", (row, after_) => (after_ ? row.calls_after : row.calls_before), (value) => value.toFixed(2)),
      ...pair("Errors", (row, after_) => (after_ ? row.errors_after : row.errors_before), (value) => (value ? percent(value, 1) : "0")),
    ], steps)) : null,
    ...changed.slice(0, TOLD_IN_PARTS).flatMap(parts),
  ].filter((node) => node !== null);
}

/** Where the change of the percentiles of one kind of request lies. @param {any} row @returns {HTMLElement[]} */
function parts(row) {
  return row.percentiles.filter((/** @type {any} */ each) => each.parts.length).map((/** @type {any} */ each) => element("section", {},
    element("h2", {}, `${row.operation} (${row.service}): p${each.percentile} ${duration(each.before_ns)} there, ${duration(each.after_ns)} here`),
    table(`parts-${row.operation}-p${each.percentile}`, "The parts that contribute most to the change", [
      { title: "From", key: (part) => part.caller, cell: (part) => part.caller }, { title: "To", key: (part) => part.callee, cell: (part) => part.callee },
      { title: "Operation", key: (part) => part.operation, cell: (part) => part.operation }, { title: "Part", key: (part) => part.part, cell: (part) => part.part },
      { title: "There", number: true, key: (part) => part.before_ns, cell: (part) => duration(part.before_ns) },
      { title: "Here", number: true, key: (part) => part.after_ns, cell: (part) => duration(part.after_ns) },
      { title: "Change", number: true, key: (part) => part.after_ns - part.before_ns, cell: (part) => signed(part.after_ns - part.before_ns) },
    ], each.parts)));
}

/** Two columns of a figure: there, and here. @param {string} title @param {(row: any, after: boolean) => number | null} value
 * @param {(value: number) => string} shown @returns {TableColumn[]} */
function pair(title, value, shown) {
  return [false, true].map((after) => ({
    title: `${title} ${after ? "here" : "there"}`, number: true, key: (/** @type {any} */ row) => value(row, after),
    cell: (/** @type {any} */ row) => { const found = value(row, after); return found === null ? "\u2013" : shown(found); },
  }));
}

/** @param {any} row @param {number} rank @param {boolean} after @returns {number | null} */
function ofPercentile(row, rank, after) {
  const found = row.percentiles.find((/** @type {any} */ each) => each.percentile === rank);
  return found ? (after ? found.after_ns : found.before_ns) : null;
}

/** @param {number} nanoseconds @returns {string} */
function signed(nanoseconds) {
  return `${nanoseconds > 0 ? "+" : ""}${duration(nanoseconds)}`;
}

/** @param {any} row @returns {HTMLElement} */
function flags(row) {
  if (!row.flagged.length) return element("span", { class: "muted" }, "as before");
  return element("span", { class: "outcome question" }, signOf("question"), row.flagged.map((/** @type {string} */ name) => CHANGES[name] ?? name).join(", "));
}
