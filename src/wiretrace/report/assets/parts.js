// Small parts that every view is made of: outcome marks, copy buttons, plain tables, bars of shares.

import { element } from "./dom.js";
import { mark, outcomeClass, outcomeLabel } from "./words.js";

/** @typedef {import("./dom.js").Child} Child */
/** @typedef {{ title: string, number?: boolean, hint?: string, cell: (row: any) => Child | Child[], key?: (row: any) => number | string }} TableColumn */

/** Rows of a plain table that are shown before "show all". */
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

/** A button that copies a text. @param {string} text @param {string} label what it copies @returns {HTMLElement} */
export function copyButton(text, label) {
  const button = element("button", { type: "button", class: "small", "aria-label": `Copy ${label}` }, "Copy");
  button.addEventListener("click", async () => {
    button.textContent = (await copied(text)) ? "Copied" : "Not allowed";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  return button;
}

/** Text to copy, with its button. @param {string} text @param {string} label @returns {HTMLElement} */
export function copyLine(text, label) {
  return element("div", { class: "copy-line" }, element("code", {}, text), copyButton(text, label));
}

/** Names and values. @param {[string, Child | Child[]][]} entries @returns {HTMLElement} */
export function definitions(entries) {
  return element("dl", {}, entries.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}

/**
 * A table whose columns sort when their heads are pressed. Rows come in the order given.
 * @param {string} caption @param {TableColumn[]} columns @param {any[]} rows @returns {HTMLElement}
 */
export function table(caption, columns, rows) {
  let shown = [...rows];
  let limit = TABLE_ROWS;
  let sorted = -1;
  let falling = false;
  const body = element("tbody");
  const more = element("button", { type: "button", class: "more", click: () => { limit = rows.length; fill(); } });
  const heads = columns.map((column, number) => {
    const classes = column.number ? "number" : null;
    if (!column.key) return element("th", { scope: "col", class: classes, title: column.hint }, column.title);
    return element("th", { scope: "col", class: classes, title: column.hint, "aria-sort": "none" },
      element("button", { type: "button", click: () => sort(number) }, column.title));
  });

  /** @param {number} number */
  function sort(number) {
    falling = sorted === number ? !falling : Boolean(columns[number].number);
    sorted = number;
    const key = /** @type {(row: any) => number | string} */ (columns[number].key);
    shown = [...rows].sort((left, right) => {
      const [a, b] = [key(left), key(right)];
      return (falling ? -1 : 1) * (a < b ? -1 : Number(a > b));
    });
    heads.forEach((head, other) => {
      if (head.hasAttribute("aria-sort")) head.setAttribute("aria-sort", other === sorted ? (falling ? "descending" : "ascending") : "none");
    });
    fill();
  }

  function fill() {
    body.replaceChildren(...shown.slice(0, limit).map((row) => element("tr", {}, columns.map((column, number) =>
      element(number ? "td" : "th", { scope: number ? null : "row", class: column.number ? "number" : null }, column.cell(row))))));
    more.hidden = rows.length <= limit;
    more.textContent = `Show all ${rows.length}`;
  }

  fill();
  return element("div", { class: "table-box", tabindex: "0", role: "region", "aria-label": caption },
    element("table", {}, element("caption", {}, element("span", {}, caption)), element("thead", {}, element("tr", {}, heads)), body), more);
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
