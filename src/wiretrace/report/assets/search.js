// Applies a filter and an order to the trees. Text is looked at once per distinct word, then only numbers are compared.

import { numberMatches, textMatches } from "./filter.js";

/** @typedef {import("./model.js").Model} Model */
/** @typedef {import("./filter.js").Filter} Filter */
/** @typedef {import("./filter.js").FieldTerm} FieldTerm */
/** @typedef {import("./blocks.js").TextColumn} TextColumn */
/** @typedef {import("./blocks.js").Numbers} Numbers */

/** Columns that can order the list of trees. */
export const SORTS = ["start", "service", "operation", "status", "outcome", "duration", "calls", "errors", "questions"];

/** Which trees satisfy a filter, by start. @param {Model} model @param {Filter} filter @returns {Uint32Array} */
export function findTrees(model, filter) {
  const kept = new Uint8Array(model.treeCount).fill(1);
  for (const { word, negated } of filter.words) keep(kept, treesWithWord(model, word), negated);
  for (const term of filter.fields) keep(kept, treesWithField(model, term), term.negated);
  const found = new Uint32Array(model.treeCount);
  let size = 0;
  for (let tree = 0; tree < kept.length; tree++) if (kept[tree]) found[size++] = tree;
  return found.subarray(0, size);
}

/** Orders trees in place. Equal ones stay by start.
 * @param {Model} model @param {Uint32Array} trees @param {string} sort a name of SORTS @param {boolean} falling */
export function sortTrees(model, trees, sort, falling) {
  if (sort === "start" && !falling) return;
  const keys = sortKeys(model, sort);
  const sign = falling ? -1 : 1;
  trees.sort((left, right) => sign * (keys[left] - keys[right]) || left - right);
}

/** @param {Uint8Array} kept @param {Uint8Array} matching @param {boolean} negated */
function keep(kept, matching, negated) {
  const wanted = negated ? 0 : 1;
  for (let tree = 0; tree < kept.length; tree++) if (matching[tree] !== wanted) kept[tree] = 0;
}

/** @param {Model} model @param {string} word @returns {Uint8Array} */
function treesWithWord(model, word) {
  const calls = new Uint8Array(model.id.codes.length);
  for (const column of [model.summary, model.operation, model.client, model.server, model.status, model.outcome, model.protocol]) {
    markRows(calls, column, (text) => text.toLowerCase().includes(word));
  }
  if (/^[0-9a-f]{4,16}$/.test(word)) markRows(calls, model.id, (text) => text.startsWith(word));
  return treesWithCall(model, calls);
}

/** @param {Model} model @param {FieldTerm} term @returns {Uint8Array} */
function treesWithField(model, term) {
  const trees = new Uint8Array(model.treeCount);
  const values = term.field === "stalled" ? model.stalled : model.duration;
  const isNumber = term.field === "stalled" || term.field === "duration";
  if (term.any) {
    const calls = new Uint8Array(model.id.codes.length);
    if (isNumber) for (let place = 0; place < calls.length; place++) calls[place] = Number(numberMatches(term, values[place]));
    else markRows(calls, textColumn(model, term.field), textTest(term));
    return treesWithCall(model, calls);
  }
  const numbers = treeNumbers(model, term.field);
  if (numbers) {
    if (term.field === "start") term = { ...term, number: Number(term.time - model.origin) };
    for (let tree = 0; tree < trees.length; tree++) trees[tree] = Number(numberMatches(term, numbers[tree]));
    return trees;
  }
  if (isNumber) {
    for (let tree = 0; tree < trees.length; tree++) trees[tree] = Number(numberMatches(term, values[model.first[tree]]));
    return trees;
  }
  const column = textColumn(model, term.field);
  const test = textTest(term);
  const matching = new Int8Array(column.words.length).fill(-1);
  for (let tree = 0; tree < trees.length; tree++) {
    const code = column.codes[model.first[tree]];
    if (matching[code] < 0) matching[code] = Number(test(column.words[code]));
    trees[tree] = matching[code];
  }
  return trees;
}

/** @param {Uint8Array} rows @param {TextColumn} column @param {(text: string) => boolean} test */
function markRows(rows, column, test) {
  const matching = Uint8Array.from(column.words, (word) => Number(test(word)));
  if (!matching.includes(1)) return;
  for (let row = 0; row < rows.length; row++) rows[row] |= matching[column.codes[row]];
}

/** @param {Model} model @param {Uint8Array} calls @returns {Uint8Array} */
function treesWithCall(model, calls) {
  const trees = new Uint8Array(model.treeCount);
  for (let tree = 0, place = 0; tree < trees.length; tree++) {
    for (const end = place + model.callCount[tree]; place < end; place++) trees[tree] |= calls[place];
  }
  return trees;
}

/** @param {FieldTerm} term @returns {(text: string) => boolean} */
function textTest(term) {
  if (term.field === "path") return (text) => textMatches(term, pathOf(text));
  return (text) => textMatches(term, text);
}

/** The path in a summary such as "GET /orders/42?page=2"; empty if it has none. @param {string} summary @returns {string} */
function pathOf(summary) {
  return /^[A-Z]+ (?:[a-z]+:\/\/[^/ ]*)?(\/[^? ]*)/.exec(summary)?.[1] ?? "";
}

/** @param {Model} model @param {string} field @returns {TextColumn} */
function textColumn(model, field) {
  switch (field) {
    case "service": return model.server;
    case "client": return model.client;
    case "host": return model.serverAt;
    case "protocol": return model.protocol;
    case "operation": return model.operation;
    case "status": return model.status;
    case "outcome": return model.outcome;
    case "id": return model.id;
    default: return model.summary;
  }
}

/** @param {Model} model @param {string} field @returns {Numbers | null} */
function treeNumbers(model, field) {
  switch (field) {
    case "start": return model.treeStart;
    case "duration": return model.treeDuration;
    case "calls": return model.callCount;
    case "errors": return model.errors;
    case "questions": return model.questions;
    default: return null;
  }
}

/** @param {Model} model @param {string} sort @returns {Numbers} */
function sortKeys(model, sort) {
  const numbers = treeNumbers(model, sort);
  if (numbers) return numbers;
  const column = textColumn(model, sort);
  const rising = Uint32Array.from(column.words.keys()).sort((left, right) => compareWords(column.words[left], column.words[right]));
  const ranks = new Uint32Array(rising.length);
  for (let rank = 0; rank < rising.length; rank++) ranks[rising[rank]] = rank;
  return Uint32Array.from(model.first, (place) => ranks[column.codes[place]]);
}

/** @param {string} left @param {string} right @returns {number} */
function compareWords(left, right) {
  return left < right ? -1 : Number(left > right);
}
