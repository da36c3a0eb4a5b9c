// What differs between some trees and others: values that are more frequent in them, and operations that take longer.

import { element } from "./dom.js";
import { termFor } from "./filter.js";
import { count, counted, duration, percent } from "./format.js";
import { downloads, meter } from "./parts.js";
import { outcomeClass, outcomeLabel } from "./words.js";

/** @typedef {import("./model.js").Model} Model */
/** @typedef {import("./blocks.js").TextColumn} TextColumn */
/** @typedef {{ words: string, term: string, inside: number, outside: number, score: number }} Difference */
/** @typedef {{ words: string, term: string, inside: number, outside: number }} Slower */

const DIFFERENCES_SHOWN = 8;
const SLOWER_SHOWN = 5;
/** Standard errors from which a difference is told. */
const TELLING = 3;

/** Values that are more frequent inside than outside, the surest first.
 * @param {Model} model @param {Uint32Array} inside @param {Uint32Array} outside @returns {Difference[]} */
export function differences(model, inside, outside) {
  /** @type {Difference[]} */
  const found = [];
  const ofRoot = (/** @type {string} */ name, /** @type {TextColumn} */ column) => {
    const [a, b] = [inside, outside].map((trees) => rootCounts(model, trees, column));
    compare(found, column.words, a, b, inside.length, outside.length, (word) => ({ words: `${name} ${word}`, term: termFor(name, word) }));
  };
  const ofAny = (/** @type {string} */ name, /** @type {TextColumn} */ column, /** @type {(word: string) => { words: string, term: string } | null} */ tell) => {
    const [a, b] = [inside, outside].map((trees) => anyCounts(model, trees, column));
    compare(found, column.words, a, b, inside.length, outside.length, tell);
  };
  ofRoot("operation", model.operation);
  ofRoot("client", model.client);
  ofRoot("status", model.status);
  ofAny("service", model.server, (word) => ({ words: `asks ${word}`, term: termFor("service", word) }));
  ofAny("host", model.serverAt, (word) => ({ words: `goes to host ${word}`, term: termFor("host", word) }));
  ofAny("operation", model.operation, (word) => ({ words: `holds ${word}`, term: `any.${termFor("operation", word)}` }));
  ofAny("status", model.status, (word) => (word ? { words: `a call ends in ${word}`, term: `any.${termFor("status", word)}` } : null));
  ofAny("outcome", model.outcome, (word) => (outcomeClass(word) === "ok" ? null : { words: `a call is ${outcomeLabel(word)}`, term: `any.${termFor("outcome", word)}` }));
  const [a, b] = [inside, outside].map((trees) => stalledCount(model, trees));
  compare(found, ["stalled"], Uint32Array.of(a), Uint32Array.of(b), inside.length, outside.length, () => ({ words: "a call waits for lost segments", term: "stalled>0" }));
  const seen = new Set();
  return found.sort((left, right) => right.score - left.score)
    .filter((each) => !seen.has(each.words) && seen.add(each.words)).slice(0, DIFFERENCES_SHOWN);
}

/** Operations in which a tree inside spends more time of its own than one outside, on average, the most first.
 * @param {Model} model @param {Uint32Array} inside @param {Uint32Array} outside @returns {Slower[]} */
export function slower(model, inside, outside) {
  const self = model.allSelfTimes();
  const width = model.operation.words.length;
  const times = (/** @type {Uint32Array} */ trees) => {
    /** @type {Map<number, number>} */
    const sums = new Map();
    for (const tree of trees) {
      for (let place = model.first[tree], end = place + model.callCount[tree]; place < end; place++) {
        const key = model.server.codes[place] * width + model.operation.codes[place];
        sums.set(key, (sums.get(key) ?? 0) + self[place]);
      }
    }
    return sums;
  };
  const [ins, outs] = [times(inside), times(outside)];
  const found = [...ins].map(([key, sum]) => {
    const operation = model.operation.words[key % width];
    const service = model.server.words[Math.floor(key / width)];
    return { words: `${operation} (${service})`, term: `${termFor("service", service)} any.${termFor("operation", operation)}`,
      inside: sum / inside.length, outside: outside.length ? (outs.get(key) ?? 0) / outside.length : 0 };
  });
  return found.filter((each) => each.inside > each.outside * 1.2).sort((left, right) => right.inside - right.outside - left.inside + left.outside).slice(0, SLOWER_SHOWN);
}

/** The panel beside the heatmap. @param {Model} model @param {Uint32Array} inside @param {Uint32Array} outside
 * @param {(term: string) => void} add adds a term to the filter @param {() => void} clear @returns {HTMLElement} */
export function explanation(model, inside, outside, add, clear) {
  const comparable = Boolean(inside.length && outside.length);
  const values = comparable ? differences(model, inside, outside) : [];
  const times = comparable ? slower(model, inside, outside) : [];
  const head = element("p", { class: "explain-head" }, element("b", {}, `${counted(inside.length, "tree")} in the region`), ` against ${count(outside.length)} outside `,
    element("button", { type: "button", class: "small", click: clear }, "Clear the region"),
    comparable ? downloads("region", () => differenceTable(values, times)) : null);
  if (!comparable) return element("div", { class: "explain" }, head, element("p", { class: "muted" }, "There is nothing to compare."));
  const longest = Math.max(...times.map((each) => each.inside), 1);
  const button = (/** @type {string} */ words, /** @type {string} */ term) => element("button", { type: "button", class: "term", title: `Add ${term} to the filter`, click: () => add(term) }, words);
  return element("div", { class: "explain" }, head,
    element("div", { class: "explain-columns" },
      element("div", {}, element("h3", {}, "More frequent inside"), values.length ? element("table", { class: "plain" }, element("tbody", {}, values.map((each) => element("tr", {},
        element("th", { scope: "row" }, button(each.words, each.term)), element("td", {}, meter(each.inside)), element("td", { class: "number" }, percent(each.inside, 1)),
        element("td", { class: "muted" }, `outside ${percent(each.outside, 1)}`))))) : element("p", { class: "muted" }, "No value stands out.")),
      element("div", {}, element("h3", {}, "Takes longer inside"), times.length ? element("table", { class: "plain" }, element("tbody", {}, times.map((each) => element("tr", {},
        element("th", { scope: "row" }, button(each.words, each.term)), element("td", {}, meter(each.inside / longest)), element("td", { class: "number" }, duration(each.inside)),
        element("td", { class: "muted" }, `outside ${duration(each.outside)} a tree`))))) : element("p", { class: "muted" }, "No operation takes longer."))));
}

/** What the panel says, for downloads. @param {Difference[]} values @param {Slower[]} times @returns {{ titles: string[], rows: unknown[][] }} */
function differenceTable(values, times) {
  return {
    titles: ["difference", "filter", "share_inside", "share_outside", "self_ns_inside", "self_ns_outside"],
    rows: [...values.map((each) => [each.words, each.term, each.inside, each.outside, null, null]), ...times.map((each) => [each.words, each.term, null, null, each.inside, each.outside])],
  };
}

/** @param {Difference[]} found @param {string[]} words @param {Uint32Array} inside @param {Uint32Array} outside
 * @param {number} insideTotal @param {number} outsideTotal @param {(word: string) => { words: string, term: string } | null} tell */
function compare(found, words, inside, outside, insideTotal, outsideTotal, tell) {
  if (!insideTotal || !outsideTotal) return;
  for (let code = 0; code < words.length; code++) {
    const [a, b] = [inside[code] / insideTotal, outside[code] / outsideTotal];
    if (a <= b) continue;
    const share = (inside[code] + outside[code] + 1) / (insideTotal + outsideTotal + 2);
    const score = (a - b) / Math.sqrt(share * (1 - share) * (1 / insideTotal + 1 / outsideTotal));
    const told = score >= TELLING ? tell(words[code]) : null;
    if (told) found.push({ ...told, inside: a, outside: b, score });
  }
}

/** Trees that hold a call that was stalled. @param {Model} model @param {Uint32Array} trees @returns {number} */
function stalledCount(model, trees) {
  let count = 0;
  for (const tree of trees) {
    for (let place = model.first[tree], end = place + model.callCount[tree]; place < end; place++) {
      if (model.stalled[place] > 0) {
        count += 1;
        break;
      }
    }
  }
  return count;
}

/** Trees by the word of their root. @param {Model} model @param {Uint32Array} trees @param {TextColumn} column @returns {Uint32Array} */
function rootCounts(model, trees, column) {
  const counts = new Uint32Array(column.words.length);
  for (const tree of trees) counts[column.codes[model.first[tree]]] += 1;
  return counts;
}

/** Trees that hold a call with each word. @param {Model} model @param {Uint32Array} trees @param {TextColumn} column @returns {Uint32Array} */
function anyCounts(model, trees, column) {
  const counts = new Uint32Array(column.words.length);
  const last = new Int32Array(column.words.length).fill(-1);
  for (const tree of trees) {
    for (let place = model.first[tree], end = place + model.callCount[tree]; place < end; place++) {
      const code = column.codes[place];
      if (last[code] === tree) continue;
      last[code] = tree;
      counts[code] += 1;
    }
  }
  return counts;
}
