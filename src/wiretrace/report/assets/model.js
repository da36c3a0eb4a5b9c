// The case as the page holds it: trees, calls by place, and details that are decoded when a call is opened.

import { readBlock, starts } from "./blocks.js";

/** @typedef {import("./blocks.js").Columns} Columns */
/** @typedef {import("./blocks.js").Numbers} Numbers */
/** @typedef {import("./blocks.js").TextColumn} TextColumn */

/** Blocks of details that are kept decoded. */
const DETAILS_KEPT = 8;
const CONFIDENCE_STEPS = 10_000;
const WEIGHT_STEPS = 1000;

/** Trees by start, and calls by place: each tree is a range of places, its root first. */
export class Model {
  /** @param {Columns} trees @param {Columns} calls @param {number} callsPerBlock @param {bigint} origin nanoseconds since the epoch */
  constructor(trees, calls, callsPerBlock, origin) {
    this.origin = origin;
    this.first = trees.numbers("first");
    this.callCount = trees.numbers("calls");
    this.errors = trees.numbers("errors");
    this.unknown = trees.numbers("unknown");
    this.questions = trees.numbers("questions");
    this.treeStart = trees.numbers("start");
    this.treeDuration = trees.numbers("duration");
    this.treeCount = this.first.length;

    this.id = calls.text("id");
    this.depth = calls.numbers("depth");
    this.up = calls.numbers("up");
    this.start = calls.numbers("start");
    this.duration = calls.numbers("duration");
    this.serverStart = calls.numbers("serverStart");
    this.serverDuration = calls.numbers("serverDuration");
    this.confidence = calls.numbers("confidence");
    this.question = calls.numbers("question");
    this.basis = calls.text("basis");
    /** Whether a call took a message off a queue that its parent put there. */
    this.follows = calls.numbers("follows");
    this.protocol = calls.text("protocol");
    this.operation = calls.text("operation");
    this.summary = calls.text("summary");
    this.status = calls.text("status");
    this.outcome = calls.text("outcome");
    this.client = calls.text("client");
    this.server = calls.text("server");
    this.clientAt = calls.text("clientAt");
    this.serverAt = calls.text("serverAt");
    this.connection = calls.numbers("connection");
    this.send = calls.numbers("send");
    this.receive = calls.numbers("receive");
    this.opening = calls.numbers("opening");
    this.stalled = calls.numbers("stalled");
    this.callTotal = this.depth.length;

    this.callsPerBlock = callsPerBlock;
    /** @type {Map<number, Promise<Columns>>} */
    this.details = new Map();
    /** @type {Map<string, number> | null} */
    this.places = null;
    /** @type {Map<number, number[]> | null} */
    this.byConnection = null;
    /** @type {Float64Array | null} */
    this.selfTimes = null;
  }

  /** @param {number} callsPerBlock @param {bigint} origin @returns {Promise<Model>} */
  static async load(callsPerBlock, origin) {
    const [trees, calls] = await Promise.all([readBlock("trees"), readBlock("calls")]);
    return new Model(trees, calls, callsPerBlock, origin);
  }

  /** Start of a call from the origin of the report. @param {number} place @returns {number} */
  startOf(place) {
    return this.treeStart[this.treeAt(place)] + this.start[place];
  }

  /** What a call asked for, in one line. @param {number} place @returns {string} */
  titleOf(place) {
    return this.summary.at(place) || this.operation.at(place) || "(not known)";
  }

  /** Calls on a connection, by their start. @param {number} connection @returns {number[]} */
  callsOn(connection) {
    if (!this.byConnection) {
      this.byConnection = new Map();
      for (let tree = 0, place = 0; tree < this.treeCount; tree++) {
        for (const end = place + this.callCount[tree]; place < end; place++) {
          const list = this.byConnection.get(this.connection[place]);
          if (list) list.push(place);
          else this.byConnection.set(this.connection[place], [place]);
        }
      }
    }
    if (connection < 0) return [];
    const found = this.byConnection.get(connection) ?? [];
    const starts = new Map(found.map((place) => [place, this.startOf(place)]));
    return [...found].sort((left, right) => (starts.get(left) ?? 0) - (starts.get(right) ?? 0) || left - right);
  }

  /** Duration of each call without the time that its own calls cover. @returns {Float64Array} */
  allSelfTimes() {
    if (!this.selfTimes) this.selfTimes = selfTimes(this, 0, this.callTotal);
    return this.selfTimes;
  }

  /** Place of the call with an id; -1 if there is none. @param {string} id @returns {number} */
  placeOf(id) {
    if (!this.places) {
      this.places = new Map();
      for (let place = 0; place < this.id.codes.length; place++) this.places.set(this.id.at(place), place);
    }
    return this.places.get(id) ?? -1;
  }

  /** Tree that holds a place. @param {number} place @returns {number} */
  treeAt(place) {
    let low = 0;
    let high = this.treeCount - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.first[middle] <= place) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Place of the parent; -1 for a root. @param {number} place @returns {number} */
  parentOf(place) {
    return this.up[place] ? place - this.up[place] : -1;
  }

  /** @param {number} place @returns {number | null} */
  confidenceOf(place) {
    return this.confidence[place] < 0 ? null : this.confidence[place] / CONFIDENCE_STEPS;
  }

  /** How the link to the parent is drawn: a basis, "question", or "" for a root. @param {number} place @returns {string} */
  linkOf(place) {
    if (!this.up[place]) return "";
    return this.question[place] ? "question" : this.basis.at(place);
  }

  /** What only an opened call shows. @param {number} place @returns {Promise<Details>} */
  async detailsOf(place) {
    const number = Math.floor(place / this.callsPerBlock);
    let block = this.details.get(number);
    if (!block) {
      block = readBlock(`details-${number}`);
      this.details.set(number, block);
      if (this.details.size > DETAILS_KEPT) this.details.delete(/** @type {number} */ (this.details.keys().next().value));
    }
    return new Details(await block, place % this.callsPerBlock, place);
  }
}

/**
 * Duration of each call without the time that its own calls cover; calls that only a question ties to it are left out.
 * Calls stand parent before child, siblings by start.
 * @param {Model} model @param {number} first @param {number} end range of places, whole trees @returns {Float64Array}
 */
export function selfTimes(model, first, end) {
  const self = Float64Array.from({ length: end - first }, (_, row) => Math.max(model.duration[first + row], 0));
  const covered = new Float64Array(end - first).fill(Number.NEGATIVE_INFINITY);
  for (let place = first; place < end; place++) {
    if (!model.up[place] || model.question[place] || model.follows[place]) continue;
    const parent = place - model.up[place];
    const limit = model.start[parent] + model.duration[parent];
    const from = Math.max(model.start[place], covered[parent - first], model.start[parent]);
    const to = Math.min(model.start[place] + model.duration[place], limit);
    if (to > from) {
      self[parent - first] -= to - from;
      covered[parent - first] = to;
    }
  }
  return self;
}

/** One call's details, read from its block. */
export class Details {
  /** @param {Columns} columns @param {number} row in the block @param {number} place of the call */
  constructor(columns, row, place) {
    this.columns = columns;
    this.row = row;
    this.place = place;
  }

  /** @param {string} name @returns {string} */
  text(name) {
    return this.columns.text(name).at(this.row);
  }

  /** @param {string} name @returns {number} */
  number(name) {
    return this.columns.numbers(name)[this.row];
  }

  /** A list of texts. @param {string} name @returns {string[]} */
  list(name) {
    const values = this.columns.text(`${name}_values`);
    return this.items(name).map((item) => values.at(item));
  }

  /** OpenTelemetry attributes; what is not a JSON object is shown as it is. @returns {[string, string][]} */
  attributes() {
    const text = this.text("attributes");
    if (!text) return [];
    try {
      const entries = Object.entries(JSON.parse(text));
      return entries.map(([key, value]) => [key, typeof value === "string" ? value : JSON.stringify(value)]);
    } catch {
      return [["attributes", text]];
    }
  }

  /** What each vantage point saw. */
  views() {
    const columns = this.columns;
    return this.items("views").map((view) => ({
      capture: columns.text("view_capture").at(view),
      role: columns.numbers("view_role")[view],
      proof: columns.text("view_proof").at(view),
      client: { address: columns.text("view_client_address").at(view), port: columns.numbers("view_client_port")[view] },
      server: { address: columns.text("view_server_address").at(view), port: columns.numbers("view_server_port")[view] },
      request: this.frames("request", view),
      response: this.frames("response", view),
    }));
  }

  /** Calls that may be the parent, the chosen one first; a rank of 0 where several are followed. Place -1 stands for
   * having none here: `elsewhere` then is the id of a call that the page does not hold, or empty for no call at all. */
  candidates() {
    const columns = this.columns;
    return this.items("candidates").map((item) => ({
      parent: this.parentAt("candidate_up", item),
      elsewhere: columns.text("candidate_elsewhere").at(item),
      rank: columns.numbers("candidate_rank")[item],
      basis: columns.text("candidate_basis").at(item),
      confidence: columns.numbers("candidate_confidence")[item] / CONFIDENCE_STEPS,
    }));
  }

  /** Evidence for the candidates, the weightiest first. */
  reasons() {
    const columns = this.columns;
    return this.items("reasons").map((item) => ({
      parent: this.parentAt("reason_up", item),
      kind: columns.text("reason_kind").at(item),
      detail: columns.text("reason_detail").at(item),
      weight: columns.numbers("reason_weight")[item] / WEIGHT_STEPS,
    }));
  }

  /** @param {string} side @param {number} view */
  frames(side, view) {
    const first = starts(this.columns.numbers(`${side}_frames`));
    const values = this.columns.numbers(`${side}_frames_values`);
    return {
      bytes: this.columns.numbers(`view_${side}_bytes`)[view],
      total: this.columns.numbers(`${side}_frames_total`)[view],
      frames: Array.from(values.subarray(first[view], first[view + 1])),
    };
  }

  /** Rows of a list column that belong to this call. @param {string} name @returns {number[]} */
  items(name) {
    const first = starts(this.columns.numbers(name));
    return Array.from({ length: first[this.row + 1] - first[this.row] }, (_, item) => first[this.row] + item);
  }

  /** @param {string} column @param {number} item @returns {number} */
  parentAt(column, item) {
    const up = this.columns.numbers(column)[item];
    return up ? this.place - up : -1;
  }
}
