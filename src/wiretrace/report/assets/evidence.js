// Packets that stand in this file as pcapng, where it was made with them.

import { blockBytes } from "./blocks.js";
import { element } from "./dom.js";
import { count, counted, size } from "./format.js";
import { download } from "./export.js";
import { table } from "./parts.js";

/** @typedef {import("./main.js").App} App */
/** @typedef {{ id: string, title: string, packets: number, bytes: number, block: string, left: number }} Evidence */

/** A button that hands out the packets of a tree; nothing where the file does not hold them. @param {{ overview: any }} app @param {string} id @returns {HTMLElement | null} */
export function packetsButton({ overview }, id) {
  const found = (overview.packets ?? []).find((/** @type {Evidence} */ each) => each.id === id);
  return found ? saveButton(found) : null;
}

/** What the file holds of packets, and that they are not redacted. @param {App} app @returns {HTMLElement | null} */
export function packetsSection({ overview }) {
  const packets = overview.packets;
  if (!packets) return null;
  return element("section", {}, element("h2", {}, "Packets in this file"),
    element("p", { class: "held" }, element("b", {}, "These packets are not redacted: "), "they are copies of what was captured, with all that it holds. They stand here because the report was made with --with-packets."),
    table("packets", counted(packets.length, "selection"), [
      { title: "Packets of", key: (row) => row.title, cell: (row) => row.title },
      { title: "Packets", number: true, key: (row) => row.packets, cell: (row) => `${count(row.packets)}${row.left ? ` (${count(row.left)} left out)` : ""}` },
      { title: "Size", number: true, key: (row) => row.bytes, cell: (row) => size(row.bytes) },
      { title: "Save", plain: true, cell: (row) => saveButton(row) },
    ], packets));
}

/** @param {Evidence} evidence @returns {HTMLElement} */
function saveButton(evidence) {
  return element("button", { type: "button", class: "small", "aria-label": `Save the packets of ${evidence.title}`, click: async () => {
    download(`${evidence.id}.pcapng`, "application/x-pcapng", /** @type {BlobPart} */ (await blockBytes(evidence.block)));
  } }, `Save ${counted(evidence.packets, "packet")}`);
}
