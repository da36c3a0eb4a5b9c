// The first screen: the answer, what is wrong by impact, whether to trust the capture, and the operations.

import { element } from "./dom.js";
import { termFor } from "./filter.js";
import { findingsSection, suspectsSection, whereToLook } from "./findings.js";
import { count, counted, duration, percent, rate } from "./format.js";
import { healthSection } from "./health.js";
import { heldNote } from "./held.js";
import { rateBars, signOf, table } from "./parts.js";
import { routeTo } from "./router.js";
import { smallHeat } from "./small_heat.js";
import { OUTCOMES, outcomeLabel } from "./words.js";

/** @typedef {import("./main.js").App} App */
/** @typedef {import("./parts.js").TableColumn} TableColumn */

/** The first screen. */
export class OverviewView {
  /** @param {App} app */
  constructor(app) {
    this.title = "Overview";
    this.node = element("div", { class: "page first", tabindex: "-1" }, headline(app), heldNote(app.overview),
      healthSection(app), element("div", { class: "answer-grid" }, findingsSection(app), whereToLook(app)), operations(app), suspectsSection(app),
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

/** Columns that every table of figures ends with. @param {number} [span] nanoseconds that the calls cover @returns {TableColumn[]} */
export function figureColumns(span = 0) {
  /** @type {TableColumn[]} */
  const rates = span > 0 ? [{ title: "Rate", number: true, kind: "wide", hint: "Calls a second", cell: (row) => rate(row.calls, span), key: (row) => row.calls / (span / 1e9) }] : [];
  return [
    { title: "Calls", number: true, cell: (row) => count(row.calls), key: (row) => row.calls },
    ...rates,
    { title: "Errors", number: true, hint: "Calls that are known to have failed", key: (row) => row.errors, cell: (row) => (row.errors
      ? element("span", { class: "outcome error" }, signOf("error"), `${count(row.errors)} (${percent(row.errors, row.calls)})`) : "0") },
    { title: "p50", number: true, hint: "Half of the calls took no longer", cell: (row) => duration(row.p50), key: (row) => row.p50 },
    { title: "p95", number: true, hint: "95 of 100 calls took no longer", cell: (row) => duration(row.p95), key: (row) => row.p95 },
    { title: "p99", number: true, kind: "wide", hint: "99 of 100 calls took no longer", cell: (row) => duration(row.p99), key: (row) => row.p99 },
    { title: "Max", number: true, cell: (row) => duration(row.max), key: (row) => row.max },
  ];
}

/** @param {App} app @returns {HTMLElement} */
function headline({ overview, clock }) {
  const { totals, answer, rates } = overview;
  if (!totals.calls) {
    return element("section", { class: "headline" }, element("h1", { id: "view-title" }, "No call was found in these captures."),
      element("p", {}, "The notes below say what was read and what could not be."));
  }
  const span = totals.end - totals.start;
  const slowest = element("a", { href: routeTo(["tree", totals.slowest]) }, duration(totals.max));
  const outcomes = Object.entries(totals.outcomes).filter(([name]) => name !== "ok").sort((left, right) => right[1] - left[1]);
  const [first = "", ...further] = answer;
  return element("section", { class: "headline" },
    element("div", {},
      element("h1", { id: "view-title" }, first || `${counted(totals.calls, "call")}, and no request among them.`),
      meaningOf(first) ? element("p", { class: "lead" }, meaningOf(first)) : null,
      element("p", { class: "lead" }, further.join(" "),
        totals.requests ? [" Half of the requests took under ", element("b", {}, duration(totals.p50)), ", 95 of 100 under ", element("b", {}, duration(totals.p95)), "; the slowest took ", slowest, "."] : null),
      element("p", { class: "facts" },
        element("span", {}, `${clock.full(totals.start)}, ${duration(span)} long`),
        element("span", {}, `${counted(totals.calls, "call")} in ${counted(totals.trees, "tree")}`),
        outcomes.map(([name, calls]) => element("a", { href: routeTo(["trees"], { filter: `any.outcome:${name}` }) }, `${count(calls)} \u00d7 ${outcomeLabel(name)}`))),
      element("p", { class: "actions" },
        element("a", { class: "button", href: routeTo(["trees"], { sort: "-duration" }) }, "Slowest trees"),
        totals.failedTrees ? element("a", { class: "button", href: routeTo(["trees"], { filter: "errors>0" }) }, "Trees with failed calls") : null,
        element("a", { class: "button", href: routeTo(["map"]) }, "Map of services"))),
    rates.requests.length ? element("figure", { class: "rate" },
      rateBars(rates.requests, rates.failed, `Requests over time: ${rate(totals.requests, span)} on average, ${count(totals.failedRequests)} failed`),
      element("figcaption", { class: "muted facts" }, element("span", {}, `${rate(totals.requests, span)} on average, ${duration(span / rates.requests.length)} a bar`), totals.failedRequests ? element("span", {}, element("i", { class: "key error" }), `${count(totals.failedRequests)} failed`) : null)) : null);
}

/** What the way of failing that a headline names means, for who reads of it for the first time. @param {string} headline @returns {string} */
function meaningOf(headline) {
  const said = headline.toLowerCase();
  const found = Object.values(OUTCOMES).find(({ label }) => label !== OUTCOMES.error.label && ["fails with ", "did: ", "failed: "].some((words) => said.includes(words + label.toLowerCase())));
  return found ? `${found.label[0].toUpperCase()}${found.label.slice(1)}: ${found.sentence[0].toLowerCase()}${found.sentence.slice(1)}` : "";
}

/** @param {App} app @returns {HTMLElement} */
function operations({ overview, hues }) {
  const rows = overview.operations;
  const { heat, totals } = overview;
  return element("section", { "aria-labelledby": "operations-title" }, element("h2", { id: "operations-title" }, "Operations"),
    table("operations", "Errors in requests that failed come first, then other errors, then the slowest; what only sets up connections comes last", [
      { title: "Operation", kind: "operation", key: (row) => row.operation, cell: (row) => element("a", { href: routeTo(["trees"], { filter: `any.${termFor("operation", row.operation)} ${termFor("service", row.server)}`, sort: "-duration" }) }, row.operation || "(none)", row.setUp ? element("span", { class: "muted" }, " sets up or probes a connection") : null) },
      { title: "Service", key: (row) => row.server, cell: (row) => [element("i", { class: `swatch ${hues.of(row.server)}` }), row.server] },
      { title: "Protocol", kind: "wide", cell: (row) => row.protocol, key: (row) => row.protocol },
      ...figureColumns(totals.end - totals.start),
      { title: "Latency over time", kind: "heat", hint: `From ${duration(heat.shortest ?? 0)} at the bottom to ${duration(heat.longest ?? 0)} at the top, by logarithm; the same for all rows`, cell: (row) => (row.heat ? smallHeat(row.heat, heat) : null) },
    ], rows));
}
