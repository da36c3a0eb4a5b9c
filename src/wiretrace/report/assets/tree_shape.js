// What a tree is, beyond its calls: where subtrees end, who failed beneath whom, what is alike, and the critical path.
// Rows count from the root; they stand parent before child and siblings by start. Every step is linear in the calls.

import { selfTimes } from "./model.js";
import { outcomeClass } from "./words.js";

/** @typedef {import("./model.js").Model} Model */
/** @typedef {{ row: number, from: number, to: number }} Segment */

/** Siblings that ask the same and go the same way are folded from this number on. */
const FOLDED_FROM = 4;

/** The shape of one tree. */
export class TreeShape {
  /** @param {Model} model @param {number} tree */
  constructor(model, tree) {
    this.model = model;
    this.first = model.first[tree];
    this.count = model.callCount[tree];
    const { first, count } = this;
    /** Row behind the last call of each subtree. */
    this.end = new Uint32Array(count);
    /** Failed calls beneath each call. */
    this.failedBelow = new Uint32Array(count);
    /** Duration without the time that own calls cover. */
    this.self = selfTimes(model, first, first + count);
    /** Row of the first of the siblings that are alike; -1 where there are too few. */
    this.alike = new Int32Array(count).fill(-1);
    /** Rows that are alike, by the first of them. @type {Map<number, number[]>} */
    this.groups = new Map();
    /** Beginning and end of the tree, from the start of its root. */
    this.from = 0;
    this.to = 1;
    this.failed = failedOutcomes(model);
    this.measure();
    this.fold();
    /** Stretches of the critical path, the latest first. @type {Segment[]} */
    this.critical = criticalPath(model, first, this.end);
    /** Time on the critical path, by row. */
    this.onPath = new Float64Array(count);
    for (const { row, from, to } of this.critical) this.onPath[row] += to - from;
  }

  /** Row of the parent; -1 for the root. @param {number} row @returns {number} */
  parent(row) {
    const up = this.model.up[this.first + row];
    return up ? row - up : -1;
  }

  measure() {
    const { model, first, count } = this;
    const sizes = new Uint32Array(count).fill(1);
    for (let row = count - 1; row >= 0; row--) {
      const place = first + row;
      this.end[row] = row + sizes[row];
      const reach = Math.max(model.duration[place], model.serverStart[place] + model.serverDuration[place]);
      this.from = Math.min(this.from, model.start[place] - model.opening[place]);
      this.to = Math.max(this.to, model.start[place] + reach);
      const parent = this.parent(row);
      if (parent < 0) continue;
      sizes[parent] += sizes[row];
      this.failedBelow[parent] += this.failedBelow[row] + this.failed[model.outcome.codes[place]];
    }
  }

  /** Finds siblings whose whole subtrees ask the same with the same outcomes. */
  fold() {
    const { model, first, count } = this;
    const hash = new Int32Array(count);
    /** @type {Map<number, number[]>} */
    const byKey = new Map();
    for (let row = count - 1; row >= 0; row--) {
      const place = first + row;
      // The size of the subtree is part of it: a hash of zeros must not be that of a call with calls like it beneath.
      let own = Math.imul(hash[row] ^ model.operation.codes[place] ^ Math.imul(this.end[row] - row, 0x2545f491), 0x9e3779b1);
      own = Math.imul(own ^ (own >>> 15) ^ model.server.codes[place], 0x85ebca6b);
      own = Math.imul(own ^ (own >>> 13) ^ model.outcome.codes[place], 0xc2b2ae35);
      own = Math.imul(own ^ (own >>> 16) ^ model.question[place], 0x27d4eb2f);
      const parent = this.parent(row);
      if (parent < 0) continue;
      hash[parent] = Math.imul(hash[parent] + own, 0x165667b1) ^ own;
      const key = parent * 2 ** 32 + (own >>> 0);
      const rows = byKey.get(key);
      if (rows) rows.push(row);
      else byKey.set(key, [row]);
    }
    for (const rows of byKey.values()) {
      if (rows.length < FOLDED_FROM) continue;
      rows.reverse();
      this.groups.set(rows[0], rows);
      for (const row of rows) this.alike[row] = rows[0];
    }
  }

  /**
   * Rows that are in sight: not beneath a closed call, and of alike siblings one.
   * @param {Set<number>} closed rows whose subtree is not shown @param {Set<number>} unfolded first rows of groups that are shown in full
   * @returns {Uint32Array}
   */
  visible(closed, unfolded) {
    const rows = new Uint32Array(this.count);
    let size = 0;
    for (let row = 0; row < this.count;) {
      const group = this.alike[row];
      if (group >= 0 && group !== row && !unfolded.has(group)) {
        row = this.end[row];
        continue;
      }
      rows[size++] = row;
      row = closed.has(row) || (group === row && !unfolded.has(row)) ? this.end[row] : row + 1;
    }
    return rows.subarray(0, size);
  }
}

/** Whether each outcome word is a failure, by its number. @param {Model} model @returns {Uint8Array} */
export function failedOutcomes(model) {
  return Uint8Array.from(model.outcome.words, (word) => Number(outcomeClass(word) === "error"));
}

/**
 * What the root waited for, stretch by stretch: walked backwards from the end of a call, it was waiting for the child that
 * ended last before then, and before that child began for the one that ended last before that; what is left between is
 * the call's own. A child that outlives its parent kept nobody waiting, and neither did one that took a message off a queue. The same as diagnosis/critical_path.py.
 * @param {Model} model @param {number} first place of the root @param {Uint32Array} end row behind each subtree
 * @returns {Segment[]}
 */
export function criticalPath(model, first, end) {
  /** @type {Segment[]} */
  const path = [];
  const waiting = [{ row: 0, begin: model.start[first], at: model.start[first] + model.duration[first] }];
  for (let frame = waiting.pop(); frame; frame = waiting.pop()) {
    const { row, begin } = frame;
    let { at } = frame;
    for (const child of childrenByEnd(model, first, row, end)) {
      const place = first + child;
      const childEnd = model.start[place] + model.duration[place];
      if (model.follows[place] || childEnd > at || childEnd <= begin || model.duration[place] <= 0) continue;
      if (childEnd < at) path.push({ row, from: childEnd, to: at });
      at = Math.max(model.start[place], begin);
      waiting.push({ row: child, begin: at, at: childEnd });
    }
    if (at > begin) path.push({ row, from: begin, to: at });
  }
  return path.sort((left, right) => right.from - left.from);
}

/** The children of a row, the latest end first. @param {Model} model @param {number} first @param {number} row
 * @param {Uint32Array} end @returns {number[]} */
function childrenByEnd(model, first, row, end) {
  const children = [];
  for (let child = row + 1; child < end[row]; child = end[child]) children.push(child);
  const endOf = (/** @type {number} */ child) => model.start[first + child] + model.duration[first + child];
  return children.sort((left, right) => endOf(right) - endOf(left) || right - left);
}
