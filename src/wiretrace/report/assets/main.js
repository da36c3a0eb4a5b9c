// Starts the page: the frame around the views, the address, the keyboard, the theme and the time zone.

import { element } from "./dom.js";
import { Clock } from "./format.js";
import { helpDialog } from "./help.js";
import { Hues } from "./hues.js";
import { Model } from "./model.js";
import { parseRoute } from "./router.js";
import { AboutView } from "./view_about.js";
import { CompareView } from "./view_compare.js";
import { ConnectionsView } from "./view_connections.js";
import { CoverageView } from "./view_coverage.js";
import { MapView } from "./view_map.js";
import { OverviewView } from "./view_overview.js";
import { TreeView } from "./view_tree.js";
import { TreesView } from "./view_trees.js";

/**
 * @typedef {object} App what every view may use
 * @property {any} overview the figures of the first screen, as overview.py writes them
 * @property {Clock} clock
 * @property {Hues} hues
 * @property {Model} model trees and calls; only views that wait for it may use it
 * @property {number} lastTree tree that was opened last; -1 if none
 * @property {string} treesAddress the list of trees as it was left
 * @property {() => void} back to that list
 */
/** @typedef {{ title: string, node: HTMLElement, update: (route: any) => void, key: (event: KeyboardEvent) => boolean, focus: () => void }} View */

/** Views by the first part of the address; those that need the model wait until it is decoded. */
/** @type {Record<string, { make: (app: App) => View, waits: boolean, tab: string }>} */
const VIEWS = {
  overview: { make: (app) => new OverviewView(app), waits: false, tab: "overview" },
  map: { make: (app) => new MapView(app), waits: false, tab: "map" },
  services: { make: (app) => new MapView(app), waits: false, tab: "map" },
  connections: { make: (app) => new ConnectionsView(app), waits: true, tab: "connections" },
  coverage: { make: (app) => new CoverageView(app), waits: false, tab: "coverage" },
  compare: { make: (app) => new CompareView(app), waits: false, tab: "compare" },
  about: { make: (app) => new AboutView(app), waits: false, tab: "about" },
  trees: { make: (app) => new TreesView(app), waits: true, tab: "trees" },
  tree: { make: (app) => new TreeView(app), waits: true, tab: "trees" },
};

const overviewData = JSON.parse(document.getElementById("overview")?.textContent ?? "{}");
const TABS = [["overview", "Overview", "#/"], ["trees", "Trees", "#/trees"], ["map", "Map", "#/map"], ["connections", "Connections", "#/connections"],
  ["coverage", "Coverage", "#/coverage"], ...(overviewData.comparison ? [["compare", "Compare", "#/compare"]] : []), ["about", "About", "#/about"]];
/** @type {App} */
const app = {
  overview: overviewData,
  clock: new Clock(overviewData.origin),
  hues: new Hues(),
  model: /** @type {any} */ (null),
  lastTree: -1,
  treesAddress: "#/trees",
  back,
};
/** @type {View | null} */
let view = null;
let viewName = "";
/** Views that were shown before, by name. @type {Map<string, View>} */
const views = new Map();
const main = element("main", { id: "main", tabindex: "-1" });
const help = helpDialog();
const tabs = TABS.map(([, title, href]) => element("a", { href }, title));
const zoneButton = element("button", { type: "button", click: changeZone }, "UTC");
const themeButton = element("button", { type: "button", click: changeTheme }, "Theme");

document.body.append(
  element("a", { class: "skip", href: "#main", click: (event) => { event.preventDefault(); view?.focus(); } }, "Skip to content"),
  element("header", { class: "bar-top" },
    element("a", { class: "brand", href: "#/" }, "wiretrace"),
    element("nav", { "aria-label": "Views" }, tabs),
    element("div", { class: "tools" },
      zoneButton, themeButton,
      element("button", { type: "button", "aria-label": "Help: keys and filter language", click: () => help.showModal() }, "?"))),
  overviewData.keepsValues ? element("p", { class: "banner", role: "note" }, "This report keeps captured values readable: it was made with redaction of values turned off. Handle it as you would the captures.") : "",
  overviewData.packets ? element("p", { class: "banner", role: "note" }, "This report holds captured packets as they were, not redacted. Handle it as you would the captures.") : "",
  main, help);
for (const edge of overviewData.edges) app.hues.of(edge.server); // the same hue whatever is looked at first
labelZone();
labelTheme();

/** Decoded once the whole file has been read. @type {Promise<void>} */
const modelReady = documentRead().then(() => Model.load(overviewData.callsPerBlock, app.clock.origin)).then((model) => { app.model = model; });

window.addEventListener("hashchange", () => show());
document.addEventListener("keydown", key);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", labelTheme);
show();

/** Shows what the address names. */
async function show() {
  const hash = location.hash;
  const route = parseRoute(hash);
  const name = Object.hasOwn(VIEWS, route.view) ? route.view : "overview";
  if (VIEWS[name].waits && !app.model) {
    if (!view) main.replaceChildren(element("p", { class: "empty", role: "status" }, "Reading the calls\u2026"));
    await modelReady;
    if (location.hash !== hash) return;
  }
  const isNew = name !== viewName;
  if (isNew) {
    view = views.get(name) ?? VIEWS[name].make(app);
    views.set(name, view);
    viewName = name;
    main.replaceChildren(view.node);
    main.scrollTop = 0;
  }
  view?.update(route);
  if (isNew) view?.focus();
  document.title = `${view?.title} \u2013 wiretrace report`;
  tabs.forEach((tab, number) => {
    if (TABS[number][0] === VIEWS[name].tab) {
      tab.setAttribute("aria-current", "page");
      tab.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else tab.removeAttribute("aria-current");
  });
}

/** @param {KeyboardEvent} event */
function key(event) {
  const typing = event.target instanceof Element && event.target.closest("input, textarea, select");
  if (typing || help.open || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target instanceof Element && event.target.closest("button, a") && (event.key === "Enter" || event.key === " ")) return;
  if (event.key === "?") help.showModal();
  else if (event.key === "/" && viewName !== "trees") {
    location.hash = app.treesAddress;
    modelReady.then(() => setTimeout(() => document.getElementById("filter")?.focus()));
  } else if (event.key >= "1" && Number(event.key) <= TABS.length) location.hash = TABS[Number(event.key) - 1][2];
  else {
    view?.key(event);
    return;
  }
  event.preventDefault();
}

/** To the list of trees as it was left. */
function back() {
  location.hash = app.treesAddress;
}

function changeZone() {
  app.clock.local = !app.clock.local;
  labelZone();
  viewName = "";
  views.clear();
  show();
}

function labelZone() {
  zoneButton.textContent = app.clock.local ? "Local time" : "UTC";
  zoneButton.setAttribute("aria-label", `Times are shown in ${app.clock.local ? "local time" : "UTC"}; change`);
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
}

function changeTheme() {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  labelTheme();
  document.dispatchEvent(new Event("themechange"));
}

function labelTheme() {
  themeButton.textContent = isDark() ? "Light" : "Dark";
  themeButton.setAttribute("aria-label", `Change to ${isDark() ? "light" : "dark"} colours`);
}

/** @returns {Promise<void>} */
function documentRead() {
  if (document.readyState !== "loading") return Promise.resolve();
  return new Promise((resolve) => { document.addEventListener("DOMContentLoaded", () => resolve(), { once: true }); });
}
