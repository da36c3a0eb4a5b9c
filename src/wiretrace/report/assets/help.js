// The help: keys and the filter language, in a dialog.

import { element } from "./dom.js";
import { NUMBER_FIELDS, TEXT_FIELDS } from "./filter.js";

const KEYS = [
  ["j, k or arrows", "next and previous row"],
  ["Page Up, Page Down, Home, End", "further"],
  ["Enter", "open the tree; in a tree, go to the side panel"],
  ["Esc", "back: from the panel, from the tree, out of the filter"],
  ["\u2190, \u2192", "in a tree: to the parent, to the first child"],
  ["n, N", "in a tree: next and previous failed call"],
  ["/", "filter the trees"],
  ["1, 2, 3", "overview, trees, services"],
  ["?", "this help"],
];
const EXAMPLES = [
  ["checkout", "a word anywhere in the tree: summary, operation, service, status"],
  ["service:api", "the root call is to service api; * stands for any text: service:api*"],
  ["status!=200", "the root's status is not 200"],
  ["path~/orders", "the root's path contains /orders; !~ for does not contain"],
  ["duration>200ms calls>=5", "both must hold; durations in ns, us, ms, s, min"],
  ["any.service:redis any.status:ERR*", "some call of the tree, not only its root"],
  ["-outcome:ok", "a minus turns a term round"],
  ['"GET /a b"', "quotes keep a text together"],
];

/** @returns {HTMLDialogElement} */
export function helpDialog() {
  const dialog = /** @type {HTMLDialogElement} */ (element("dialog", { "aria-labelledby": "help-title" },
    element("form", { method: "dialog" }, element("h2", { id: "help-title" }, "Keys and filters"), element("button", { class: "small", "aria-label": "Close the help" }, "Close")),
    element("h3", {}, "Keys"), rows(KEYS, "kbd"),
    element("h3", {}, "Filter language"), rows(EXAMPLES, "code"),
    element("p", { class: "muted" }, `Fields: ${[...TEXT_FIELDS, ...NUMBER_FIELDS].join(", ")}. Case does not matter.`)));
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  return dialog;
}

/** @param {string[][]} entries @param {string} tag @returns {HTMLElement} */
function rows(entries, tag) {
  return element("dl", { class: "help-list" }, entries.map(([name, text]) =>
    element("div", {}, element("dt", {}, element(tag, {}, name)), element("dd", {}, text))));
}
