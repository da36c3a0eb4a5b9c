// Who calls whom: a layered map where it is small enough to read, and the same as a table always.

import { element } from "./dom.js";
import { termFor } from "./filter.js";
import { serviceMap } from "./map.js";
import { choice, table } from "./parts.js";
import { replaceRoute, routeTo } from "./router.js";
import { figureColumns } from "./view_overview.js";

/** @typedef {import("./main.js").App} App */
/** @typedef {import("./router.js").Route} Route */

/** What the lines of the map tell. @type {[string, string][]} */
const MEASURES = [["", "Time (p95)"], ["calls", "Calls"], ["errors", "Errors"]];

/** The services and the calls between them. */
export class MapView {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.title = "Map";
    const { edges, map, totals } = app.overview;
    this.head = element("div", { class: "title-line" });
    this.box = element("div", { class: "map-box", tabindex: "0", role: "region", "aria-label": "Map of services; the table below says the same" });
    const names = new Set(edges.flatMap((/** @type {any} */ edge) => [edge.client, edge.server]));
    this.node = element("div", { class: "page", tabindex: "-1" }, this.head,
      map ? this.box : element("p", { class: "muted" }, edges.length ? `${names.size} services and callers are too many to draw; the table holds them all.` : "No calls were captured."),
      table("services", "The most errors first, then the slowest", [
        { title: "From", cell: (row) => row.client || "(not known)", key: (row) => row.client },
        { title: "To", key: (row) => row.server, cell: (row) => [element("i", { class: `swatch ${app.hues.of(row.server)}` }), element("a", { href: edgeAddress(row) }, row.server || "(not known)")] },
        { title: "Protocol", cell: (row) => row.protocol, key: (row) => row.protocol },
        ...figureColumns(totals.end - totals.start),
      ], edges));
  }

  /** @param {Route} route */
  update(route) {
    const measure = MEASURES.some(([name]) => name === route.query.get("by")) ? route.query.get("by") ?? "" : "";
    this.head.replaceChildren(element("h1", { id: "view-title" }, "Who calls whom"), choice("What the lines tell", MEASURES, measure, (name) => {
      const address = routeTo(["map"], { by: name });
      replaceRoute(address);
      this.update({ ...route, query: new URLSearchParams({ by: name }) });
    }));
    const { edges, map } = this.app.overview;
    if (map) this.box.replaceChildren(serviceMap(edges, map, measure, this.app.hues, edgeAddress));
  }

  focus() {
    this.node.focus({ preventScroll: true });
  }

  key() {
    return false;
  }
}

/** The trees that hold calls between two services. @param {any} edge @returns {string} */
function edgeAddress(edge) {
  return routeTo(["trees"], { filter: `any.${termFor("client", edge.client)} ${termFor("service", edge.server)}` });
}
