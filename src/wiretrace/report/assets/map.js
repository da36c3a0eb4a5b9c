// The drawing of the services as layout.py lays them out: callers left of what they call, the more calls the wider the line.

import { svg } from "./dom.js";
import { count, duration, percent } from "./format.js";

/** @typedef {{ client: string, server: string, protocol: string, calls: number, errors: number, p50: number, p95: number }} Edge */
/** @typedef {{ boxes: Record<string, [number, number]>, lines: [number, number][][] }} Layout */

const BOX_WIDTH = 150;
const BOX_HEIGHT = 40;
const LAYER_WIDTH = 270;
const SLOT_HEIGHT = 78;
const MARGIN = 20;
const NAME_LETTERS = 19;
/** How small the drawing may be made so that it fits the page; where that is not enough, it scrolls. */
const SMALLEST = 0.7;

/** @param {Edge[]} edges @param {Layout} layout @param {string} measure "", "calls" or "errors" @param {import("./hues.js").Hues} hues
 * @param {(edge: Edge) => string} addressOf where a line leads @returns {SVGElement} */
export function serviceMap(edges, layout, measure, hues, addressOf) {
  const boxes = Object.entries(layout.boxes);
  const x = (/** @type {number} */ layer) => MARGIN + layer * LAYER_WIDTH;
  const y = (/** @type {number} */ slot) => MARGIN + slot * SLOT_HEIGHT;
  const width = x(Math.max(...boxes.map(([, [layer]]) => layer), 0)) + BOX_WIDTH + MARGIN;
  const height = y(Math.max(...boxes.map(([, [, slot]]) => slot), ...layout.lines.flat().map(([, slot]) => slot), 0)) + BOX_HEIGHT + MARGIN;
  const most = Math.max(...edges.map((edge) => edge.calls), 1);
  const slowest = Math.max(...edges.map((edge) => edge.p95), 2);
  /** @type {Map<string, { calls: number, errors: number }>} */
  const asked = new Map();
  for (const edge of edges) {
    const sum = asked.get(edge.server) ?? { calls: 0, errors: 0 };
    asked.set(edge.server, { calls: sum.calls + edge.calls, errors: sum.errors + edge.errors });
  }
  const map = svg("svg", { class: "map", viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": "Map of services" },
    edges.map((edge, number) => drawnEdge(edge, layout.lines[number].map(([layer, slot]) => [x(layer), y(slot) + BOX_HEIGHT / 2]), { most, slowest, measure, address: addressOf(edge) })),
    boxes.map(([name, [layer, slot]]) => drawnBox(name, x(layer), y(slot), hues.of(name), asked.get(name))));
  map.style.minWidth = `${Math.round(width * SMALLEST)}px`;
  return map;
}

/** @param {string} name @param {number} x @param {number} y @param {string} hue @param {{ calls: number, errors: number } | undefined} asked */
function drawnBox(name, x, y, hue, asked) {
  const shown = name.length > NAME_LETTERS ? `${name.slice(0, NAME_LETTERS - 1)}\u2026` : name || "(not known)";
  const figures = asked ? `${count(asked.calls)} calls${asked.errors ? ` \u00b7 \u2715 ${count(asked.errors)}` : ""}` : "calls from outside";
  return svg("g", { class: `service ${asked?.errors ? "failing" : ""}` }, svg("title", {}, `${name}: ${figures}`),
    svg("rect", { x, y, width: BOX_WIDTH, height: BOX_HEIGHT, rx: 7 }), svg("rect", { class: `hue ${hue}`, x, y, width: 5, height: BOX_HEIGHT, rx: 2 }),
    svg("text", { class: "name", x: x + BOX_WIDTH / 2, y: y + 17, "text-anchor": "middle" }, shown), svg("text", { class: "figures", x: x + BOX_WIDTH / 2, y: y + 32, "text-anchor": "middle" }, figures));
}

/** @param {Edge} edge @param {number[][]} way middles of the boxes and waypoints that it passes
 * @param {{ most: number, slowest: number, measure: string, address: string }} scale @returns {SVGElement} */
function drawnEdge(edge, way, { most, slowest, measure, address }) {
  const share = measure === "calls" ? Math.log1p(edge.calls) / Math.log1p(most)
    : measure === "errors" ? edge.errors / edge.calls : Math.log1p(edge.p95 / 1000) / Math.log1p(slowest / 1000);
  const width = 1.5 + 5 * share;
  const label = measure === "calls" ? count(edge.calls) : measure === "errors" ? (edge.errors ? `\u2715 ${percent(edge.errors, edge.calls)}` : "none") : duration(edge.p95);
  const { path, middle, tip } = curve(way);
  return svg("a", { href: address, class: `edge ${edge.errors ? "failing" : ""}`, "aria-label": `${edge.client} calls ${edge.server} ${count(edge.calls)} times, ${count(edge.errors)} failed, p95 ${duration(edge.p95)}` },
    svg("title", {}, `${edge.client} \u2192 ${edge.server} (${edge.protocol}): ${count(edge.calls)} calls, ${count(edge.errors)} failed, p50 ${duration(edge.p50)}, p95 ${duration(edge.p95)}`),
    svg("path", { class: "line", d: path, "stroke-width": width.toFixed(1) }), svg("path", { class: "tip", d: tip }),
    svg("text", { x: middle[0], y: middle[1] - 6, "text-anchor": "middle" }, edge.errors && measure !== "errors" ? `\u2715 ${label}` : label));
}

/** A smooth line from the side of the first box over waypoints to the side of the last. @param {number[][]} way
 * @returns {{ path: string, middle: number[], tip: string }} */
function curve(way) {
  const [first, last] = [way[0], way[way.length - 1]];
  if (way.length === 1) {
    const [x, y] = [first[0] + BOX_WIDTH / 2, first[1] - BOX_HEIGHT / 2];
    return { path: `M${x - 20} ${y}c0 -24 40 -24 40 -3`, middle: [x, y - 14], tip: `M${x + 20} ${y}l-4.5 -9h9z` };
  }
  const forward = last[0] >= first[0];
  const from = [first[0] + (forward ? BOX_WIDTH : 0), first[1]];
  const to = [last[0] + (forward ? 0 : BOX_WIDTH), last[1] + (forward ? 0 : 10)];
  const points = [from, ...way.slice(1, -1).map(([x, y]) => [x + BOX_WIDTH / 2, y]), [to[0] + (forward ? -8 : 8), to[1]]];
  if (!forward) from[1] += 10;
  let path = `M${points[0].join(" ")}`;
  for (let number = 1; number < points.length; number++) {
    const [before, after] = [points[number - 1], points[number]];
    const bend = (after[0] - before[0]) / 2;
    path += `C${before[0] + bend} ${before[1]} ${after[0] - bend} ${after[1]} ${after[0]} ${after[1]}`;
  }
  const middle = points.length % 2 ? points[(points.length - 1) / 2] : [0, 1].map((axis) => (points[points.length / 2 - 1][axis] + points[points.length / 2][axis]) / 2);
  return { path, middle, tip: `M${to[0]} ${to[1]}l${forward ? -10 : 10} -5v10z` };
}
