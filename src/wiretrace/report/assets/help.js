// The help: keys and the filter language, in a dialog.

import { element } from "./dom.js";
import { NUMBER_FIELDS, TEXT_FIELDS } from "./filter.js";

const KEYS = [
  ["j, k or arrows", "next and previous row"],
  ["Page Up, Page Down, Home, End", "further"],
  ["Enter", "open the tree; in a tree, go to the side panel"],
  ["Esc", "back: from the panel, from the tree, out of the filter"],
  ["/", "filter the trees"],
  ["h", "trees: to the heatmap; there the arrows move, with Shift they mark a region"],
  ["\u2190, \u2192", "tree: close, or go to the parent; open, or go to the first call beneath"],
  ["n, N", "tree: next and previous failed call"],
  ["p", "tree: next call on the critical path"],
  ["w, s, c", "tree: waterfall, sequence, compare"],
  ["u", "tree: show alike calls one by one, or fold them"],
  ["+, \u2212, 0", "tree: zoom in, out, to the whole"],
  ["1 \u2026 7", "the views, in the order of the bar above"],
  ["?", "this help"],
];
const EXAMPLES = [
  ["checkout", "a word anywhere in the tree: summary, operation, service, status"],
  ["service:db", "some call asks service db; * stands for any text: service:db*; != : none does"],
  ["host:app2", "some call goes to this host"],
  ["status!=200", "the status of the root call is not 200"],
  ["path~/orders", "the path of the root call contains /orders; !~ for does not contain"],
  ["duration>200ms calls>=5", "both must hold; durations in ns, us, ms, s, min"],
  ["stalled>1ms", "some call waited so long for lost segments, or for a receiver that was full"],
  ["start>=2026-11-21T05:38:00.25Z", "times are UTC"],
  ["any.status:ERR*", "some call of the tree, not only its root; root.service:web only its root"],
  ["-outcome:ok", "a minus turns a term round"],
  ['"GET /a b"', "quotes keep a text together"],
];

/** @returns {HTMLDialogElement} */
export function helpDialog() {
  const dialog = /** @type {HTMLDialogElement} */ (element("dialog", { "aria-labelledby": "help-title" },
    element("form", { method: "dialog" }, element("h2", { id: "help-title" }, "Keys and filters"), element("button", { class: "small", "aria-label": "Close the help" }, "Close")),
    element("h3", {}, "Keys"), rows(KEYS, "kbd"),
    element("h3", {}, "Filter language"), rows(EXAMPLES, "code"),
    element("p", { class: "muted" }, `Fields: ${[...TEXT_FIELDS, ...NUMBER_FIELDS].join(", ")}. Case does not matter. The command line reads the same language: wiretrace show CASE --where '\u2026'.`)));
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  return dialog;
}

/** @param {string[][]} entries @param {string} tag @returns {HTMLElement} */
function rows(entries, tag) {
  return element("dl", { class: "help-list" }, entries.map(([name, text]) =>
    element("div", {}, element("dt", {}, element(tag, {}, name)), element("dd", {}, text))));
}
