// Small parts that every view is made of: outcome marks, copy buttons, tables with their downloads, tabs, meters.

import { element, svg } from "./dom.js";
import { csvOf, download, jsonOf, tsvOf } from "./export.js";
import { mark, outcomeClass, outcomeLabel } from "./words.js";

/** @typedef {import("./dom.js").Child} Child */
/** @typedef {string | number | null | undefined} Value */
/**
 * @typedef {object} TableColumn
 * @property {string} title
 * @property {boolean} [number] whether it holds numbers
 * @property {string} [hint]
 * @property {string} [kind] class of its cells
 * @property {(row: any) => Child | Child[]} cell
 * @property {(row: any) => Value} [key] what it sorts by, and what downloads hold
 * @property {boolean} [plain] whether it can not be sorted
 */

/** Rows of a table that are shown before "show all". */
const TABLE_ROWS = 50;

/** An outcome as mark and word. @param {string} outcome @param {string} [text] in place of the word @returns {HTMLElement} */
export function outcomeMark(outcome, text = outcomeLabel(outcome)) {
  const state = outcomeClass(outcome);
  return element("span", { class: `outcome ${state}` }, signOf(state), text);
}

/** A state's sign alone, hidden from screen readers because a word stands beside it. @param {string} state @returns {HTMLElement} */
export function signOf(state) {
  return element("span", { class: `sign ${state}`, "aria-hidden": "true" }, mark(state));
}

/** A button that copies a text, or what a function says when it is pressed. @param {string | (() => string)} text @param {string} label what it copies
 * @param {string} [word] on the button @returns {HTMLElement} */
export function copyButton(text, label, word = "Copy") {
  const button = element("button", { type: "button", class: "small", "aria-label": `Copy ${label}` }, word);
  button.addEventListener("click", async () => {
    button.textContent = (await copied(typeof text === "string" ? text : text())) ? "Copied" : "Not allowed";
    setTimeout(() => { button.textContent = word; }, 1500);
  });
  return button;
}

/** Text to copy, with its button. @param {string} text @param {string} label @returns {HTMLElement} */
export function copyLine(text, label) {
  return element("div", { class: "copy-line" }, element("code", {}, text), copyButton(text, label));
}

/** Names and values. @param {[string, Child | Child[]][]} entries @param {string | null} [kind] @returns {HTMLElement} */
export function definitions(entries, kind = null) {
  return element("dl", { class: kind }, entries.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}

/** A bar of a length from 0 to 1; the number stands beside it. @param {number} share @param {string} [kind] @returns {HTMLElement} */
export function meter(share, kind = "") {
  const fill = element("i");
  fill.style.width = `${Math.min(Math.max(100 * share, share > 0 ? 2 : 0), 100)}%`;
  return element("span", { class: `meter ${kind}`, "aria-hidden": "true" }, fill);
}

/** Bars side by side: how many in each part of the time, and how many of those failed. @param {number[]} all @param {number[]} failed
 * @param {string} label @returns {SVGElement} */
export function rateBars(all, failed, label) {
  const most = Math.max(...all, 1);
  const height = 40;
  return svg("svg", { class: "rate-bars", viewBox: `0 0 ${all.length * 4} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    all.map((value, part) => svg("rect", { class: "all", x: part * 4, width: 3, y: height - (height * value) / most, height: (height * value) / most })),
    failed.map((value, part) => (value ? svg("rect", { class: "failed", x: part * 4, width: 3, y: height - Math.max((height * value) / most, 3), height: Math.max((height * value) / most, 3) }) : null)));
}

/** Buttons of which one is pressed. @param {string} label @param {[string, string][]} choices value and title
 * @param {string} chosen @param {(value: string) => void} choose @returns {HTMLElement} */
export function choice(label, choices, chosen, choose) {
  return element("div", { class: "choice", role: "group", "aria-label": label }, choices.map(([value, title]) =>
    element("button", { type: "button", "aria-pressed": String(value === chosen), click: () => choose(value) }, title)));
}

/** Buttons that hand out rows: copied as a spreadsheet takes them, or saved as CSV and JSON. @param {string} name of the file @param {() => { titles: string[], rows: unknown[][] }} content
 * @returns {HTMLElement} */
export function downloads(name, content) {
  const save = (/** @type {boolean} */ asCsv) => {
    const { titles, rows } = content();
    if (asCsv) download(`${name}.csv`, "text/csv", csvOf(titles, rows));
    else download(`${name}.json`, "application/json", jsonOf(titles, rows));
  };
  const copy = copyButton(() => {
    const { titles, rows } = content();
    return tsvOf(titles, rows);
  }, `${name} as a table`);
  copy.classList.add("quiet");
  return element("span", { class: "downloads" }, copy,
    element("button", { type: "button", class: "small quiet", "aria-label": `Save ${name} as CSV`, click: () => save(true) }, "CSV"),
    element("button", { type: "button", class: "small quiet", "aria-label": `Save ${name} as JSON`, click: () => save(false) }, "JSON"));
}

/**
 * A table whose columns sort when their heads are pressed, and that can be saved. Rows come in the order given.
 * @param {string} name of its file @param {string} caption @param {TableColumn[]} columns @param {any[]} rows @returns {HTMLElement}
 */
export function table(name, caption, columns, rows) {
  let shown = [...rows];
  let limit = TABLE_ROWS;
  let sorted = -1;
  let falling = false;
  const body = element("tbody");
  const more = element("button", { type: "button", class: "more", click: () => { limit = rows.length; fill(); } });
  const heads = columns.map((column, number) => {
    const classes = `${column.number ? "number" : ""} ${column.kind ?? ""}`.trim() || null;
    if (!column.key || column.plain) return element("th", { scope: "col", class: classes, title: column.hint }, column.title);
    return element("th", { scope: "col", class: classes, title: column.hint, "aria-sort": "none" },
      element("button", { type: "button", click: () => sort(number) }, column.title));
  });

  /** @param {number} number */
  function sort(number) {
    falling = sorted === number ? !falling : Boolean(columns[number].number);
    sorted = number;
    const key = /** @type {(row: any) => Value} */ (columns[number].key);
    shown = [...rows].sort((left, right) => {
      const [a, b] = [key(left) ?? "", key(right) ?? ""];
      return (falling ? -1 : 1) * (a < b ? -1 : Number(a > b));
    });
    heads.forEach((head, other) => {
      if (head.hasAttribute("aria-sort")) head.setAttribute("aria-sort", other === sorted ? (falling ? "descending" : "ascending") : "none");
    });
    fill();
  }

  function fill() {
    body.replaceChildren(...shown.slice(0, limit).map((row) => element("tr", {}, columns.map((column, number) =>
      element(number ? "td" : "th", { scope: number ? null : "row", class: `${column.number ? "number" : ""} ${column.kind ?? ""}`.trim() || null }, column.cell(row))))));
    more.hidden = rows.length <= limit;
    more.textContent = `Show all ${rows.length}`;
  }

  fill();
  const saved = columns.filter((column) => column.key);
  const save = downloads(name, () => ({ titles: saved.map((column) => column.title), rows: shown.map((row) => saved.map((column) => column.key?.(row))) }));
  return element("div", { class: "table-frame" },
    element("div", { class: "table-head" }, element("span", { class: "muted" }, caption), save),
    element("div", { class: "table-box", tabindex: "0", role: "region", "aria-label": caption },
      element("table", { "aria-label": caption }, element("thead", {}, element("tr", {}, heads)), body), more));
}

/** @param {string} text @returns {Promise<boolean>} */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = /** @type {HTMLTextAreaElement} */ (element("textarea", { class: "off-screen" }));
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}
