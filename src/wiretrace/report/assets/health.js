// The health of the capture: sentences about what is known to be missing, so that nobody trusts a blind capture.

import { element, svg } from "./dom.js";
import { count, counted, duration, percent, linkProbability, size } from "./format.js";
import { definitions, signOf, table } from "./parts.js";
import { ACCOUNTS, BASES } from "./words.js";

/** @typedef {import("./main.js").App} App */

/** Notes that are listed one by one. */
const NOTES_SHOWN = 12;

/** What is known to be missing, each a sentence; empty if nothing is. @param {any} overview @returns {string[]} */
export function gaps(overview) {
  const { captures, connections, accounting, links, totals } = overview;
  /** @type {string[]} */
  const found = [];
  const dropped = captures.filter((/** @type {any} */ capture) => capture.dropped > 0);
  for (const capture of dropped) {
    found.push(`${capture.capture}: the capturing host dropped ${counted(capture.dropped, "packet")} (${percent(capture.dropped, capture.dropped + capture.packets)}).`);
  }
  const silent = captures.filter((/** @type {any} */ capture) => capture.dropped < 0).length;
  if (silent) found.push(`${counted(silent, "capture")} of ${captures.length} ${silent === 1 ? "does" : "do"} not say how many packets were dropped.`);
  if (connections.lostBytes) found.push(`${size(connections.lostBytes)} that a peer acknowledged are not in the captures.`);
  if (connections.midway) found.push(`${counted(connections.midway, "connection")} of ${count(connections.total)} ${connections.midway === 1 ? "was" : "were"} already open when the capture began.`);
  if (connections.encrypted) found.push(`${counted(connections.encrypted, "connection")} of ${count(connections.total)} ${connections.encrypted === 1 ? "is" : "are"} encrypted: what they carried is not in this report.`);
  if (connections.unknownProtocol) found.push(`${counted(connections.unknownProtocol, "connection")} ${connections.unknownProtocol === 1 ? "speaks" : "speak"} no protocol that wiretrace reads.`);
  if (totals.unknown) found.push(`The end of ${counted(totals.unknown, "call")} was not captured: whether they failed is not known.`);
  if (links.question.count) found.push(`${counted(links.question.count, "call")} ${links.question.count === 1 ? "has" : "have"} a parent that is only a question.`);
  if (totals.outside) found.push(`${counted(totals.outside, "call")} (${percent(totals.outside, totals.calls)}) ${totals.outside === 1 ? "belongs" : "belong"} to no request: services made them for themselves (set-up, probes, background), or their cause was not found.`);
  const unexplained = unexplainedBytes(accounting);
  if (unexplained) found.push(`${size(Math.abs(unexplained))} of payload are not accounted for. That is a defect of wiretrace: please report it.`);
  return found;
}

/** Whether the capture can be trusted, in a sentence, and the gaps. @param {any} overview @returns {HTMLElement} */
export function healthVerdict(overview) {
  const missing = gaps(overview);
  return element("section", { class: `health ${missing.length ? "warn" : "good"}`, "aria-labelledby": "health-title" },
    element("h2", { id: "health-title" }, signOf(missing.length ? "question" : "ok"),
      missing.length ? "Parts are known to be missing: what is not shown here may still have happened" : "Nothing is known to be missing"),
    missing.length ? element("ul", { class: "gaps" }, missing.map((sentence) => element("li", {}, sentence))) : null);
}

/** What the verdict rests on: captures, links, bytes and notes. @param {App} app @returns {HTMLElement} */
export function captureSection(app) {
  const { overview } = app;
  return element("section", { "aria-labelledby": "captures-title" },
    element("h2", { id: "captures-title" }, "What was captured"),
    capturesTable(app),
    element("div", { class: "columns" }, linksBox(overview), accountingBox(overview.accounting), notesBox(overview.notes)));
}

/** @param {Record<string, number>} accounting @returns {number} */
function unexplainedBytes(accounting) {
  const explained = Object.entries(accounting).reduce((sum, [name, bytes]) => (name === "captured" ? sum : sum + bytes), 0);
  return (accounting.captured ?? 0) - explained;
}

/** @param {App} app @returns {HTMLElement} */
function capturesTable({ overview, clock }) {
  const clocks = new Map(overview.clocks.map((/** @type {any} */ host) => [host.host, host]));
  const captures = overview.captures.map((/** @type {any} */ capture) => {
    const offset = clocks.get(capture.host)?.clock_offset_ns ?? 0;
    return { ...capture, empty: capture.first_ns < 0, from: capture.first_ns - offset, to: capture.last_ns - offset };
  });
  const known = captures.filter((/** @type {any} */ capture) => !capture.empty);
  const from = Math.min(...known.map((/** @type {any} */ capture) => capture.from));
  const to = Math.max(...known.map((/** @type {any} */ capture) => capture.to), from + 1);
  return table("By vantage point", [
    { title: "Capture", cell: (row) => row.capture, key: (row) => row.capture },
    { title: "Host", cell: (row) => row.host || "\u2013", key: (row) => row.host ?? "" },
    { title: "Packets", number: true, cell: (row) => count(row.packets), key: (row) => row.packets },
    { title: "Not decoded", number: true, hint: "Packets that are not TCP or UDP, or that can not be read", cell: (row) => count(row.packets - row.decoded), key: (row) => row.packets - row.decoded },
    { title: "Dropped", number: true, hint: "Packets that the capturing host says it dropped", cell: (row) => droppedCell(row.dropped), key: (row) => row.dropped },
    { title: "From", hint: "First packet, on the common time line where the clock is known", cell: (row) => (row.empty ? "empty" : clock.timeOfDay(row.from)), key: (row) => row.from },
    { title: "Covers", number: true, cell: (row) => (row.empty ? "\u2013" : duration(row.to - row.from)), key: (row) => row.to - row.from },
    { title: "Time covered", hint: "Part of the time that any capture covers", cell: (row) => coverage(row, from, to) },
    { title: "Clock", number: true, hint: "What its clock shows before the common time line, and how far that may be wrong", cell: (row) => clockCell(clocks.get(row.host)) },
  ], captures);
}

/** @param {number} dropped @returns {import("./dom.js").Child[]} */
function droppedCell(dropped) {
  if (dropped < 0) return [element("span", { class: "muted" }, "not said")];
  return dropped ? [element("span", { class: "outcome error" }, signOf("error"), count(dropped))] : ["0"];
}

/** @param {any} host @returns {string} */
function clockCell(host) {
  if (!host || host.clock_offset_ns === null) return "not known";
  const sign = host.clock_offset_ns > 0 ? "+" : "";
  return `${sign}${duration(host.clock_offset_ns)} \u00b1 ${duration(host.clock_error_ns ?? 0)}`;
}

/** @param {any} row @param {number} from @param {number} to @returns {Node} */
function coverage(row, from, to) {
  if (row.empty) return document.createTextNode("");
  const scale = 100 / (to - from);
  const width = Math.max((row.to - row.from) * scale, 1);
  return svg("svg", { class: "coverage", viewBox: "0 0 100 8", preserveAspectRatio: "none", role: "img", "aria-label": `${percent(row.to - row.from, to - from)} of the time that any capture covers` },
    svg("rect", { class: "track", x: 0, y: 3, width: 100, height: 2 }),
    svg("rect", { class: "covered", x: Math.min((row.from - from) * scale, 99), y: 1, width, height: 6 }));
}

/** @param {any} overview @returns {HTMLElement} */
function linksBox({ links, totals }) {
  const kinds = ["stated", "measured", "inferred", "question"];
  const total = kinds.reduce((sum, kind) => sum + links[kind].count, 0);
  return element("div", {}, element("h3", {}, "Links between calls"),
    element("p", {}, total ? `${counted(total, "call")} of ${count(totals.calls)} ${total === 1 ? "has" : "have"} a parent.` : "No call was linked to another."),
    shares(kinds.map((kind) => [kind, links[kind].count])),
    element("table", { class: "plain" }, element("tbody", {}, kinds.map((kind) => element("tr", {},
      element("th", { scope: "row" }, element("span", { class: `badge ${kind}`, title: BASES[kind].sentence }, BASES[kind].label)),
      element("td", { class: "number" }, count(links[kind].count)),
      element("td", { class: "number" }, percent(links[kind].count, total)),
      element("td", { class: "muted" }, links[kind].confidence === null ? "" : `mean confidence ${linkProbability(links[kind].confidence, kind)}`))))));
}

/** A bar of shares; the table below it says the same in numbers. @param {[string, number][]} parts @returns {HTMLElement} */
function shares(parts) {
  const total = parts.reduce((sum, [, value]) => sum + value, 0);
  return element("div", { class: "shares", "aria-hidden": "true" }, parts.filter(([, value]) => value).map(([name, value]) => {
    const part = element("span", { class: name });
    part.style.flexGrow = String(value / total);
    return part;
  }));
}

/** @param {Record<string, number>} accounting @returns {HTMLElement} */
function accountingBox(accounting) {
  const captured = accounting.captured ?? 0;
  const fates = Object.entries(accounting).filter(([name, bytes]) => name !== "captured" && bytes);
  return element("div", {}, element("h3", {}, "Where every byte went"),
    element("p", {}, `${size(captured)} of payload ${ACCOUNTS.captured}.`),
    element("table", { class: "plain" }, element("tbody", {}, fates.sort((left, right) => right[1] - left[1]).map(([name, bytes]) => element("tr", {},
      element("td", { class: "number" }, size(bytes)),
      element("td", { class: "number" }, percent(bytes, captured)),
      element("td", {}, ACCOUNTS[name] ?? name))))));
}

/** @param {any[]} notes @returns {HTMLElement | null} */
function notesBox(notes) {
  if (!notes.length) return null;
  return element("div", {}, element("h3", {}, "Notes"),
    definitions(notes.slice(0, NOTES_SHOWN).map((note) => [`${count(note.count)} \u00d7 ${note.subject}`, note.sentence])),
    notes.length > NOTES_SHOWN ? element("details", {}, element("summary", {}, `${notes.length - NOTES_SHOWN} more`),
      definitions(notes.slice(NOTES_SHOWN).map((note) => [`${count(note.count)} \u00d7 ${note.subject}`, note.sentence]))) : null);
}
