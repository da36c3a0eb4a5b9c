// Numbers, durations and times as a person reads them. Durations are nanoseconds.

const WHOLE = new Intl.NumberFormat("en");

/** @param {number} value @returns {string} */
export function count(value) {
  return WHOLE.format(value);
}

/** "1 call", "2 calls". @param {number} value @param {string} noun @param {string} [plural] @returns {string} */
export function counted(value, noun, plural = `${noun}s`) {
  return `${count(value)} ${value === 1 ? noun : plural}`;
}

/** Three significant digits and a unit. @param {number} nanoseconds @returns {string} */
export function duration(nanoseconds) {
  const size = Math.abs(nanoseconds);
  if (size < 999.5) return `${Math.round(nanoseconds)} ns`;
  if (size < 999_500) return `${significant(nanoseconds / 1e3)} µs`;
  if (size < 999_500_000) return `${significant(nanoseconds / 1e6)} ms`;
  if (size < 119.5e9) return `${significant(nanoseconds / 1e9)} s`;
  const seconds = Math.round(nanoseconds / 1e9);
  if (Math.abs(seconds) < 7200) return `${Math.trunc(seconds / 60)} min ${Math.abs(seconds % 60)} s`;
  return `${WHOLE.format(Math.trunc(seconds / 3600))} h ${Math.trunc(Math.abs(seconds % 3600) / 60)} min`;
}

/** @param {number} bytes @returns {string} */
export function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit ? significant(value) : count(value)} ${units[unit]}`;
}

/**
 * How sure a link is, as the terminal says it: never rounded up to certainty, nor down to nothing. A link by judgement
 * is never certain. @param {number} value @param {string} link what it rests on @returns {string}
 */
export function linkProbability(value, link) {
  const share = link === "stated" || link === "measured" ? value : Math.min(value, 0.999);
  if (share > 0 && share < 0.005) return "<1%";
  if (share >= 0.995 && share < 1) return ">99%";
  return `${Math.round(100 * share)}%`;
}

/** A share in per cent, likewise. @param {number} part @param {number} whole @returns {string} */
export function percent(part, whole) {
  if (!whole || !part) return "0 %";
  const value = (100 * part) / whole;
  if (part < whole && value > 99.9) return "> 99.9 %";
  if (value < 0.1) return "< 0.1 %";
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} %`;
}

/** How often a second. @param {number} times @param {number} nanoseconds @returns {string} */
export function rate(times, nanoseconds) {
  if (nanoseconds <= 0) return "\u2013";
  const value = (times * 1e9) / nanoseconds;
  return `${value >= 100 ? count(Math.round(value)) : significant(value)}/s`;
}

/** Times of the report: nanoseconds from an origin, shown in UTC or in the reader's own zone. */
export class Clock {
  /** @param {string} origin nanoseconds since the epoch */
  constructor(origin) {
    this.origin = BigInt(origin);
    this.local = false;
  }

  /** Date and time of day to the microsecond. @param {number} nanoseconds from the origin @returns {string} */
  full(nanoseconds) {
    return `${this.parts(nanoseconds).join(" ")} ${this.local ? "local" : "UTC"}`;
  }

  /** UTC to the nanosecond, as programs read it. @param {number} nanoseconds from the origin @returns {string} */
  iso(nanoseconds) {
    const absolute = this.origin + BigInt(Math.round(nanoseconds));
    const date = new Date(Number(absolute / 1_000_000n));
    if (Number.isNaN(date.getTime())) return String(absolute);
    return `${date.toISOString().slice(0, -1)}${String(absolute % 1_000_000n).padStart(6, "0")}Z`;
  }

  /** Time of day to the microsecond. @param {number} nanoseconds from the origin @returns {string} */
  timeOfDay(nanoseconds) {
    return this.parts(nanoseconds)[1];
  }

  /** @param {number} nanoseconds @returns {[string, string]} date, time */
  parts(nanoseconds) {
    const absolute = this.origin + BigInt(Math.round(nanoseconds));
    const date = new Date(Number(absolute / 1_000_000n));
    if (Number.isNaN(date.getTime())) return ["", `${absolute} ns`];
    if (this.local) date.setMinutes(date.getMinutes() - date.getTimezoneOffset());
    const text = date.toISOString();
    const micros = String((absolute / 1000n) % 1000n).padStart(3, "0");
    return [text.slice(0, -14), `${text.slice(-13, -1)}${micros}`];
  }
}

/** @param {number} value @returns {string} */
function significant(value) {
  const size = Math.abs(value);
  return value.toFixed(size < 9.995 ? 2 : size < 99.95 ? 1 : 0);
}
