// Whether the capture can be trusted: a tile for each thing that may be missing, and the gaps in sentences.

import { element } from "./dom.js";
import { count, counted, duration, percent, size } from "./format.js";
import { signOf } from "./parts.js";
import { routeTo } from "./router.js";

/** @typedef {import("./main.js").App} App */
/** @typedef {{ name: string, value: string, words: string, state: string }} Tile */

/** Share of calls outside any request from which the tile says so. */
const MUCH_OUTSIDE = 0.1;

/** @param {App} app @returns {HTMLElement} */
export function healthSection({ overview }) {
  const missing = gaps(overview);
  return element("section", { class: "health", "aria-labelledby": "health-title" },
    element("h2", { id: "health-title" }, signOf(missing.length ? "question" : "ok"),
      missing.length ? "Health of the capture: what is not shown may still have happened" : "Health of the capture: nothing is known to be missing"),
    element("ul", { class: "tiles" }, tiles(overview).map((tile) => element("li", { class: `tile ${tile.state}` },
      element("span", { class: "tile-name" }, tile.name),
      element("span", { class: "tile-value" }, signOf(tile.state), tile.value),
      element("span", { class: "muted", title: tile.words }, tile.words)))),
    element("div", { class: "health-more" },
      missing.length ? element("details", {}, element("summary", {}, `What is missing, in ${counted(missing.length, "sentence")}`), element("ul", { class: "gaps" }, missing.map((sentence) => element("li", {}, sentence)))) : null,
      element("a", { href: routeTo(["coverage"]) }, "Coverage by host, and clocks"), element("a", { href: routeTo(["about"]) }, "Where every byte went, and all notes")));
}

/** @param {any} overview @returns {Tile[]} */
function tiles({ captures, clocks, connections, totals, links, coverage }) {
  const captured = clocks.filter((/** @type {any} */ host) => host.captures.length).length;
  const blind = clocks.length - captured;
  const dropped = captures.reduce((/** @type {number} */ sum, /** @type {any} */ capture) => sum + Math.max(capture.dropped, 0), 0);
  const silent = captures.filter((/** @type {any} */ capture) => capture.dropped < 0).length;
  const linked = ["stated", "measured", "inferred"].reduce((sum, basis) => sum + links[basis].count, 0);
  const children = linked + links.question.count;
  return [
    { name: "Hosts captured", value: blind > 0 ? `${captured} of ${clocks.length}` : count(captured || captures.length), words: blind > 0 ? "others from outside" : counted(captures.length, "capture"), state: blind > 0 ? "question" : "ok" },
    { name: "Time covered", value: duration(coverage.to - coverage.from), words: shortest(captures, coverage), state: "ok" },
    { name: "Dropped", value: silent === captures.length && captures.length ? "not said" : count(dropped), words: silent ? `${count(silent)} ${silent === 1 ? "does" : "do"} not say` : "packets, by the hosts", state: dropped ? "error" : silent ? "question" : "ok" },
    { name: "Gaps", value: size(connections.lostBytes), words: "not captured", state: connections.lostBytes ? "error" : "ok" },
    { name: "Encrypted", value: percent(connections.encrypted, connections.total), words: `${count(connections.encrypted)} of ${counted(connections.total, "connection")}`, state: connections.encrypted ? "question" : "ok" },
    { name: "Outside any request", value: percent(totals.outside, totals.calls), words: counted(totals.outside, "call"), state: totals.outside > MUCH_OUTSIDE * totals.calls ? "question" : "ok" },
    { name: "Links", value: children ? percent(linked, children) : "none", words: links.question.count ? `${counted(links.question.count, "question")} besides` : "of calls with a parent", state: links.question.count > MUCH_OUTSIDE * children ? "question" : "ok" },
  ];
}

/** @param {any[]} captures @param {any} coverage @returns {string} */
function shortest(captures, coverage) {
  const whole = coverage.to - coverage.from;
  const least = Math.min(...captures.filter((capture) => capture.first_ns >= 0).map((capture) => capture.last_ns - capture.first_ns));
  return Number.isFinite(least) ? `shortest: ${percent(Math.min(least, whole), whole)}` : "no packets";
}

/** What the capture lacks, in sentences. @param {any} overview @returns {string[]} */
function gaps({ captures, connections, totals, accounting, links }) {
  const found = [];
  for (const capture of captures) {
    if (capture.dropped > 0) found.push(`${capture.capture}: the capturing host dropped ${counted(capture.dropped, "packet")} of ${count(capture.packets + capture.dropped)}.`);
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

/** @param {Record<string, number>} accounting @returns {number} */
function unexplainedBytes(accounting) {
  const explained = Object.entries(accounting).reduce((sum, [name, bytes]) => (name === "captured" ? sum : sum + bytes), 0);
  return (accounting.captured ?? 0) - explained;
}
