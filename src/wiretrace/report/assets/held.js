// What the page says where it holds only some of the trees of its case.

import { element } from "./dom.js";
import { count, counted } from "./format.js";

/** What this page leaves out, and how to see it; nothing where it holds all. @param {any} overview @returns {HTMLElement | null} */
export function heldNote({ held, totals }) {
  if (held.trees >= totals.trees) return null;
  const failed = held.failedTrees === held.allFailedTrees ? `all ${counted(held.failedTrees, "tree")} with failed calls`
    : `${count(held.failedTrees)} of the ${counted(held.allFailedTrees, "tree")} with failed calls`;
  return element("p", { class: "held" },
    element("b", {}, `This page holds ${count(held.trees)} of ${counted(totals.trees, "tree")}: `),
    `${failed}, the slowest ones, and an even sample of the rest. The figures on the first screen count all calls. To list every tree: `,
    element("code", {}, "wiretrace show CASE --limit 0"), "; to draw one of them: ", element("code", {}, "wiretrace show CASE ID"), ".");
}
