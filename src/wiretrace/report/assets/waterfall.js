// One row of the waterfall: the lines to a call, what it is, and its bar on the time axis.
// A bar is light where the network is, solid at the server, pale where the call waits for its own calls, and underlined
// where it is on the critical path. A failed call is hatched and has its mark; nothing is told by colour alone.

import { element } from "./dom.js";
import { count, counted, duration, linkProbability } from "./format.js";
import { outcomeMark, signOf } from "./parts.js";
import { cell } from "./windowed.js";
import { BASES, FOLLOWS, outcomeClass } from "./words.js";

/** @typedef {import("./main.js").App} App */
/** @typedef {import("./tree_shape.js").TreeShape} TreeShape */

/** Levels that are drawn indented; deeper ones stay there and show their number. */
const INDENTED_LEVELS = 12;
const LEVEL_PIXELS = 16;
/** Opacity of the line to a call whose parent is quite unsure; its badge says the number. */
const FAINTEST = 0.45;
/** Parts of one bar that are drawn; closer ones run together. */
const PARTS_DRAWN = 120;
/** Distance below which parts of a bar run together, as a share of the axis. */
const CLOSE = 0.002;

/**
 * What the rows of a tree are drawn from.
 * @typedef {object} Drawing
 * @property {App} app
 * @property {TreeShape} shape
 * @property {{ from: number, to: number }} window stretch of time on the axis
 * @property {Set<number>} closed
 * @property {Set<number>} unfolded
 * @property {Uint8Array} hasNext by row: whether a later sibling is in sight
 * @property {Map<number, import("./tree_shape.js").Segment[]>} path critical stretches by row
 */

/** @param {Drawing} drawing @param {number} row @param {(row: number) => void} toggle */
export function waterfallRow(drawing, row, toggle) {
  const { app: { model, hues }, shape } = drawing;
  const place = shape.first + row;
  const depth = model.depth[place];
  const state = outcomeClass(model.outcome.at(place));
  const link = model.linkOf(place);
  const members = drawing.unfolded.has(row) ? null : shape.groups.get(row);
  const hasChildren = shape.end[row] > row + 1 && !members;
  const isOpen = hasChildren && !drawing.closed.has(row);
  const below = shape.failedBelow[row];
  const stalled = model.stalled[place];
  const length = members ? members.reduce((sum, member) => sum + model.duration[shape.first + member], 0) : model.duration[place];
  const expander = hasChildren || members
    ? element("button", { type: "button", class: "expander", tabindex: "-1", "aria-label": members ? "Show each of them" : isOpen ? "Close" : "Open", click: (event) => { event.stopPropagation(); toggle(row); } }, members ? "\u25b8" : isOpen ? "\u25be" : "\u25b8")
    : element("span", { class: "expander" });
  return {
    properties: { "aria-level": depth + 1, "aria-expanded": hasChildren || members ? String(isOpen) : null },
    cells: [
      cell("call", guide(drawing, row, link), depth > INDENTED_LEVELS ? element("span", { class: "deep" }, `${count(depth)}\u203a`) : null,
        expander, element("i", { class: `swatch ${hues.of(model.server.at(place))}` }), element("b", {}, model.server.at(place)),
        members ? element("span", { class: "pill", title: `${members.length} calls that are alike` }, `${count(members.length)} \u00d7`) : null,
        element("span", { class: "what" }, members ? model.operation.at(place) || model.titleOf(place) : model.titleOf(place)),
        below ? element("span", { class: "pill error", title: `${counted(below, "failed call")} beneath` }, signOf("error"), `${count(below)} below`) : null,
        stalled ? element("span", { class: "pill warn", title: "Waited for what was lost to be sent again, or for the receiver to take more" }, `stalled ${duration(stalled)}`) : null),
      cell("status", state === "ok" ? element("span", {}, model.status.at(place) || "\u2013")
        : outcomeMark(model.outcome.at(place), model.status.at(place) && model.outcome.at(place) === "error" ? model.status.at(place) : undefined)),
      cell("link", linkBadge(link, model.confidenceOf(place), Boolean(model.follows[place]))),
      cell("self number", duration(members ? members.reduce((sum, member) => sum + shape.self[member], 0) : shape.self[row])),
      cell("duration number", members ? "\u03a3 " : "", duration(length)),
      cell("timeline", members ? memberBars(drawing, members, state) : bar(drawing, row, state)),
    ],
  };
}

/** How a call is tied to its parent, and how surely. @param {string} link @param {number | null} confidence
 * @param {boolean} follows whether it took a message off a queue that its parent put there @returns {HTMLElement} */
export function linkBadge(link, confidence, follows) {
  if (!link) return element("span", { class: "muted" }, "root");
  const surely = confidence === null || (link === "stated" && confidence === 1) ? "" : ` ${linkProbability(confidence, link)}`;
  return element("span", { class: `badge ${link}`, title: `${follows ? `${FOLLOWS.sentence} ` : ""}${BASES[link]?.sentence ?? ""}` }, follows ? queueSign() : null, `${link === "question" ? "? " : ""}${BASES[link]?.label ?? link}${surely}`);
}

/** The sign of a message that was taken off a queue, with its words for who does not see it. @returns {HTMLElement} */
export function queueSign() {
  return element("span", { class: "queue-sign" }, element("span", { "aria-hidden": "true" }, FOLLOWS.sign), element("span", { class: "off-screen" }, `${FOLLOWS.label}, `));
}

/** The lines from the ancestors of a call to it, drawn as its link is. @param {Drawing} drawing @param {number} row @param {string} link */
function guide({ app: { model }, shape, hasNext }, row, link) {
  const lines = element("span", { class: "guide", "aria-hidden": "true" });
  lines.style.width = `${Math.min(model.depth[shape.first + row], INDENTED_LEVELS) * LEVEL_PIXELS}px`;
  const confidence = model.confidenceOf(shape.first + row);
  for (let at = row; model.up[shape.first + at]; at -= model.up[shape.first + at]) {
    const level = model.depth[shape.first + at];
    if (level > INDENTED_LEVELS || (at !== row && !hasNext[at])) continue;
    const line = element("i", { class: at === row ? `elbow ${link}${model.follows[shape.first + row] ? " follows" : ""}` : "" });
    line.style.left = `${(level - 1) * LEVEL_PIXELS + 4}px`;
    if (at === row && confidence !== null) line.style.opacity = String(FAINTEST + (1 - FAINTEST) * confidence);
    lines.append(line);
    if (at === row && hasNext[at]) {
      const onward = element("i");
      onward.style.left = line.style.left;
      lines.append(onward);
    }
  }
  return lines;
}

/** The bar of one call. @param {Drawing} drawing @param {number} row @param {string} state */
function bar(drawing, row, state) {
  const { app: { model, hues }, shape } = drawing;
  const place = shape.first + row;
  const start = model.start[place];
  const end = start + model.duration[place];
  const both = model.serverDuration[place] >= 0;
  const hue = state === "ok" ? hues.of(model.server.at(place)) : "";
  const serverStart = both ? start + model.serverStart[place] : start;
  const serverEnd = both ? serverStart + model.serverDuration[place] : end;
  const parts = [];
  const putAt = model.follows[place] ? model.start[place - model.up[place]] : start;
  if (putAt < start) parts.push(piece(drawing, "bar resting", putAt, start));
  if (model.opening[place] > 0) parts.push(piece(drawing, "bar opening", start - model.opening[place], start));
  parts.push(piece(drawing, `bar outer ${state} ${hue} ${both ? "both" : "one"}`, start, end));
  if (both) parts.push(piece(drawing, `bar inner ${state} ${hue}`, serverStart, serverEnd));
  for (const [from, to] of covered(drawing, row, serverStart, serverEnd)) parts.push(piece(drawing, "bar waits", from, to));
  if (model.send[place] > 0) parts.push(piece(drawing, "bar edge send", start, start + model.send[place]));
  if (model.receive[place] > 0) parts.push(piece(drawing, "bar edge receive", end - model.receive[place], end));
  for (const { from, to } of (drawing.path.get(row) ?? []).slice(0, PARTS_DRAWN)) parts.push(piece(drawing, "bar critical", from, to));
  return element("span", { class: "bars" }, parts);
}

/** The bars of calls that are alike, in one row. @param {Drawing} drawing @param {number[]} members @param {string} state */
function memberBars(drawing, members, state) {
  const { app: { model, hues }, shape, window } = drawing;
  const hue = state === "ok" ? hues.of(model.server.at(shape.first + members[0])) : "";
  const near = (window.to - window.from) * CLOSE;
  /** @type {[number, number][]} */
  const spans = [];
  /** @type {[number, number][]} */
  const path = [];
  for (const member of members) {
    const from = model.start[shape.first + member];
    join(spans, from, from + model.duration[shape.first + member], near);
    for (const stretch of drawing.path.get(member) ?? []) path.push([stretch.from, stretch.to]);
  }
  /** @type {[number, number][]} */
  const joined = [];
  for (const [from, to] of path.sort((left, right) => left[0] - right[0])) join(joined, from, to, near);
  return element("span", { class: "bars" }, spans.slice(0, PARTS_DRAWN * 4).map(([from, to]) => piece(drawing, `bar outer one ${state} ${hue}`, from, to)),
    joined.slice(0, PARTS_DRAWN * 4).map(([from, to]) => piece(drawing, "bar critical", from, to)));
}

/** Stretches in which a call's own calls run, within its bar. @param {Drawing} drawing @param {number} row @param {number} from @param {number} to
 * @returns {[number, number][]} */
function covered({ app: { model }, shape, window }, row, from, to) {
  const near = (window.to - window.from) * CLOSE;
  /** @type {[number, number][]} */
  const spans = [];
  for (let child = row + 1, seen = 0; child < shape.end[row] && seen < PARTS_DRAWN * 20; child = shape.end[child], seen++) {
    const begin = Math.max(model.start[shape.first + child], from);
    const end = Math.min(model.start[shape.first + child] + model.duration[shape.first + child], to);
    if (end > begin) join(spans, begin, end, near);
  }
  return spans.slice(0, PARTS_DRAWN);
}

/** Adds a stretch to others that are in order of their start. @param {[number, number][]} spans @param {number} from @param {number} to @param {number} near */
function join(spans, from, to, near) {
  const last = spans[spans.length - 1];
  if (last && from <= last[1] + near) last[1] = Math.max(last[1], to);
  else spans.push([from, to]);
}

/** @param {Drawing} drawing @param {string} kind @param {number} from @param {number} to @returns {HTMLElement | null} */
function piece({ window }, kind, from, to) {
  if (to < window.from || from > window.to) return null;
  const span = window.to - window.from;
  const node = element("span", { class: kind });
  const left = Math.max((from - window.from) / span, 0);
  node.style.left = `${100 * left}%`;
  node.style.width = `${100 * Math.max(Math.min((to - window.from) / span, 1) - left, 0)}%`;
  return node;
}

/** What the bars mean. @returns {HTMLElement} */
export function waterfallLegend() {
  const key = (/** @type {string} */ kind, /** @type {string} */ words) => element("span", {}, element("i", { class: `key ${kind}` }), words);
  return element("p", { class: "legend" }, key("outer", "network"), key("inner", "at the server"), key("waits", "waits for its own calls"), key("edge", "sending, receiving"), key("opening", "connecting"), key("resting", "message on a queue"),
    key("critical", "critical path"), key("one", "seen at one side only"), key("error", "failed"), key("unknown", "end not captured"));
}
