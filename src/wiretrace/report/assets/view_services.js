// Who calls whom: a layered map where it is small enough to read, and the same as a table always.

import { element } from "./dom.js";
import { termFor } from "./filter.js";
import { serviceMap } from "./map.js";
import { table } from "./parts.js";
import { routeTo } from "./router.js";
import { figureColumns } from "./view_overview.js";

/** @typedef {import("./main.js").App} App */

/** Services beyond which a drawing is a tangle and the table serves better. */
const SERVICES_DRAWN = 40;

/** The services and the calls between them. */
export class ServicesView {
  /** @param {App} app */
  constructor(app) {
    const edges = app.overview.edges;
    const names = new Set(edges.flatMap((/** @type {any} */ edge) => [edge.client, edge.server]));
    this.title = "Services";
    this.node = element("div", { class: "page", tabindex: "-1" },
      element("h1", { id: "view-title" }, "Who calls whom"),
      names.size > SERVICES_DRAWN ? element("p", { class: "muted" }, `${names.size} services and callers are too many to draw (more than ${SERVICES_DRAWN}); the table holds them all.`)
        : element("div", { class: "map-box", tabindex: "0", role: "region", "aria-label": "Map of services; the table below says the same" }, serviceMap(edges)),
      table("The most errors first, then the slowest", [
        { title: "From", cell: (row) => row.client || "(not known)", key: (row) => row.client },
        { title: "To", key: (row) => row.server, cell: (row) => element("a", { href: routeTo(["trees"], { filter: `any.${termFor("client", row.client)} any.${termFor("service", row.server)}` }) }, row.server || "(not known)") },
        { title: "Protocol", cell: (row) => row.protocol, key: (row) => row.protocol },
        ...figureColumns(),
      ], edges));
  }

  update() {}

  focus() {
    this.node.focus({ preventScroll: true });
  }

  key() {
    return false;
  }
}
