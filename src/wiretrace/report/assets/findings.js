// What is wrong, the gravest first: the findings of the rules, the kinds of failure, and the suspects.

import { element } from "./dom.js";
import { packetsButton } from "./evidence.js";
import { count, counted } from "./format.js";
import { meter, signOf, table } from "./parts.js";
import { routeTo } from "./router.js";

/** @typedef {import("./main.js").App} App */

/** Calls of a finding that are linked. */
const CALLS_LINKED = 4;
/** Findings that are shown before "more". */
const FINDINGS_SHOWN = 6;
/** Suspects, and cleared components, that are named at a glance. */
const LIKELY_SHOWN = 3;
const CLEARED_SHOWN = 6;
/** Kinds of component that a person can go and look at. */
const PLACES = new Set(["service", "host", "instance"]);
/** The command that draws the tree of a call. */
const DRAWS_TREE = /wiretrace show CASE ([0-9a-f]{4,})(?: --why)?/;
/** @type {Record<string, string>} */
const SIGNS = { critical: "error", warning: "warning", info: "info" };
/** @type {Record<string, string>} */
const HARM_SEVERITY = { broke_request: "critical", absorbed: "warning", outside: "info", set_up: "info" };

/** @param {App} app @returns {HTMLElement | null} */
export function findingsSection({ overview, clock }) {
  const { findings, failures, totals } = overview;
  if (!totals.calls && !findings.length) return null;
  const cards = findings.length ? findings.map((/** @type {any} */ finding) => findingCard(finding, clock, overview)) : failures.map(failureCard);
  const grave = findings.filter((/** @type {any} */ finding) => finding.severity !== "info").length;
  const shown = findings.length ? Math.min(Math.max(grave, 2), FINDINGS_SHOWN) : FINDINGS_SHOWN;
  const rest = cards.splice(shown);
  return element("section", { "aria-labelledby": "findings-title" }, element("h2", { id: "findings-title" }, findings.length ? "Findings, by impact" : "What failed, by impact"),
    cards.length ? element("ol", { class: "findings" }, cards) : element("p", {}, signOf("ok"), "No call is known to have failed."),
    rest.length ? element("details", {}, element("summary", {}, counted(rest.length, "more finding")), element("ol", { class: "findings", start: shown + 1 }, rest)) : null);
}

/** @param {any} finding @param {import("./format.js").Clock} clock @param {any} overview @returns {HTMLElement} */
function findingCard(finding, clock, overview) {
  const hasPackets = (overview.packets ?? []).some((/** @type {any} */ each) => each.id === `finding-${finding.number}`);
  return element("li", { class: finding.severity },
    element("p", { class: "finding-title" }, signOf(SIGNS[finding.severity] ?? "info"), element("b", {}, `${finding.severity}: `), finding.title),
    finding.detail ? element("p", {}, finding.detail) : null,
    element("p", { class: "facts muted" },
      finding.component ? element("span", {}, `${finding.component_kind} `, element("b", {}, finding.component)) : null,
      finding.owner ? element("span", {}, `owner ${finding.owner}`) : null,
      finding.external ? element("span", {}, "belongs to somebody else") : null,
      finding.requests ? element("span", {}, `${counted(finding.requests, "request")} touched`) : null,
      finding.first_ns >= 0 ? element("span", {}, `${clock.timeOfDay(finding.first_ns)} to ${clock.timeOfDay(finding.last_ns)}`) : null,
      finding.code ? element("code", {}, finding.code) : null),
    finding.next_step ? element("p", { class: "next" }, element("b", {}, "Next: "), withLink(finding.next_step)) : null,
    finding.calls.length ? element("p", { class: "muted" }, "Seen in ", finding.calls.slice(0, CALLS_LINKED).map((/** @type {string} */ call) =>
      element("a", { href: routeTo(["tree", call, call]) }, call)).flatMap((/** @type {Node} */ link) => [link, " "]),
      finding.callCount > CALLS_LINKED ? `and ${count(finding.callCount - CALLS_LINKED)} more` : null) : null,
    hasPackets ? element("p", {}, packetsButton({ overview }, `finding-${finding.number}`)) : null);
}

/** @param {any} failure @returns {HTMLElement} */
function failureCard(failure) {
  const severity = failure.clientError ? "info" : HARM_SEVERITY[failure.harm] ?? "info";
  return element("li", { class: severity },
    element("p", { class: "finding-title" }, signOf(SIGNS[severity]), element("b", {}, `${failure.service}: `), `${failure.operation} ended in ${failure.word}`),
    failure.cause ? element("p", {}, "First to fail beneath it: ", element("b", {}, failure.cause), ".") : null,
    element("p", { class: "facts muted" },
      element("span", {}, `${count(failure.failed)} of ${counted(failure.calls, "call")}`),
      element("span", {}, failure.did),
      failure.clientError ? element("span", {}, "the server says that the request was wrong") : null,
      element("a", { href: routeTo(["tree", failure.example]) }, "An example")));
}

/** What is to be done next: a command that draws a tree becomes a link to it. @param {string} text @returns {(string | HTMLElement)[]} */
function withLink(text) {
  const [before, id, after = ""] = text.split(DRAWS_TREE);
  return id ? [before, element("a", { href: routeTo(["tree", id, id]) }, `call ${id}`), after] : [text];
}

/** The likeliest components at a glance, and those that are cleared. @param {App} app @returns {HTMLElement | null} */
export function whereToLook({ overview }) {
  /** @type {any[]} */
  const rows = overview.suspects ?? [];
  const likely = rows.filter((row) => !row.cleared).slice(0, LIKELY_SHOWN);
  if (!likely.length) return null;
  const cleared = rows.filter((row) => row.cleared && PLACES.has(row.component_kind)).slice(0, CLEARED_SHOWN);
  return element("section", { class: "look", "aria-labelledby": "look-title" }, element("h2", { id: "look-title" }, "Where to look first"),
    element("ol", {}, likely.map((row) => element("li", {},
      element("div", { class: "look-name" }, element("span", {}, element("span", { class: "muted" }, `${row.component_kind} `), element("b", {}, row.component)),
        element("span", { class: "look-score", title: "How well it explains which requests are bad" }, meter(row.score, "error"), ` ${Math.round(100 * row.score)} %`)),
      element("p", { class: "muted" }, `${row.words.split(". ")[0].replace(/\.$/, "")}.${row.owner ? ` Owner: ${row.owner}.` : ""}`)))),
    cleared.length ? element("p", { class: "cleared" }, signOf("ok"), `Cleared by good requests: ${cleared.map((row) => row.component).join(", ")}.`) : null);
}

/** Components by how well they explain which requests are bad. @param {App} app @returns {HTMLElement | null} */
export function suspectsSection({ overview }) {
  const rows = overview.suspects ?? [];
  if (!rows.length) return null;
  return element("section", { "aria-labelledby": "suspects-title" }, element("h2", { id: "suspects-title" }, "All suspects"),
    table("suspects", "Which component explains best which requests are bad; those that good requests clear come last", [
      { title: "Component", key: (row) => row.component, cell: (row) => [element("span", { class: "muted" }, `${row.component_kind} `), element("b", {}, row.component)] },
      { title: "Explains", number: true, key: (row) => row.score, cell: (row) => [meter(row.score, row.cleared ? "" : "error"), ` ${Math.round(100 * row.score)} %`] },
      { title: "Bad requests", number: true, key: (row) => row.failing, cell: (row) => count(row.failing) },
      { title: "Good requests", number: true, key: (row) => row.good, cell: (row) => count(row.good) },
      { title: "Why", kind: "words", key: (row) => row.words, cell: (row) => [row.cleared ? element("b", {}, "Cleared: ") : null, row.words] },
      { title: "Next", kind: "words", key: (row) => row.next_step, cell: (row) => withLink(row.next_step) },
    ], rows));
}
