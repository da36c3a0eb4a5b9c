// Where this report comes from: inputs, settings, limits that were hit, notes, bytes, links, packets, and the glossary.

import { element } from "./dom.js";
import { packetsSection } from "./evidence.js";
import { count, counted, linkProbability, percent, size } from "./format.js";
import { GLOSSARY } from "./glossary.js";
import { heldNote } from "./held.js";
import { copyButton, definitions, table } from "./parts.js";
import { ACCOUNTS, BASES, OUTCOMES } from "./words.js";

/** @typedef {import("./main.js").App} App */

/** The page about the page. */
export class AboutView {
  /** @param {App} app */
  constructor(app) {
    const { overview } = app;
    this.title = "About";
    this.node = element("div", { class: "page", tabindex: "-1" },
      element("h1", { id: "view-title" }, "About this report"),
      element("p", {}, `Made by wiretrace ${overview.wiretrace}. It is one file, holds all that it shows, and asks for nothing from any network. `,
        overview.keepsValues ? "Captured values were kept readable when it was made." : "Captured values were redacted before they were written: SQL literals, credentials, tokens, card numbers, e-mail addresses."),
      heldNote(overview), packetsSection(app), inputs(overview), limits(overview), notes(overview.notes),
      element("div", { class: "columns" }, linksBox(overview), accountingBox(overview.accounting)), settings(overview.settings), glossary());
  }

  update() {}

  focus() {
    this.node.focus({ preventScroll: true });
  }

  key() {
    return false;
  }
}

/** @param {any} overview @returns {HTMLElement} */
function inputs(overview) {
  return element("section", {}, element("h2", {}, "Inputs"), table("inputs", counted(overview.inputs.length, "file"), [
    { title: "File", key: (row) => row.path, cell: (row) => row.path },
    { title: "Size", number: true, key: (row) => row.bytes, cell: (row) => size(row.bytes) },
    { title: "SHA-256", key: (row) => row.sha256, cell: (row) => [element("code", {}, `${row.sha256.slice(0, 16)}\u2026 `), copyButton(row.sha256, `the SHA-256 of ${row.path}`)] },
  ], overview.inputs));
}

/** @param {any} overview @returns {HTMLElement} */
function limits(overview) {
  const hit = overview.notes.filter((/** @type {any} */ note) => note.kind === "limit_reached");
  const connections = overview.connections;
  const held = connections.held < connections.total;
  return element("section", {}, element("h2", {}, "Limits that were hit"),
    hit.length || held ? element("ul", {}, hit.map((/** @type {any} */ note) => element("li", {}, element("code", {}, note.subject), ` was reached ${note.count === 1 ? "once" : `${count(note.count)} times`}.`)),
      held ? element("li", {}, `This page holds ${count(connections.held)} of ${counted(connections.total, "connection")}: those that went wrong and the busiest.`) : null)
      : element("p", {}, "None: nothing was given up to keep memory bounded."));
}

/** @param {any[]} rows @returns {HTMLElement} */
function notes(rows) {
  return element("section", {}, element("h2", {}, "Notes"), rows.length ? table("notes", "What could not be seen or read", [
    { title: "Subject", key: (row) => row.subject, cell: (row) => row.subject },
    { title: "Kind", key: (row) => row.kind, cell: (row) => row.kind },
    { title: "Count", number: true, key: (row) => row.count, cell: (row) => count(row.count) },
    { title: "What it means", kind: "words", key: (row) => row.sentence, cell: (row) => row.sentence },
  ], rows) : element("p", {}, "Everything could be read."));
}

/** @param {any} overview @returns {HTMLElement} */
function linksBox({ links, totals }) {
  const kinds = ["stated", "measured", "inferred", "question"];
  const total = kinds.reduce((sum, kind) => sum + links[kind].count, 0);
  return element("section", {}, element("h2", {}, "Links between calls"),
    element("p", {}, total ? `${counted(total, "call")} of ${count(totals.calls)} ${total === 1 ? "has" : "have"} a parent.` : "No call was linked to another."),
    shares(kinds.map((kind) => [kind, links[kind].count])),
    element("table", { class: "plain" }, element("tbody", {}, kinds.map((kind) => element("tr", {},
      element("th", { scope: "row" }, element("span", { class: `badge ${kind}`, title: BASES[kind].sentence }, BASES[kind].label)),
      element("td", { class: "number" }, count(links[kind].count)),
      element("td", { class: "number" }, percent(links[kind].count, total)),
      element("td", { class: "muted" }, links[kind].confidence === null ? "" : `mean confidence ${linkProbability(links[kind].confidence, kind)}`))))));
}

/** A bar of shares; the table below it says the same in numbers. @param {[string, number][]} parts @returns {HTMLElement} */
function shares(parts) {
  const total = parts.reduce((sum, [, value]) => sum + value, 0);
  return element("div", { class: "shares", "aria-hidden": "true" }, parts.filter(([, value]) => value).map(([name, value]) => {
    const part = element("span", { class: name });
    part.style.flexGrow = String(value / total);
    return part;
  }));
}

/** @param {Record<string, number>} accounting @returns {HTMLElement} */
function accountingBox(accounting) {
  const captured = accounting.captured ?? 0;
  const fates = Object.entries(accounting).filter(([name, bytes]) => name !== "captured" && bytes);
  return element("section", {}, element("h2", {}, "Where every byte went"),
    element("p", {}, `${size(captured)} of payload ${ACCOUNTS.captured}.`),
    element("table", { class: "plain" }, element("tbody", {}, fates.sort((left, right) => right[1] - left[1]).map(([name, bytes]) => element("tr", {},
      element("td", { class: "number" }, size(bytes)),
      element("td", { class: "number" }, percent(bytes, captured)),
      element("td", {}, ACCOUNTS[name] ?? name))))));
}

/** @param {any} settings @returns {HTMLElement} */
function settings(settings) {
  const { limits: bounds = {}, ...rest } = settings;
  const shown = (/** @type {Record<string, any>} */ values) => definitions(Object.entries(values).map(([name, value]) => [name, typeof value === "number" ? count(value) : String(value)]));
  return element("section", {}, element("h2", {}, "Settings"), shown(rest),
    element("details", {}, element("summary", {}, "Limits of the analysis"), shown(bounds)));
}

/** @returns {HTMLElement} */
function glossary() {
  return element("section", {}, element("h2", {}, "Glossary"),
    element("div", { class: "columns" },
      element("div", {}, element("h3", {}, "Words"), definitions(GLOSSARY)),
      element("div", {}, element("h3", {}, "Outcomes"), definitions(Object.values(OUTCOMES).map(({ label, sentence }) => [label, sentence])),
        element("h3", {}, "What a link rests on"), definitions(Object.values(BASES).map(({ label, sentence }) => [label, sentence])))));
}
