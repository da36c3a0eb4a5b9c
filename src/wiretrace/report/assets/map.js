// A layered drawing of the services: callers left of what they call, the more calls the wider the arrow.

import { svg } from "./dom.js";
import { count, duration, percent } from "./format.js";

/** @typedef {{ client: string, server: string, protocol: string, calls: number, errors: number, p95: number }} Edge */
/** @typedef {{ name: string, layer: number, slot: number, x: number, y: number }} Box */

const BOX_WIDTH = 150;
const BOX_HEIGHT = 34;
const LAYER_WIDTH = 290;
const SLOT_HEIGHT = 62;
const MARGIN = 16;
const NAME_LETTERS = 20;
/** How small the drawing may be made so that it fits the page; where that is not enough, it scrolls. */
const SMALLEST = 0.75;
/** Rounds of ordering each layer by its neighbours: few crossings, and a bounded time. */
const ROUNDS = 4;

/** @param {Edge[]} edges @returns {SVGElement} */
export function serviceMap(edges) {
  const boxes = laidOut(edges);
  const width = Math.max(...boxes.map((box) => box.x), 0) + BOX_WIDTH + MARGIN;
  const height = Math.max(...boxes.map((box) => box.y), 0) + BOX_HEIGHT + MARGIN;
  const byName = new Map(boxes.map((box) => [box.name, box]));
  const most = Math.max(...edges.map((edge) => edge.calls), 1);
  const map = svg("svg", { class: "map", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": "Map of services" },
    edges.map((edge) => drawnEdge(edge, /** @type {Box} */ (byName.get(edge.client)), /** @type {Box} */ (byName.get(edge.server)), most)),
    boxes.map(drawnBox));
  map.style.minWidth = `${Math.round(width * SMALLEST)}px`;
  return map;
}

/** @param {Edge[]} edges @returns {Box[]} */
function laidOut(edges) {
  /** @type {Map<string, Box>} */
  const boxes = new Map();
  for (const name of edges.flatMap((edge) => [edge.client, edge.server])) {
    if (!boxes.has(name)) boxes.set(name, { name, layer: 0, slot: 0, x: 0, y: 0 });
  }
  const links = withoutCircles(edges, [...boxes.keys()]);
  for (let round = 0, moved = true; moved && round <= boxes.size; round++) {
    moved = false;
    for (const [from, to] of links) {
      const [caller, callee] = [boxes.get(from), boxes.get(to)];
      if (caller && callee && callee.layer <= caller.layer) {
        callee.layer = caller.layer + 1;
        moved = true;
      }
    }
  }
  /** @type {Box[][]} */
  const layers = [];
  for (const box of boxes.values()) (layers[box.layer] ??= []).push(box);
  layers.forEach((layer) => layer.forEach((box, slot) => { box.slot = slot; }));
  for (let round = 0; round < ROUNDS; round++) {
    for (const layer of layers) {
      const centres = new Map(layer.map((box) => [box, centre(box, links, boxes)]));
      layer.sort((left, right) => (centres.get(left) ?? 0) - (centres.get(right) ?? 0));
      layer.forEach((box, slot) => { box.slot = slot; });
    }
  }
  const tallest = Math.max(...layers.map((layer) => layer.length), 1);
  for (const layer of layers) {
    for (const box of layer) {
      box.x = MARGIN + box.layer * LAYER_WIDTH;
      box.y = MARGIN + (box.slot + (tallest - layer.length) / 2) * SLOT_HEIGHT;
    }
  }
  return [...boxes.values()];
}

/** The links that remain when those that close a circle are left out. @param {Edge[]} edges @param {string[]} names @returns {[string, string][]} */
function withoutCircles(edges, names) {
  /** @type {Map<string, Set<string>>} */
  const callees = new Map(names.map((name) => [name, new Set()]));
  /** @type {[string, string][]} */
  const kept = [];
  for (const { client, server } of [...edges].sort((left, right) => right.calls - left.calls)) {
    if (client === server || callees.get(client)?.has(server) || reaches(callees, server, client)) continue;
    callees.get(client)?.add(server);
    kept.push([client, server]);
  }
  return kept;
}

/** @param {Map<string, Set<string>>} callees @param {string} from @param {string} to @returns {boolean} */
function reaches(callees, from, to) {
  const seen = new Set([from]);
  for (const name of seen) {
    if (name === to) return true;
    for (const callee of callees.get(name) ?? []) seen.add(callee);
  }
  return false;
}

/** Mean slot of the neighbours. @param {Box} box @param {[string, string][]} links @param {Map<string, Box>} boxes @returns {number} */
function centre(box, links, boxes) {
  const slots = links.filter((link) => link.includes(box.name)).map(([from, to]) => boxes.get(from === box.name ? to : from)?.slot ?? 0);
  return slots.length ? slots.reduce((sum, slot) => sum + slot, 0) / slots.length : box.slot;
}

/** @param {Edge} edge @param {Box} from @param {Box} to @param {number} most @returns {SVGElement} */
function drawnEdge(edge, from, to, most) {
  const forward = to.layer > from.layer;
  const [x1, y1] = [from.x + (forward ? BOX_WIDTH : BOX_WIDTH / 2), from.y + (forward ? BOX_HEIGHT / 2 : BOX_HEIGHT)];
  const [x2, y2] = [to.x + (forward ? 0 : BOX_WIDTH / 2), to.y + (forward ? BOX_HEIGHT / 2 : BOX_HEIGHT)];
  const path = forward
    ? `M${x1},${y1} C${x1 + 60},${y1} ${x2 - 60},${y2} ${x2 - 7},${y2}`
    : `M${x1},${y1} C${x1},${y1 + 40} ${x2},${y2 + 40} ${x2},${y2 + 7}`;
  const head = forward ? `M${x2},${y2} l-9,-5 v10 z` : `M${x2},${y2} l-5,9 h10 z`;
  const label = `${edge.client} calls ${edge.server} (${edge.protocol}): ${count(edge.calls)} calls, ${count(edge.errors)} errors, p95 ${duration(edge.p95)}`;
  return svg("g", { class: edge.errors ? "edge failing" : "edge" },
    svg("title", {}, label),
    svg("path", { class: "line", d: path, "stroke-width": 1 + (3 * Math.log1p(edge.calls)) / Math.log1p(most) }),
    svg("path", { class: "tip", d: head }),
    svg("text", { x: x2 - (forward ? 14 : 0), y: y2 - (forward ? 7 : -32), "text-anchor": forward ? "end" : "middle" },
      edge.errors ? `\u2715 ${percent(edge.errors, edge.calls)} \u00b7 ` : "", `p95 ${duration(edge.p95)}`));
}

/** @param {Box} box @returns {SVGElement} */
function drawnBox(box) {
  const name = box.name || "(not known)";
  const short = name.length > NAME_LETTERS ? `${name.slice(0, NAME_LETTERS - 1)}\u2026` : name;
  return svg("g", { class: "service" }, svg("title", {}, name),
    svg("rect", { x: box.x, y: box.y, width: BOX_WIDTH, height: BOX_HEIGHT, rx: 6 }),
    svg("text", { x: box.x + BOX_WIDTH / 2, y: box.y + BOX_HEIGHT / 2 + 4, "text-anchor": "middle" }, short));
}
