// The first screen: what was captured and what went wrong in one sentence, whether to trust it, and the operations.

import { element } from "./dom.js";
import { termFor } from "./filter.js";
import { count, counted, duration, percent } from "./format.js";
import { captureSection, healthVerdict } from "./health.js";
import { signOf, table } from "./parts.js";
import { routeTo } from "./router.js";
import { heldNote } from "./held.js";
import { outcomeLabel } from "./words.js";

/** @typedef {import("./main.js").App} App */
/** @typedef {import("./parts.js").TableColumn} TableColumn */

/** Calls of a finding that are linked. */
const CALLS_LINKED = 5;
const SIGNS = { critical: "error", warning: "question", info: "unknown" };

/** The first screen. */
export class OverviewView {
  /** @param {App} app */
  constructor(app) {
    this.title = "Overview";
    this.node = element("div", { class: "page", tabindex: "-1" }, headline(app), heldNote(app.overview), healthVerdict(app.overview), findings(app.overview.findings), operations(app.overview.operations), captureSection(app),
      element("footer", { class: "muted" }, `Made by wiretrace ${app.overview.wiretrace} from the captures alone. Times are on the common time line of all hosts.`));
  }

  update() {}

  focus() {
    this.node.focus({ preventScroll: true });
  }

  key() {
    return false;
  }
}

/** Columns that every table of figures ends with. @returns {TableColumn[]} */
export function figureColumns() {
  return [
    { title: "Calls", number: true, cell: (row) => count(row.calls), key: (row) => row.calls },
    { title: "Errors", number: true, hint: "Calls that are known to have failed", key: (row) => row.errors, cell: (row) => (row.errors
      ? element("span", { class: "outcome error" }, signOf("error"), `${count(row.errors)} (${percent(row.errors, row.calls)})`) : "0") },
    { title: "p50", number: true, hint: "Half of the calls took no longer", cell: (row) => duration(row.p50), key: (row) => row.p50 },
    { title: "p95", number: true, hint: "95 of 100 calls took no longer", cell: (row) => duration(row.p95), key: (row) => row.p95 },
    { title: "Max", number: true, cell: (row) => duration(row.max), key: (row) => row.max },
  ];
}

/** @param {App} app @returns {HTMLElement} */
function headline({ overview, clock }) {
  const { totals } = overview;
  if (!totals.calls) {
    return element("section", { class: "headline" }, element("h1", { id: "view-title" }, "No call was found in these captures."),
      element("p", {}, "The notes below say what was read and what could not be."));
  }
  const failed = totals.failedRequests ? `${count(totals.failedRequests)} failed` : "none failed";
  const slowest = element("a", { href: routeTo(["tree", totals.slowest]) }, duration(totals.max));
  const outcomes = Object.entries(totals.outcomes).filter(([name]) => name !== "ok").sort((left, right) => right[1] - left[1]);
  return element("section", { class: "headline" },
    element("h1", { id: "view-title" }, `${counted(totals.requests, "request")}: ${failed}; half took under ${duration(totals.p50)}, the slowest `, slowest, "."),
    element("p", { class: "facts" },
      element("span", {}, `${clock.full(totals.start)}, ${duration(totals.end - totals.start)} long`),
      element("span", {}, `95 of 100 requests under ${duration(totals.p95)}`),
      element("span", {}, `${counted(totals.calls, "call")} in all`),
      outcomes.map(([name, calls]) => element("a", { href: routeTo(["trees"], { filter: `any.outcome:${name}` }) }, `${count(calls)} \u00d7 ${outcomeLabel(name)}`))),
    element("p", { class: "actions" },
      element("a", { class: "button", href: routeTo(["trees"], { sort: "-duration" }) }, "Slowest trees"),
      totals.failedTrees ? element("a", { class: "button", href: routeTo(["trees"], { filter: "errors>0" }) }, "Trees with failed calls") : null,
      element("a", { class: "button", href: routeTo(["services"]) }, "Who calls whom")));
}

/** @param {any[]} rows @returns {HTMLElement | null} */
function findings(rows) {
  if (!rows.length) return null;
  return element("section", { "aria-labelledby": "findings-title" }, element("h2", { id: "findings-title" }, "Findings"),
    element("ul", { class: "findings" }, rows.map((finding) => element("li", { class: finding.severity },
      element("p", {}, signOf(/** @type {Record<string, string>} */ (SIGNS)[finding.severity] ?? "unknown"), element("b", {}, `${finding.severity}: `), finding.title),
      element("p", {}, finding.detail),
      finding.calls.length ? element("p", { class: "muted" }, "Seen in ", finding.calls.slice(0, CALLS_LINKED).map((/** @type {string} */ call) =>
        element("a", { href: routeTo(["tree", call, call]) }, call)).flatMap((/** @type {Node} */ link) => [link, " "]),
        finding.callCount > CALLS_LINKED ? `and ${count(finding.callCount - CALLS_LINKED)} more` : null) : null))));
}

/** @param {any[]} rows @returns {HTMLElement} */
function operations(rows) {
  return element("section", { "aria-labelledby": "operations-title" }, element("h2", { id: "operations-title" }, "Operations"),
    table("Errors in requests that failed come first, then other errors, then the slowest; what only sets up connections comes last", [
      { title: "Operation", key: (row) => row.operation, cell: (row) => element("a", { href: routeTo(["trees"], { filter: `any.${termFor("operation", row.operation)} any.${termFor("service", row.server)}`, sort: "-duration" }) }, row.operation || "(none)", row.setUp ? element("span", { class: "muted" }, " sets up or probes a connection") : null) },
      { title: "Service", cell: (row) => row.server, key: (row) => row.server },
      { title: "Protocol", cell: (row) => row.protocol, key: (row) => row.protocol },
      ...figureColumns(),
    ], rows));
}
