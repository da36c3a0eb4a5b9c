// Connections: how pools are used and how healthy they are; and the connections of one pool, each with its calls.

import { readBlock } from "./blocks.js";
import { element, svg } from "./dom.js";
import { count, counted, duration, percent, size } from "./format.js";
import { copyLine, definitions, signOf, table } from "./parts.js";
import { routeTo } from "./router.js";
import { conversationFilter } from "./view_call.js";

/** @typedef {import("./main.js").App} App */
/** @typedef {import("./router.js").Route} Route */
/** @typedef {import("./blocks.js").Columns} Columns */

/** Connections of a pool that are drawn. */
const LIVES_DRAWN = 300;
const LIFE_HEIGHT = 7;
const LIVES_WIDTH = 900;
/** Calls on a connection that are listed. */
const CALLS_LISTED = 200;
/** @type {Record<string, string>} */
const ENDINGS = {
  client_fin: "the client closed it", server_fin: "the server closed it", client_reset: "the client reset it", server_reset: "the server reset it",
  refused: "the server refused it", unanswered: "nobody answered", open: "still open when the capture ended",
};
const WENT_WRONG = new Set(["client_reset", "server_reset", "refused", "unanswered"]);

/** Pools, one pool, or one connection. */
export class ConnectionsView {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.title = "Connections";
    this.node = element("div", { class: "page", tabindex: "-1" }, element("h1", { id: "view-title" }, "Connections"));
    /** @type {Columns | null} */
    this.columns = null;
    this.wanted = "";
  }

  /** @param {Route} route */
  async update(route) {
    const [which = ""] = route.path;
    this.wanted = `${which}?${route.query}`;
    const now = this.wanted;
    if (which || route.query.has("pool")) this.columns ??= await readBlock("connections");
    if (this.wanted !== now) return;
    if (which) this.node.replaceChildren(...this.connection(Number(which)));
    else if (route.query.has("pool")) this.node.replaceChildren(...this.pool(Number(route.query.get("pool"))));
    else this.node.replaceChildren(...this.pools());
  }

  focus() {
    this.node.focus({ preventScroll: true });
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.key !== "Escape" || location.hash === "#/connections") return false;
    location.hash = "#/connections";
    return true;
  }

  /** @returns {HTMLElement[]} */
  pools() {
    const { pools, connections } = this.app.overview;
    return [
      element("h1", { id: "view-title" }, "Connections"),
      element("p", {}, `${counted(connections.total, "connection")} in ${counted(pools.length, "pool")}: those of one client host to one port of one server, as one vantage point saw them.`),
      table("pools", "The busiest first", [
        { title: "Client", key: (row) => row.client_address, cell: (row) => this.hostOf(row.client_address) },
        { title: "Server", key: (row) => `${row.server_address}:${row.server_port}`, cell: (row) => element("a", { href: routeTo(["connections"], { pool: String(pools.indexOf(row)) }) }, this.hostOf(row.server_address), `:${row.server_port}`) },
        { title: "Protocol", key: (row) => row.protocol, cell: (row) => row.protocol || element("span", { class: "muted" }, "not known") },
        { title: "Seen by", key: (row) => row.capture, cell: (row) => row.capture },
        { title: "Connections", number: true, key: (row) => row.connections, cell: (row) => count(row.connections) },
        { title: "At once", number: true, hint: "The most that were open at the same time", key: (row) => row.most, cell: (row) => count(row.most) },
        { title: "Exchanges each", number: true, hint: "How often a connection is used again", key: (row) => row.exchanges / row.connections, cell: (row) => reuse(row) },
        { title: "Open for", number: true, hint: "Half of them were open no longer", key: (row) => row.lasted, cell: (row) => duration(row.lasted) },
        { title: "Handshake", number: true, hint: "SYN to SYN-ACK, median, as seen there", key: (row) => row.rtt, cell: (row) => (row.rtt < 0 ? element("span", { class: "muted" }, "not seen") : duration(row.rtt)) },
        { title: "Sent again", number: true, hint: "Segments that brought nothing new", key: (row) => row.retransmitted_segments, cell: (row) => count(row.retransmitted_segments) },
        { title: "Missing", number: true, hint: "Bytes that the capture lacks", key: (row) => row.lost_bytes, cell: (row) => (row.lost_bytes ? wrong(size(row.lost_bytes)) : "0 B") },
        { title: "Window 0", number: true, hint: "Times an end said that it can take no more bytes", key: (row) => row.zero_windows, cell: (row) => count(row.zero_windows) },
        { title: "Ended badly", number: true, key: endedBadly, cell: (row) => (endedBadly(row) ? wrong(howEnded(row)) : "0") },
      ], pools),
    ];
  }

  /** @param {number} number @returns {HTMLElement[]} */
  pool(number) {
    const pool = this.app.overview.pools[number];
    const columns = /** @type {Columns} */ (this.columns);
    if (!pool) return [element("h1", { id: "view-title" }, "Not in this report"), element("p", {}, element("a", { href: "#/connections" }, "All pools"))];
    const pools = columns.numbers("pool");
    const items = Array.from(pools.keys()).filter((item) => pools[item] === number);
    return [
      element("nav", { class: "crumbs", "aria-label": "Where this is" }, element("a", { href: "#/connections" }, "\u2190 Connections")),
      element("h1", { id: "view-title" }, `${this.hostOf(pool.client_address)} to ${this.hostOf(pool.server_address)}:${pool.server_port}`),
      element("p", { class: "facts" }, element("span", {}, pool.protocol || "protocol not known"), element("span", {}, `${counted(pool.connections, "connection")}, ${count(pool.most)} at once`), element("span", {}, `${reuse(pool)} exchanges each`), element("span", {}, `seen by ${pool.capture}`)),
      this.lives(items),
      table("connections", items.length < pool.connections ? `${count(items.length)} of ${count(pool.connections)}: those that went wrong and the busiest` : "In the order of their opening", [
        { title: "Opened", key: (item) => this.number("opened", item), cell: (item) => element("a", { href: routeTo(["connections", String(this.number("row", item))]) }, this.app.clock.timeOfDay(this.number("opened", item))) },
        { title: "Client port", number: true, key: (item) => this.number("client_port", item), cell: (item) => String(this.number("client_port", item)) },
        { title: "Open for", number: true, key: (item) => this.number("lasted", item), cell: (item) => duration(this.number("lasted", item)) },
        { title: "Exchanges", number: true, key: (item) => this.number("exchanges", item), cell: (item) => count(this.number("exchanges", item)) },
        { title: "Sent", number: true, key: (item) => this.number("client_bytes", item), cell: (item) => size(this.number("client_bytes", item)) },
        { title: "Received", number: true, key: (item) => this.number("server_bytes", item), cell: (item) => size(this.number("server_bytes", item)) },
        { title: "Handshake", number: true, key: (item) => this.number("handshake_rtt_ns", item), cell: (item) => this.handshake(item) },
        { title: "Sent again", number: true, key: (item) => this.number("retransmitted_segments", item), cell: (item) => count(this.number("retransmitted_segments", item)) },
        { title: "Missing", number: true, key: (item) => this.number("lost_bytes", item), cell: (item) => (this.number("lost_bytes", item) ? wrong(size(this.number("lost_bytes", item))) : "0 B") },
        { title: "End", key: (item) => columns.text("ended").at(item), cell: (item) => this.ended(item) },
      ], items),
    ];
  }

  /** The lives of connections as lines over time. @param {number[]} items @returns {HTMLElement} */
  lives(items) {
    const drawn = items.slice(0, LIVES_DRAWN);
    const from = Math.min(...drawn.map((item) => this.number("opened", item)));
    const to = Math.max(...drawn.map((item) => this.number("opened", item) + this.number("lasted", item)), from + 1);
    const most = Math.max(...drawn.map((item) => this.number("exchanges", item)), 1);
    const x = (/** @type {number} */ time) => 4 + ((time - from) / (to - from)) * (LIVES_WIDTH - 14);
    const height = drawn.length * LIFE_HEIGHT + 22;
    return element("div", { class: "strip-box", tabindex: "0", role: "region", "aria-label": "Connections over time; the table below says the same" },
      svg("svg", { class: "lives", viewBox: `0 0 ${LIVES_WIDTH} ${height}`, role: "group", "aria-label": `${counted(drawn.length, "connection")} over ${duration(to - from)}` },
        drawn.map((item, number) => {
          const opened = this.number("opened", item);
          const ended = /** @type {Columns} */ (this.columns).text("ended").at(item);
          const y = number * LIFE_HEIGHT + 4;
          const end = x(opened + this.number("lasted", item));
          return svg("a", { href: routeTo(["connections", String(this.number("row", item))]), "aria-label": `Connection from port ${this.number("client_port", item)}` },
            svg("title", {}, `port ${this.number("client_port", item)}: ${counted(this.number("exchanges", item), "exchange")}, ${ENDINGS[ended] ?? ended}`),
            svg("rect", { class: WENT_WRONG.has(ended) ? "life-line wrong" : "life-line", x: x(opened), y, width: Math.max(end - x(opened), 2), height: 4, "fill-opacity": (0.3 + 0.7 * (Math.log1p(this.number("exchanges", item)) / Math.log1p(most))).toFixed(2) }),
            this.number("handshake", item) ? null : svg("path", { class: "midway", d: `M${x(opened) - 3} ${y - 1}v6` }),
            WENT_WRONG.has(ended) ? svg("path", { class: "cross", d: `M${end - 2} ${y - 1}l6 6m0 -6l-6 6` }) : null);
        }),
        [0, 0.5, 1].map((share) => svg("text", { class: "strip-tick", x: share === 1 ? LIVES_WIDTH - 4 : Math.max(share * LIVES_WIDTH, 4), y: height - 4, "text-anchor": share === 1 ? "end" : share ? "middle" : "start" }, this.app.clock.timeOfDay(from + share * (to - from)).slice(0, 12)))),
      items.length > drawn.length ? element("p", { class: "muted" }, `The first ${LIVES_DRAWN} of ${count(items.length)}.`) : null);
  }

  /** @param {number} row number by which calls name it @returns {HTMLElement[]} */
  connection(row) {
    const columns = /** @type {Columns} */ (this.columns);
    const item = columns.numbers("row").indexOf(row);
    const { app } = this;
    const back = element("nav", { class: "crumbs", "aria-label": "Where this is" }, element("a", { href: item < 0 ? "#/connections" : routeTo(["connections"], { pool: String(this.number("pool", item)) }) }, item < 0 ? "\u2190 Connections" : "\u2190 Its pool"));
    if (item < 0) return [back, element("h1", { id: "view-title" }, "Not in this report"), element("p", {}, `This page holds ${count(app.overview.connections.held)} of ${counted(app.overview.connections.total, "connection")}.`)];
    const text = (/** @type {string} */ name) => columns.text(name).at(item);
    const ends = { client: { address: text("client_address"), port: this.number("client_port", item) }, server: { address: text("server_address"), port: this.number("server_port", item) } };
    const calls = app.model?.callsOn(row) ?? [];
    return [back,
      element("h1", { id: "view-title" }, `${this.hostOf(ends.client.address)}:${ends.client.port} to ${this.hostOf(ends.server.address)}:${ends.server.port}`),
      element("div", { class: "columns" }, definitions([
        ["Protocol", text("protocol") || "not known"], ["Seen by", text("capture")],
        ["Opened", app.clock.full(this.number("opened", item))], ["Open for", duration(this.number("lasted", item))],
        ["Began", this.number("handshake", item) ? "its SYN was captured" : "it was open when the capture began"], ["Ended", this.ended(item)]]),
      definitions([
        ["Exchanges", count(this.number("exchanges", item))], ["Bytes", `${size(this.number("client_bytes", item))} sent, ${size(this.number("server_bytes", item))} received`],
        ["Handshake", this.handshake(item)], ["Sent again", counted(this.number("retransmitted_segments", item), "segment")], ["Out of order", counted(this.number("out_of_order_segments", item), "segment")],
        ["Missing", size(this.number("lost_bytes", item))], ["Window 0", counted(this.number("zero_windows", item), "time")]])),
      copyLine(conversationFilter(text("protocol"), ends), "the Wireshark filter of the connection"),
      calls.length ? table("calls-of-connection", calls.length > CALLS_LISTED ? `The first ${CALLS_LISTED} of ${count(calls.length)} calls that this page holds` : "Calls that this page holds, by start", [
        { title: "Start", key: (place) => app.clock.iso(app.model.startOf(place)), cell: (place) => app.clock.timeOfDay(app.model.startOf(place)) },
        { title: "Request", key: (place) => app.model.titleOf(place), cell: (place) => element("a", { href: routeTo(["tree", app.model.id.at(app.model.first[app.model.treeAt(place)]), app.model.id.at(place)]) }, app.model.titleOf(place)) },
        { title: "Status", key: (place) => app.model.status.at(place), cell: (place) => app.model.status.at(place) || "\u2013" },
        { title: "Outcome", key: (place) => app.model.outcome.at(place), cell: (place) => app.model.outcome.at(place) },
        { title: "Duration", number: true, key: (place) => app.model.duration[place], cell: (place) => duration(app.model.duration[place]) },
      ], calls.slice(0, CALLS_LISTED)) : element("p", { class: "muted" }, "This page holds no call of it."),
    ];
  }

  /** @param {string} name @param {number} item @returns {number} */
  number(name, item) {
    return /** @type {Columns} */ (this.columns).numbers(name)[item];
  }

  /** @param {number} item @returns {string} */
  handshake(item) {
    const rtt = this.number("handshake_rtt_ns", item);
    return rtt < 0 ? "not seen" : duration(rtt);
  }

  /** @param {number} item @returns {HTMLElement | string} */
  ended(item) {
    const ended = /** @type {Columns} */ (this.columns).text("ended").at(item);
    const words = ENDINGS[ended] ?? ended;
    return WENT_WRONG.has(ended) ? wrong(words) : words;
  }

  /** The host of an address, or the address. @param {string} address @returns {string} */
  hostOf(address) {
    const host = this.app.overview.clocks.find((/** @type {any} */ each) => each.addresses.includes(address));
    return host?.host ?? address;
  }
}

/** @param {any} pool @returns {string} */
function reuse(pool) {
  const each = pool.exchanges / pool.connections;
  return each >= 10 ? count(Math.round(each)) : each.toFixed(1);
}

/** @param {any} pool @returns {number} */
function endedBadly(pool) {
  return pool.client_reset + pool.server_reset + pool.refused + pool.unanswered;
}

/** @param {any} pool @returns {string} */
function howEnded(pool) {
  const kinds = [["server_reset", "reset by server"], ["client_reset", "reset by client"], ["refused", "refused"], ["unanswered", "unanswered"]];
  return kinds.filter(([name]) => pool[name]).map(([name, words]) => `${count(pool[name])} ${words} (${percent(pool[name], pool.connections)})`).join(", ");
}

/** @param {string} words @returns {HTMLElement} */
function wrong(words) {
  return element("span", { class: "outcome error" }, signOf("error"), words);
}
