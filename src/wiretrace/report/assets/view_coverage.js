// What was captured when, host by time, and how far the hosts' clocks are apart.

import { element, svg } from "./dom.js";
import { count, counted, duration, size } from "./format.js";
import { signOf, table } from "./parts.js";

/** @typedef {import("./main.js").App} App */

/** Width of the strips, in parts of the drawing. */
const STRIPS_WIDTH = 960;
const NAME_WIDTH = 150;
const COVERAGE_HEIGHT = 30;

/** Coverage and clocks. */
export class CoverageView {
  /** @param {App} app */
  constructor(app) {
    this.title = "Coverage";
    this.node = element("div", { class: "page", tabindex: "-1" },
      element("h1", { id: "view-title" }, "What was captured, and when"),
      strips(app), capturesTable(app), clocks(app));
  }

  update() {}

  focus() {
    this.node.focus({ preventScroll: true });
  }

  key() {
    return false;
  }
}

/** Each capture as a strip: the darker, the more exchanges begin there. @param {App} app @returns {HTMLElement | null} */
function strips({ overview, clock }) {
  const { coverage, captures, clocks: hosts } = overview;
  if (!captures.length) return null;
  const offsets = new Map(hosts.flatMap((/** @type {any} */ host) => host.captures.map((/** @type {string} */ capture) => [capture, host.clock_offset_ns ?? 0])));
  const span = coverage.to - coverage.from;
  const x = (/** @type {number} */ time) => NAME_WIDTH + ((time - coverage.from) / span) * STRIPS_WIDTH;
  const height = captures.length * COVERAGE_HEIGHT + 24;
  const rows = captures.map((/** @type {any} */ capture, /** @type {number} */ number) => {
    const top = number * COVERAGE_HEIGHT;
    const begun = coverage.exchanges[capture.capture] ?? [];
    const lost = coverage.lost[capture.capture] ?? [];
    const most = Math.max(...begun, 1);
    const shift = offsets.get(capture.capture) ?? 0;
    const part = STRIPS_WIDTH / Math.max(begun.length, 1);
    return svg("g", {},
      svg("text", { x: 0, y: top + 18, class: "strip-name" }, capture.capture.length > 20 ? `${capture.capture.slice(0, 19)}\u2026` : capture.capture),
      capture.first_ns < 0 ? svg("text", { x: NAME_WIDTH, y: top + 18 }, "no packets")
        : svg("rect", { class: "track", x: x(capture.first_ns - shift), y: top + 4, width: Math.max(x(capture.last_ns - shift) - x(capture.first_ns - shift), 2), height: COVERAGE_HEIGHT - 8 }),
      begun.map((/** @type {number} */ value, /** @type {number} */ at) => (value ? svg("rect", { class: "covered", x: NAME_WIDTH + at * part, y: top + 4, width: part + 0.3, height: COVERAGE_HEIGHT - 8, "fill-opacity": (0.15 + (0.85 * Math.log1p(value)) / Math.log1p(most)).toFixed(2) }) : null)),
      lost.map((/** @type {number} */ value, /** @type {number} */ at) => (value ? svg("path", { class: "lost", d: `M${NAME_WIDTH + at * part} ${top + 2}h${Math.max(part, 5)}l-${Math.max(part, 5) / 2} 7z` }) : null)));
  });
  return element("section", {},
    element("div", { class: "strip-box", tabindex: "0", role: "region", "aria-label": "Coverage by capture over time; the table below says the same" },
      svg("svg", { class: "strips", viewBox: `0 0 ${NAME_WIDTH + STRIPS_WIDTH} ${height}`, role: "img", "aria-label": `Coverage of ${counted(captures.length, "capture")} over ${duration(span)}` }, rows,
        [0, 0.25, 0.5, 0.75, 1].map((share) => svg("text", { class: "strip-tick", x: NAME_WIDTH + share * STRIPS_WIDTH, y: height - 4, "text-anchor": share === 1 ? "end" : share ? "middle" : "start" }, clock.timeOfDay(coverage.from + share * span).slice(0, 12))))),
    element("p", { class: "legend" }, element("span", {}, element("i", { class: "key track" }), "captured"), element("span", {}, element("i", { class: "key inner" }), "exchanges begin; the darker, the more"), element("span", {}, element("b", { class: "outcome error" }, "\u25bc "), "bytes that the capture lacks, at the end of their connection")));
}

/** @param {App} app @returns {HTMLElement} */
function capturesTable({ overview, clock }) {
  const offsets = new Map(overview.clocks.flatMap((/** @type {any} */ host) => host.captures.map((/** @type {string} */ capture) => [capture, host])));
  const rows = overview.captures.map((/** @type {any} */ capture) => {
    const host = offsets.get(capture.capture);
    const shift = host?.clock_offset_ns ?? 0;
    const begun = (overview.coverage.exchanges[capture.capture] ?? []).reduce((/** @type {number} */ sum, /** @type {number} */ value) => sum + value, 0);
    const lost = (overview.coverage.lost[capture.capture] ?? []).reduce((/** @type {number} */ sum, /** @type {number} */ value) => sum + value, 0);
    return { ...capture, host: capture.host || host?.host || "", empty: capture.first_ns < 0, from: capture.first_ns - shift, to: capture.last_ns - shift, begun, lost };
  });
  return element("section", {}, element("h2", {}, "By vantage point"), table("captures", "Times are on the common time line where the clock is known", [
    { title: "Capture", cell: (row) => row.capture, key: (row) => row.capture },
    { title: "Host", cell: (row) => row.host || "\u2013", key: (row) => row.host ?? "" },
    { title: "Packets", number: true, cell: (row) => count(row.packets), key: (row) => row.packets },
    { title: "Not decoded", number: true, hint: "Packets that are not TCP or UDP, or that can not be read", cell: (row) => count(row.packets - row.decoded), key: (row) => row.packets - row.decoded },
    { title: "Dropped", number: true, hint: "Packets that the capturing host says it dropped", cell: (row) => droppedCell(row.dropped), key: (row) => row.dropped },
    { title: "Exchanges", number: true, cell: (row) => count(row.begun), key: (row) => row.begun },
    { title: "Missing", number: true, hint: "Bytes that a peer acknowledged and that the capture lacks", cell: (row) => (row.lost ? element("span", { class: "outcome error" }, signOf("error"), size(row.lost)) : "0 B"), key: (row) => row.lost },
    { title: "From", hint: "First packet", cell: (row) => (row.empty ? "empty" : clock.timeOfDay(row.from)), key: (row) => row.from },
    { title: "Covers", number: true, cell: (row) => (row.empty ? "\u2013" : duration(row.to - row.from)), key: (row) => row.to - row.from },
    { title: "Size", number: true, cell: (row) => size(row.bytes), key: (row) => row.bytes },
  ], rows));
}

/** @param {number} dropped @returns {import("./dom.js").Child[]} */
function droppedCell(dropped) {
  if (dropped < 0) return [element("span", { class: "muted" }, "not said")];
  return dropped ? [element("span", { class: "outcome error" }, signOf("error"), count(dropped))] : ["0"];
}

/** @param {App} app @returns {HTMLElement} */
function clocks({ overview }) {
  const known = overview.clocks.filter((/** @type {any} */ host) => host.clock_offset_ns !== null);
  const widest = Math.max(...known.map((/** @type {any} */ host) => Math.abs(host.clock_offset_ns) + (host.clock_error_ns ?? 0)), 1);
  return element("section", {}, element("h2", {}, "Clocks"),
    element("p", {}, "Packets that two hosts saw show how far their clocks are apart. Times in this report are corrected; the error says how far a corrected time may still be wrong."),
    table("clocks", "What each clock shows before (+) or behind (\u2212) the common time line", [
      { title: "Host", key: (row) => row.host, cell: (row) => row.host },
      { title: "Addresses", key: (row) => row.addresses.join(" "), cell: (row) => row.addresses.join(", ") },
      { title: "Services", key: (row) => row.services.join(" "), cell: (row) => row.services.join(", ") },
      { title: "Offset", number: true, key: (row) => row.clock_offset_ns, cell: (row) => (row.clock_offset_ns === null ? element("span", { class: "muted" }, "not known") : `${row.clock_offset_ns > 0 ? "+" : ""}${duration(row.clock_offset_ns)}`) },
      { title: "Error", number: true, key: (row) => row.clock_error_ns, cell: (row) => (row.clock_error_ns === null ? "" : `\u00b1 ${duration(row.clock_error_ns)}`) },
      { title: "Drift", number: true, hint: "How much faster than the time line it runs", key: (row) => row.clock_drift_ppm, cell: (row) => (row.clock_drift_ppm === null ? "" : `${row.clock_drift_ppm.toFixed(2)} ppm`) },
      { title: "Offset and error", kind: "clock-cell", cell: (row) => (row.clock_offset_ns === null ? null : clockBar(row, widest)) },
    ], overview.clocks));
}

/** An offset as a point with its error, on a scale that is linear near 0 and logarithmic beyond. @param {any} host @param {number} widest @returns {SVGElement} */
function clockBar(host, widest) {
  const place = (/** @type {number} */ value) => 100 + (95 * Math.sign(value) * Math.log1p(Math.abs(value) / 1000)) / Math.log1p(widest / 1000);
  const [from, to] = [place(host.clock_offset_ns - (host.clock_error_ns ?? 0)), place(host.clock_offset_ns + (host.clock_error_ns ?? 0))];
  return svg("svg", { class: "clock-bar", viewBox: "0 0 200 14", "aria-hidden": "true" },
    svg("line", { class: "axis-line", x1: 100, x2: 100, y1: 0, y2: 14 }), svg("line", { class: "track-line", x1: 5, x2: 195, y1: 7, y2: 7 }),
    svg("rect", { class: "error-range", x: from, y: 4, width: Math.max(to - from, 1), height: 6 }), svg("circle", { cx: place(host.clock_offset_ns), cy: 7, r: 3.5 }));
}
