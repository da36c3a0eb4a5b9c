// A tree beside another, or beside the usual shape of its operation: calls are matched by the way from the root to them.

import { element } from "./dom.js";
import { count, counted, duration, percent } from "./format.js";
import { meter, signOf, table } from "./parts.js";
import { routeTo } from "./router.js";

/** @typedef {import("./main.js").App} App */
/** @typedef {import("./model.js").Model} Model */
/** @typedef {{ calls: number, time: number, failed: number }} Sum */
/**
 * Calls that stand on the same way from the root: service and operation of each call on it.
 * @typedef {object} Way
 * @property {string} service
 * @property {string} operation
 * @property {number} depth
 * @property {Map<number, Way>} below
 * @property {Sum} here in the tree that is shown
 * @property {Map<number, Sum>} there in each of the others
 */

/** Trees that make the usual shape, and calls in them that are looked at. */
const TREES_TAKEN = 300;
const CALLS_TAKEN = 200_000;
/** Ways that are told. */
const WAYS_SHOWN = 1000;
/** Share of the trees below which a way is unusual, and above which it is missed. */
const RARE = 0.05;
const COMMON = 0.5;
/** Factor from which more or slower is told, and share of the whole that slower calls must take at least. */
const MUCH_MORE = 1.5;
const WEIGHTY = 0.02;

/** @param {App} app @param {number} tree @param {string} other id of the tree to compare with; empty for the usual shape
 * @param {import("./tree_shape.js").TreeShape} shape @returns {HTMLElement} */
export function compareView(app, tree, other, shape) {
  const { model } = app;
  const otherTree = other ? model.placeOf(other) : -1;
  const others = otherTree >= 0 ? [model.treeAt(otherTree)] : peers(model, tree);
  const usual = otherTree < 0;
  const field = /** @type {HTMLInputElement} */ (element("input", { type: "search", id: "other-tree", spellcheck: "false", autocomplete: "off", placeholder: "id of a tree", value: other }));
  const compare = () => { location.hash = routeTo(["tree", model.id.at(model.first[tree])], { view: "compare", with: field.value.trim() }); };
  field.addEventListener("keydown", (event) => { if (event.key === "Enter") compare(); });
  const form = element("p", { class: "compare-form" }, element("label", { for: "other-tree" }, "Compare with"), field, element("button", { type: "button", click: compare }, "Compare"),
    usual ? null : element("a", { class: "button", href: routeTo(["tree", model.id.at(model.first[tree])], { view: "compare" }) }, "The usual shape instead"),
    peerLinks(model, tree));
  if (other && otherTree < 0) return element("div", { class: "page compare" }, form, element("p", { class: "held" }, `There is no tree ${other} in this report.`));
  if (!others.length) return element("div", { class: "page compare" }, form, element("p", { class: "muted" }, "No other tree here has this root operation: there is no usual shape to compare with."));
  const ways = merged(model, tree, others).filter((way) => way.here.calls || way.there.size / others.length > COMMON);
  const total = Math.max(model.duration[model.first[tree]], 1);
  const there = (/** @type {Way} */ way) => typical(way, others.length);
  return element("div", { class: "page compare" }, form,
    element("p", {}, usual ? `Beside the median of ${counted(others.length, "other tree")} of ${model.operation.at(model.first[tree])}.` : ["Beside tree ", element("a", { href: routeTo(["tree", model.id.at(model.first[others[0]])]) }, model.id.at(model.first[others[0]])), `, which took ${duration(model.treeDuration[others[0]])}.`],
      ` This one took ${duration(model.treeDuration[tree])}, in ${counted(shape.count, "call")}.`),
    table("comparison", `Calls by their way from the root; times are sums over the calls of a row${usual ? "; what is neither here nor in most others is left out" : ""}`, [
      { title: "Call", kind: "way", plain: true, key: (way) => `${"  ".repeat(way.depth)}${way.service}: ${way.operation}`, cell: (way) => {
        const name = element("span", { class: "way-name" }, element("i", { class: `swatch ${app.hues.of(way.service)}` }), element("b", {}, way.service), way.operation);
        name.style.paddingLeft = `${Math.min(way.depth, 16) * 14}px`;
        return name;
      } },
      { title: "Difference", plain: true, key: (way) => difference(way, there(way), others.length, usual, total).words, cell: (way) => {
        const { state, words } = difference(way, there(way), others.length, usual, total);
        return words ? element("span", { class: `outcome ${state}` }, signOf(state), words) : element("span", { class: "muted" }, "as usual");
      } },
      { title: "Calls here", number: true, plain: true, key: (way) => way.here.calls, cell: (way) => count(way.here.calls) },
      { title: usual ? "Usually" : "There", number: true, plain: true, key: (way) => there(way).calls, cell: (way) => count(there(way).calls) },
      { title: "Time here", number: true, plain: true, key: (way) => way.here.time, cell: (way) => (way.here.calls ? duration(way.here.time) : "\u2013") },
      { title: usual ? "Usually" : "There", number: true, plain: true, key: (way) => there(way).time, cell: (way) => (there(way).calls ? duration(there(way).time) : "\u2013") },
      { title: "Side by side", kind: "pair", plain: true, cell: (way) => [meter(way.here.time / total), meter(there(way).time / total, "faint")] },
      ...(usual ? [{ title: "Trees with it", number: true, plain: true, key: (/** @type {Way} */ way) => way.there.size / others.length, cell: (/** @type {Way} */ way) => percent(way.there.size, others.length) }] : []),
    ], ways.slice(0, WAYS_SHOWN)));
}

/** Links to the trees of the same operation that a person compares with: a typical one, and the slowest. @param {Model} model @param {number} tree */
function peerLinks(model, tree) {
  const others = peers(model, tree).sort((left, right) => model.treeDuration[left] - model.treeDuration[right]);
  if (!others.length) return null;
  const link = (/** @type {number} */ other, /** @type {string} */ words) => element("a", { class: "button", href: routeTo(["tree", model.id.at(model.first[tree])], { view: "compare", with: model.id.at(model.first[other]) }) }, `${words} (${duration(model.treeDuration[other])})`);
  return [link(others[Math.floor(others.length / 2)], "A typical one"), link(others[others.length - 1], "The slowest other")];
}

/** Other trees with the same root operation. @param {Model} model @param {number} tree @returns {number[]} */
function peers(model, tree) {
  const root = model.first[tree];
  const found = [];
  for (let other = 0; other < model.treeCount; other++) {
    const place = model.first[other];
    if (other !== tree && model.operation.codes[place] === model.operation.codes[root] && model.server.codes[place] === model.server.codes[root]) found.push(other);
  }
  const step = Math.max(Math.ceil(found.length / TREES_TAKEN), 1);
  const taken = found.filter((_, number) => number % step === 0);
  let calls = 0;
  return taken.filter((other) => (calls += model.callCount[other]) <= CALLS_TAKEN);
}

/** All ways of the trees, in the order of a walk from the root. @param {Model} model @param {number} tree @param {number[]} others @returns {Way[]} */
function merged(model, tree, others) {
  const none = { calls: 0, time: 0, failed: 0 };
  /** @type {Way} */
  const top = { service: "", operation: "", depth: -1, below: new Map(), here: none, there: new Map() };
  const width = model.operation.words.length;
  [tree, ...others].forEach((each, number) => {
    const first = model.first[each];
    /** @type {Way[]} */
    const ways = [];
    for (let row = 0; row < model.callCount[each]; row++) {
      const place = first + row;
      const parent = model.up[place] ? ways[row - model.up[place]] : top;
      const key = model.server.codes[place] * width + model.operation.codes[place];
      let way = parent.below.get(key);
      if (!way) {
        way = { service: model.server.at(place), operation: model.operation.at(place), depth: parent.depth + 1, below: new Map(), here: { ...none }, there: new Map() };
        parent.below.set(key, way);
      }
      ways.push(way);
      let sum = way.here;
      if (number) {
        sum = way.there.get(number) ?? { ...none };
        way.there.set(number, sum);
      }
      sum.calls += 1;
      sum.time += model.duration[place];
      sum.failed += Number(model.outcome.at(place) !== "ok");
    }
  });
  const result = [];
  const stack = [...top.below.values()].reverse();
  for (let way = stack.pop(); way; way = stack.pop()) {
    result.push(way);
    for (const below of [...way.below.values()].reverse()) stack.push(below);
  }
  return result;
}

/** The median of the other trees, those that lack the way counted with nothing. @param {Way} way @param {number} trees @returns {Sum} */
function typical(way, trees) {
  const median = (/** @type {keyof Sum} */ name) => {
    const values = [...way.there.values()].map((sum) => sum[name]).sort((left, right) => left - right);
    const at = Math.floor(trees / 2) - (trees - values.length);
    return at < 0 ? 0 : values[at];
  };
  return { calls: median("calls"), time: median("time"), failed: median("failed") };
}

/** What differs, in words. @param {Way} way @param {Sum} there @param {number} trees @param {boolean} usual @param {number} total
 * @returns {{ state: string, words: string }} */
function difference(way, there, trees, usual, total) {
  const share = way.there.size / trees;
  if (way.here.failed > there.failed) return { state: "error", words: way.here.failed === 1 ? "fails here" : `${count(way.here.failed)} fail here` };
  if (!way.here.calls) return share > COMMON ? { state: "question", words: usual ? "missing here" : "only there" } : { state: "ok", words: "" };
  if (share < RARE) return { state: "question", words: usual ? "unusual" : "only here" };
  if (there.calls && way.here.calls >= there.calls * MUCH_MORE) return { state: "question", words: `${(way.here.calls / there.calls).toFixed(1)} \u00d7 as many calls` };
  if (there.time && way.here.time >= there.time * MUCH_MORE && way.here.time - there.time >= total * WEIGHTY) return { state: "question", words: `${(way.here.time / there.time).toFixed(1)} \u00d7 as long` };
  return { state: "ok", words: "" };
}
