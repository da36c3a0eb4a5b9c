// The filter language: words and field:value terms, all of which must hold. Parsing only; search.js applies it.
// diagnosis/filter.py reads the same language for the command line: tests hold the two together.
//
//   checkout                 a word found anywhere in the tree
//   service:db               some call of the tree asks this service (* stands for any text); != : none does
//   status:200               the root call's field is the value
//   operation~orders         it contains the value;  != and !~ turn both round
//   duration>200ms calls>=5  numbers compare; durations take ns, us, ms, s, min
//   stalled>1ms              some call waited so long for lost segments, or for a receiver that was full
//   start>=2026-11-21T05:38:00.25Z   times are UTC
//   any.status:ERR*          some call of the tree, not only its root;  root.service:web  only its root
//   -status:200              a minus turns a term round

/** @typedef {{ word: string, negated: boolean }} WordTerm */
/** @typedef {{ field: string, any: boolean, operator: string, value: string, number: number, time: bigint, negated: boolean }} FieldTerm */
/** @typedef {{ words: WordTerm[], fields: FieldTerm[], error: string }} Filter */

export const TEXT_FIELDS = ["service", "client", "host", "protocol", "operation", "summary", "path", "status", "outcome", "id"];
export const NUMBER_FIELDS = ["duration", "stalled", "start", "calls", "errors", "questions"];
/** Fields of a tree as a whole: `any.` and `root.` mean nothing to them. */
const TREE_FIELDS = new Set(["start", "calls", "errors", "questions"]);
/** Fields of which a tree has many values: without a scope, any call counts. */
const MANY_VALUED = new Set(["service", "host", "stalled"]);
/** Fields that are durations. */
const DURATIONS = new Set(["duration", "stalled"]);

const TOKEN = /(?:[^\s"]|"[^"]*"?)+/g;
const TERM = /^(any\.|root\.)?([a-z]+)(!=|!~|>=|<=|:|=|~|>|<)(.*)$/is;
const INSTANT = /^(\d{4}-\d\d-\d\d)(?:t(\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?z?)?$/;
const PLAIN_NUMBER = /^-?\d+(?:\.\d*)?$/;
/** @type {Record<string, number>} */
const UNITS = { "": 1e6, ns: 1, us: 1e3, "µs": 1e3, ms: 1e6, s: 1e9, m: 6e10, min: 6e10 };

/**
 * Reads a filter. The terms before a mistake hold; `error` says in a sentence what the mistake is, or is empty.
 * @param {string} text @returns {Filter}
 */
export function parseFilter(text) {
  /** @type {Filter} */
  const filter = { words: [], fields: [], error: "" };
  for (const token of text.match(TOKEN) ?? []) {
    const negated = token.length > 1 && token.startsWith("-");
    const body = negated ? token.slice(1) : token;
    const match = body.startsWith('"') ? null : TERM.exec(body);
    if (!match) {
      filter.words.push({ word: unquoted(body).toLowerCase(), negated });
      continue;
    }
    const term = fieldTerm(match, negated);
    if (typeof term === "string") filter.error ||= term;
    else if (term) filter.fields.push(term);
  }
  return filter;
}

/** Whether a text satisfies a term. @param {FieldTerm} term @param {string} text @returns {boolean} */
export function textMatches(term, text) {
  const found = text.toLowerCase();
  switch (term.operator) {
    case "=": return globMatches(term.value, found);
    case "!=": return !globMatches(term.value, found);
    case "~": return found.includes(term.value);
    case "!~": return !found.includes(term.value);
    default: return numberMatches({ ...term, number: plainNumber(term.value) }, plainNumber(found));
  }
}

/** Whether a number satisfies a term; what is not a number satisfies none. @param {FieldTerm} term @param {number} value @returns {boolean} */
export function numberMatches(term, value) {
  switch (term.operator) {
    case "=": return value === term.number;
    case "!=": return value !== term.number;
    case ">": return value > term.number;
    case ">=": return value >= term.number;
    case "<": return value < term.number;
    case "<=": return value <= term.number;
    default: return false;
  }
}

/** A term that finds a value again, quoted where it must be. @param {string} field @param {string} value @returns {string} */
export function termFor(field, value) {
  return /^[^\s"*]+$/.test(value) ? `${field}:${value}` : `${field}:"${value.replace(/["*]/g, "*")}"`;
}

/** The same filter with the terms about the root call asked of any call. @param {string} text @returns {string} */
export function scopeless(text) {
  return (text.match(TOKEN) ?? []).map((token) => {
    const body = token.replace(/^-/, "");
    const match = body.startsWith('"') ? null : TERM.exec(body);
    const field = match?.[2].toLowerCase() ?? "";
    const isOfRoot = match && !match[1] && !MANY_VALUED.has(field) && !TREE_FIELDS.has(field) && field !== "duration";
    return isOfRoot ? `${token.startsWith("-") ? "-" : ""}any.${body}` : token;
  }).join(" ");
}

/** The term of a match, a sentence about what is wrong with it, or null while its value is still being typed.
 * @param {RegExpExecArray} match @param {boolean} negated @returns {FieldTerm | string | null} */
function fieldTerm([, scope = "", name, sign, rest], negated) {
  const field = name.toLowerCase();
  const value = unquoted(rest).toLowerCase();
  let operator = sign === ":" ? "=" : sign;
  const isNumber = NUMBER_FIELDS.includes(field);
  if (!isNumber && !TEXT_FIELDS.includes(field)) {
    return `There is no field \u201c${name}\u201d. Fields: ${[...TEXT_FIELDS, ...NUMBER_FIELDS].join(", ")}. Quote a word that holds a sign.`;
  }
  if (scope && TREE_FIELDS.has(field)) return `\u201c${field}\u201d is of the whole tree: leave out \u201c${scope}\u201d.`;
  if (!value) return null;
  let number = Number.NaN;
  let time = 0n;
  if (isNumber) {
    if (operator.endsWith("~")) return `\u201c${field}\u201d is a number: compare it with = != > >= < <=.`;
    if (field === "start") {
      const instant = instantOf(value);
      if (instant === null) return `\u201c${rest}\u201d is not a time: write 2026-11-21T05:38:00.25Z.`;
      time = instant;
      number = 0;
    } else {
      number = DURATIONS.has(field) ? durationOf(value) : plainNumber(value);
    }
    if (Number.isNaN(number)) {
      return DURATIONS.has(field) ? `\u201c${rest}\u201d is not a duration: write 200ms or 1.5s.` : `\u201c${rest}\u201d is not a number.`;
    }
  }
  const isMany = MANY_VALUED.has(field) && !scope;
  if (isMany && !isNumber && operator.startsWith("!")) {
    operator = operator === "!=" ? "=" : "~";
    negated = !negated;
  }
  return { field, any: isMany || scope.toLowerCase() === "any.", operator, value, number, time, negated };
}

/** Nanoseconds. @param {string} text @returns {number} */
function durationOf(text) {
  const match = /^(\d+(?:\.\d*)?|\.\d+)\s*([a-zµ]*)$/.exec(text);
  return match ? Number(match[1]) * (UNITS[match[2]] ?? Number.NaN) : Number.NaN;
}

/** Nanoseconds since the epoch; null if the text is no time. @param {string} text @returns {bigint | null} */
function instantOf(text) {
  const match = INSTANT.exec(text);
  if (!match) return null;
  const seconds = Date.parse(`${match[1]}T${(match[2] ?? "00:00").padEnd(8, ":00")}Z`);
  return Number.isNaN(seconds) ? null : BigInt(seconds) * 1_000_000n + BigInt((match[3] ?? "").padEnd(9, "0"));
}

/** @param {string} text @returns {number} */
function plainNumber(text) {
  return PLAIN_NUMBER.test(text) ? Number(text) : Number.NaN;
}

/** @param {string} pattern text in which * stands for any text @param {string} text @returns {boolean} */
function globMatches(pattern, text) {
  const parts = pattern.split("*");
  if (parts.length === 1) return pattern === text;
  const last = /** @type {string} */ (parts.pop());
  let at = 0;
  for (const [number, part] of parts.entries()) {
    const found = text.indexOf(part, at);
    if (found < 0 || (number === 0 && found > 0)) return false;
    at = found + part.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}

/** @param {string} text @returns {string} */
function unquoted(text) {
  return text.replaceAll('"', "");
}
