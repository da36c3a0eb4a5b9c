// A tree as a sequence: hosts as columns, every request and response an arrow, the earliest on top.

import { element, svg } from "./dom.js";
import { count, duration } from "./format.js";
import { FOLLOWS, mark, outcomeClass, outcomeLabel } from "./words.js";

/** @typedef {import("./waterfall.js").Drawing} Drawing */
/** @typedef {{ place: number, time: number, from: number, to: number, isResponse: boolean, times: number }} Message */

/** A column is as wide as the room allows, within these bounds. */
const WIDEST_COLUMN = 210;
const NARROWEST_COLUMN = 104;
const TIME_WIDTH = 84;
const MESSAGE_HEIGHT = 28;
const HEAD_HEIGHT = 46;
/** Arrows that are drawn. */
const MESSAGES_DRAWN = 600;
/** A pause of this share of the whole is marked. */
const PAUSE = 0.08;

/**
 * @param {Drawing} drawing @param {Uint32Array} rows calls in sight @param {number} chosen place of the chosen call
 * @param {(place: number) => void} choose @param {number} room width that is there, pixels @returns {HTMLElement}
 */
export function sequenceView(drawing, rows, chosen, choose, room) {
  const { app: { model, hues }, shape } = drawing;
  /** Columns by name of the host. @type {Map<string, { title: string, at: number, hue: string }>} */
  const columns = new Map();
  const column = (/** @type {string} */ host, /** @type {string} */ service) => {
    const found = columns.get(host) ?? { title: service, at: columns.size, hue: hues.of(service) };
    columns.set(host, found);
    return found.at;
  };
  /** @type {Message[]} */
  const messages = [];
  for (const row of rows) {
    const place = shape.first + row;
    const from = column(model.clientAt.at(place), model.client.at(place));
    const to = column(model.serverAt.at(place), model.server.at(place));
    const times = drawing.unfolded.has(row) ? 1 : shape.groups.get(row)?.length ?? 1;
    messages.push({ place, time: model.start[place], from, to, isResponse: false, times });
    if (model.status.at(place)) messages.push({ place, time: model.start[place] + model.duration[place], from: to, to: from, isResponse: true, times });
  }
  messages.sort((left, right) => left.time - right.time || Number(left.isResponse) - Number(right.isResponse));
  const drawn = messages.slice(0, MESSAGES_DRAWN);
  const columnWidth = Math.min(Math.max(Math.floor((room - TIME_WIDTH - 24) / columns.size), NARROWEST_COLUMN), WIDEST_COLUMN);
  const laneWidth = columnWidth - 14;
  const x = (/** @type {number} */ number) => TIME_WIDTH + columnWidth / 2 + number * columnWidth;
  const width = x(columns.size - 1) + columnWidth / 2 + 8;
  const height = drawn.length * MESSAGE_HEIGHT + 20;
  const span = shape.to - shape.from;
  const head = svg("svg", { width, height: HEAD_HEIGHT, "aria-hidden": "true" }, [...columns].map(([host, { title, at, hue }]) => [
    svg("rect", { class: `lane ${hue}`, x: x(at) - laneWidth / 2, y: 5, width: laneWidth, height: 38, rx: 6 }),
    svg("text", { x: x(at), y: 21, "text-anchor": "middle", class: "lane-name" }, cut(title, Math.floor(laneWidth / 8))),
    svg("text", { x: x(at), y: 36, "text-anchor": "middle", class: "lane-host" }, cut(host, Math.floor(laneWidth / 6.5)))]).flat());
  const body = svg("svg", { width, height, class: "sequence", role: "list", "aria-label": "Messages of the tree, the earliest first" },
    [...columns.values()].map(({ at }) => svg("line", { class: "life", x1: x(at), x2: x(at), y1: 0, y2: height })),
    drawn.map((message, number) => arrow(message, number, drawn[number - 1])), rests());

  /** @param {Message} message @param {number} number @param {Message | undefined} before @returns {SVGElement} */
  function arrow(message, number, before) {
    const { place, isResponse } = message;
    const state = outcomeClass(model.outcome.at(place));
    const y = number * MESSAGE_HEIGHT + 20;
    const [from, to] = [x(message.from), x(message.to)];
    const sign = to >= from ? 1 : -1;
    const failed = isResponse ? state === "error" : state !== "ok" && !model.status.at(place);
    const pause = before && message.time - before.time > span * PAUSE;
    const follows = takes(message);
    const label = `${follows ? `${FOLLOWS.sign} ` : ""}${isResponse ? model.status.at(place) : `${model.server.at(place)}: ${model.titleOf(place)}`}${message.times > 1 ? ` (${count(message.times)} \u00d7)` : ""}${failed ? ` ${mark(state)} ${isResponse ? "" : outcomeLabel(model.outcome.at(place))}` : ""}`;
    const letters = Math.floor(Math.max(Math.abs(to - from), columnWidth * 0.9) / 6.4);
    return svg("g", { class: `message ${isResponse ? "response" : "request"} ${follows ? "follows" : ""} ${failed ? state : ""} ${place === chosen ? "chosen" : ""}`, role: "listitem", "aria-label": `${duration(message.time)}: ${follows ? `${FOLLOWS.label}: ` : ""}${label}`, click: () => choose(place) },
      svg("rect", { class: "hit", x: 0, y: y - 18, width, height: MESSAGE_HEIGHT }),
      svg("text", { class: pause ? "time pause" : "time", x: TIME_WIDTH - 8, y: y + 3, "text-anchor": "end" }, duration(message.time - shape.from)),
      from === to ? svg("path", { class: "line", d: `M${from} ${y - 4}h26v8h-20` }) : svg("line", { class: "line", x1: from, x2: to - sign * 6, y1: y, y2: y }),
      svg("path", { class: "tip", d: from === to ? `M${from} ${y + 4}l8 -4v8z` : `M${to} ${y}l${-sign * 9} -4.5v9z` }),
      svg("text", { class: "label", x: from === to ? from + 32 : (from + to) / 2, y: from === to ? y + 3 : y - 5, "text-anchor": from === to ? "start" : "middle" }, cut(label, letters)));
  }

  /** Whether an arrow takes a message off a queue: of such a call that which leaves the broker, where its parent put the message.
   * @param {Message} message @returns {boolean} */
  function takes({ place, from, to, isResponse }) {
    if (!model.follows[place]) return false;
    const broker = columns.get(model.serverAt.at(model.parentOf(place)))?.at;
    return from === broker || (to !== broker && !isResponse);
  }

  /** Messages that lie on a queue: along the line of their broker, from the arrow that put them there to the one that took them off. */
  function rests() {
    const putAt = new Map(drawn.flatMap((message, number) => (message.isResponse ? [] : [[message.place, number]])));
    return drawn.flatMap((message, number) => {
      const put = takes(message) ? putAt.get(model.parentOf(message.place)) : undefined;
      if (put === undefined || put >= number || drawn[put].to !== message.from) return [];
      return [svg("path", { class: "rest", "aria-hidden": "true", d: `M${x(message.from)} ${put * MESSAGE_HEIGHT + 20}V${number * MESSAGE_HEIGHT + 20}` })];
    });
  }

  return element("div", { class: "sequence-box", tabindex: "0", role: "region", "aria-label": "Sequence of messages" },
    element("div", { class: "sequence-head" }, head), body,
    messages.length > drawn.length ? element("p", { class: "muted" }, `The first ${count(drawn.length)} of ${count(messages.length)} messages. Close calls in the waterfall to see the later ones.`) : null);
}

/** @param {string} text @param {number} letters @returns {string} */
function cut(text, letters) {
  return text.length > letters ? `${text.slice(0, letters - 1)}\u2026` : text;
}
