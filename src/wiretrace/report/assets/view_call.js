// The side panel: all that is known of one call, and why it stands where it stands.

import { element } from "./dom.js";
import { count, counted, duration, linkProbability, size } from "./format.js";
import { copyButton, copyLine, definitions, downloads, meter, outcomeMark } from "./parts.js";
import { routeTo } from "./router.js";
import { BASES, FOLLOWS, OUTCOMES, outcomeLabel } from "./words.js";

/** @typedef {import("./main.js").App} App */
/** @typedef {import("./tree_shape.js").TreeShape} TreeShape */
/** @typedef {import("./model.js").Details} Details */
/** @typedef {ReturnType<Details["views"]>[number]} View */
/** @typedef {ReturnType<Details["candidates"]>[number]} Candidate */
/** @typedef {ReturnType<Details["reasons"]>[number]} Reason */

const ROLES = ["at the caller", "at the callee", "in between"];
/** Evidence of this weight multiplies the odds by ten. */
const TENFOLD = Math.log(10);

/** Calls that took messages off a queue that are listed. */
const TAKERS_SHOWN = 20;
/** Calls before and after on the same connection that are shown. */
const NEIGHBOURS = 2;

/** @param {App} app @param {number} place @param {Details} details @param {TreeShape} shape @returns {HTMLElement[]} */
export function callPanel(app, place, details, shape) {
  const { model } = app;
  const views = details.views();
  return [
    summary(app, place, details),
    phases(app, place, details, shape),
    parentSection(app, place, details),
    takers(app, place, shape),
    element("section", {}, element("h3", {}, "Endpoints"), definitions([
      ["Caller", endpoint(details, "client", model.client.at(place))],
      ["Callee", endpoint(details, "server", model.server.at(place))],
    ])),
    list("Request and response", details.attributes().map(([name, value]) => [name, value])),
    texts("Notes", details.list("notes")),
    packets(model.protocol.at(place), views),
    neighbours(app, place),
  ].filter((node) => node !== null);
}

/** Parts of a call's time, in the order in which they come: column, name, key, hint. */
const PARTS = [
  ["lookup_ns", "Looking up the name", "track", "before its start; of the first call of a connection"],
  ["connect_ns", "Connecting", "track", "before its start; of the first call of a connection"],
  ["tls_ns", "TLS handshake", "track", "before its start; of the first call of a connection"],
  ["request_ns", "Sending", "edge", "first to last byte of the request"],
  ["queued_ns", "Behind earlier requests", "waits", "waiting, sent in whole, for the answers to earlier requests on the connection"],
  ["network_ns", "Network", "outer", "on the way there and back: the caller\u2019s wait less the callee\u2019s"],
  ["server_ns", "At the server", "inner", "from the whole request to the first byte of the response"],
  ["response_ns", "Receiving", "edge", "first to last byte of the response"],
  ["retransmission_ns", "Lost, sent again", "error", "waiting for what was lost to be sent again"],
  ["zero_window_ns", "Receiver full", "error", "waiting for the receiver to take more bytes"],
];

/** Where the time of a call went. @param {App} app @param {number} place @param {Details} details @param {TreeShape} shape @returns {HTMLElement} */
function phases({ model }, place, details, shape) {
  const row = place - shape.first;
  const total = Math.max(model.duration[place], ...PARTS.map(([column]) => details.number(column)), 1);
  const measured = details.number("network_measured");
  const parts = PARTS.filter(([column]) => details.number(column)).map(([column, name, kind, hint]) => ({ name: column === "server_ns" && !measured ? "Network and server" : name, length: details.number(column), kind, hint }));
  const shares = [
    { name: "In calls of its own", length: model.duration[place] - shape.self[row], kind: "waits", hint: "covered by calls that it made" },
    { name: "Self", length: shape.self[row], kind: "inner", hint: "everything else" },
    { name: "On the critical path", length: shape.onPath[row], kind: "critical", hint: "what the root waited for" },
  ];
  const line = (/** @type {typeof shares[number]} */ { name, length, kind, hint }) => element("tr", { title: hint },
    element("th", { scope: "row" }, element("i", { class: `key ${kind}` }), name), element("td", {}, meter(length / total, kind)), element("td", { class: "number" }, duration(length)));
  const saved = () => ({ titles: ["part", "time_ns", "what"], rows: [...parts, ...shares].map(({ name, length, hint }) => [name, length, hint]) });
  return element("section", {}, element("h3", {}, "Where its time went"),
    element("div", { class: "table-head" }, element("span", { class: "muted" }, "Parts, and what they are besides"), downloads(`time-of-call-${model.id.at(place)}`, saved)),
    element("table", { class: "plain phases" }, element("tbody", {}, parts.map(line)), element("tbody", { class: "second" }, shares.map(line))),
    measured ? null : element("p", { class: "muted" }, "Only one end was captured: network and server can not be told apart."),
    details.number("retransmitted") ? element("p", {}, `${counted(details.number("retransmitted"), "segment")} of it ${details.number("retransmitted") === 1 ? "was" : "were"} sent again.`) : null);
}

/** Calls before and after on the connection. @param {App} app @param {number} place @returns {HTMLElement | null} */
function neighbours(app, place) {
  const { model, clock } = app;
  const calls = model.callsOn(model.connection[place]);
  if (calls.length < 2) return null;
  const at = calls.indexOf(place);
  const shown = calls.slice(Math.max(at - NEIGHBOURS, 0), at + NEIGHBOURS + 1);
  return element("section", {}, element("h3", {}, "On the same connection"),
    element("p", { class: "muted" }, `Call ${count(at + 1)} of ${count(calls.length)} that this page holds. `, element("a", { href: routeTo(["connections", String(model.connection[place])]) }, "The connection")),
    element("ol", { class: "neighbours", start: Math.max(at - NEIGHBOURS, 0) + 1 }, shown.map((call) => element("li", { class: call === place ? "this" : null },
      element("span", { class: "muted" }, `${clock.timeOfDay(model.startOf(call))} `), call === place ? element("b", {}, model.titleOf(call)) : callLink(app, call), ` ${duration(model.duration[call])} `, outcomeMark(model.outcome.at(call))))));
}

/** @param {App} app @param {number} place @param {Details} details @returns {HTMLElement} */
function summary(app, place, details) {
  const { model, clock } = app;
  const outcome = model.outcome.at(place);
  const possible = details.list("possible");
  const tree = model.treeAt(place);
  return element("section", { class: "call-summary" },
    element("h2", {}, model.summary.at(place) || model.operation.at(place)),
    element("p", {}, outcomeMark(outcome), " ", OUTCOMES[outcome]?.sentence ?? ""),
    possible.length > 1 ? element("p", {}, `The packets leave open: ${possible.map(outcomeLabel).join(", ")}.`) : null,
    definitions([
      ["Operation", model.operation.at(place)],
      ["Protocol", model.protocol.at(place)],
      ["Status", model.status.at(place) || "none"],
      ["Duration", [duration(model.duration[place]), model.serverDuration[place] >= 0 ? element("span", { class: "muted" }, ` of which ${duration(model.serverDuration[place])} at the server`) : null]],
      ["Start", clock.full(model.treeStart[tree] + model.start[place])],
      ["Bytes", `${size(details.number("request_bytes"))} asked, ${size(details.number("response_bytes"))} answered`],
      ["Call", [element("code", {}, model.id.at(place)), " ", copyButton(model.id.at(place), "the id of the call")]],
    ]));
}

/** Why this parent: the evidence in words, and who else it could have been. @param {App} app @param {number} place @param {Details} details */
function parentSection(app, place, details) {
  const { model } = app;
  const parent = model.parentOf(place);
  const candidates = details.candidates();
  const reasons = details.reasons();
  if (parent < 0) {
    return element("section", { class: "why" }, element("h3", {}, "Why it has no parent"),
      element("p", {}, candidates.length ? "No call that was captured is likely enough to have caused it." : "Nothing in the captures caused it: it came from outside, or from a host that was not captured."),
      alternatives(app, place, candidates, -1));
  }
  const link = model.linkOf(place);
  const confidence = model.confidenceOf(place);
  const follows = Boolean(model.follows[place]);
  const others = follows ? candidates.filter((candidate) => candidate.rank === 0 && candidate.parent !== parent) : [];
  return element("section", { class: "why" },
    element("h3", {}, link === "question" ? "Why this parent may be right" : "Why this parent"),
    element("p", {}, caused(link, follows), callLink(app, parent), follows ? " put on a queue" : "", confidence === null ? "." : [", ", element("b", {}, linkProbability(confidence, link)), " sure."]),
    follows ? element("p", {}, `${FOLLOWS.sign} ${FOLLOWS.sentence} `, afterPut(app, place, parent)) : null,
    others.length ? element("p", {}, "It took further messages off at once, those of ", others.flatMap((other, number) => [number ? ", " : "", candidateLink(app, other), ` (${linkProbability(other.confidence, other.basis)})`]), ".") : null,
    element("p", {}, element("span", { class: `badge ${link}` }, BASES[link]?.label ?? link), " ", BASES[link]?.sentence ?? ""),
    evidence(reasons.filter((reason) => reason.parent === parent)),
    alternatives(app, place, candidates, parent));
}

/** The words before the parent. @param {string} link @param {boolean} follows @returns {string} */
function caused(link, follows) {
  if (follows) return link === "question" ? "It may have taken off what " : "It took off what ";
  return link === "question" ? "It may have been caused by " : "Caused by ";
}

/** How long a message lay on its queue. @param {App} app @param {number} place @param {number} parent @returns {string} */
function afterPut({ model }, place, parent) {
  const rest = model.start[place] - model.start[parent];
  return rest > 0 ? `It began ${duration(rest)} after its parent.` : "It waited for the message before there was one.";
}

/** Calls that took off what a call put on a queue. @param {App} app @param {number} place @param {TreeShape} shape @returns {HTMLElement | null} */
function takers(app, place, shape) {
  const row = place - shape.first;
  const found = [];
  for (let child = row + 1; child < shape.end[row]; child = shape.end[child]) {
    if (app.model.follows[shape.first + child]) found.push(shape.first + child);
  }
  if (!found.length) return null;
  return element("section", {}, element("h3", {}, "What it put on a queue was taken off by"),
    element("ul", {}, found.slice(0, TAKERS_SHOWN).map((taker) => element("li", {}, callLink(app, taker), element("span", { class: "muted" }, ` ${afterPut(app, taker, place)}`)))),
    found.length > TAKERS_SHOWN ? element("p", { class: "muted" }, `And ${count(found.length - TAKERS_SHOWN)} more.`) : null);
}

/** @param {Reason[]} reasons @returns {HTMLElement} */
function evidence(reasons) {
  if (!reasons.length) return element("p", { class: "muted" }, "The case holds no evidence for this link.");
  return element("ul", { class: "evidence" }, reasons.map((reason) => element("li", {},
    element("b", {}, reason.kind), ` ${reason.detail} `, element("span", { class: "muted" }, weightInWords(reason.weight)))));
}

/** @param {App} app @param {number} place @param {Candidate[]} candidates @param {number} parent @returns {HTMLElement | null} */
function alternatives(app, place, candidates, parent) {
  const others = candidates.filter((candidate) => candidate.rank > 0 && candidate.parent !== parent);
  if (!others.length) return null;
  return element("div", {}, element("h4", {}, "It could also have been"),
    element("ul", { class: "alternatives" }, others.map((candidate) => element("li", {},
      element("span", { class: "chance" }, linkProbability(candidate.confidence, candidate.basis)), " ",
      candidate.parent < 0 && !candidate.elsewhere ? "caused by nothing that was captured" : candidateLink(app, candidate)))));
}

/** A call that may be the parent; one that the page does not hold is named by its id. @param {App} app @param {Candidate} candidate */
function candidateLink(app, candidate) {
  return candidate.parent < 0 ? element("span", {}, "call ", element("code", {}, candidate.elsewhere), ", which this page does not hold") : callLink(app, candidate.parent);
}

/** @param {App} app @param {number} place @returns {HTMLElement} */
function callLink({ model }, place) {
  const root = model.first[model.treeAt(place)];
  return element("a", { href: routeTo(["tree", model.id.at(root), model.id.at(place)]) },
    `${model.server.at(place)}: ${model.summary.at(place) || model.operation.at(place)}`);
}

/** @param {Details} details @param {string} side @param {string} name @returns {HTMLElement} */
function endpoint(details, side, name) {
  const address = joined(details.text(`${side}_address`), details.number(`${side}_port`));
  const host = details.text(`${side}_host`);
  return element("span", {}, name === details.text(`${side}_address`) ? null : `${name} `, element("code", {}, address), host ? element("span", { class: "muted" }, ` on ${host}`) : null);
}

/** @param {string} protocol @param {View[]} views @returns {HTMLElement} */
function packets(protocol, views) {
  if (!views.length) return element("section", {}, element("h3", {}, "Packets"), element("p", { class: "muted" }, "No capture holds packets of it."));
  const filters = new Set(views.map((view) => conversationFilter(protocol, view)));
  return element("section", {}, element("h3", {}, "Packets"),
    views.map((view) => element("div", { class: "view" },
      element("p", {}, element("b", {}, view.capture), ` ${ROLES[view.role]}`),
      definitions([
        ["Request", framesInWords(view.request)],
        ["Response", framesInWords(view.response)],
        ["Paired by", view.proof || "not paired"],
      ]),
      view.request.total + view.response.total > 0 && copyLine(frameFilter(view), `the Wireshark filter of these frames in ${view.capture}`))),
    element("h4", {}, filters.size > 1 ? "Wireshark filters of the conversation" : "Wireshark filter of the conversation"),
    [...filters].map((filter) => copyLine(filter, "the Wireshark filter of the conversation")));
}

/** @typedef {{ address: string, port: number }} End */

/** A Wireshark display filter of the connection that carried the call. @param {string} protocol @param {{ client: End, server: End }} view @returns {string} */
export function conversationFilter(protocol, view) {
  const transport = protocol === "dns" ? "udp" : "tcp";
  return [view.client, view.server].map(({ address, port }) =>
    `${address.includes(":") ? "ipv6" : "ip"}.addr==${address} && ${transport}.port==${port}`).join(" && ");
}

/** A Wireshark display filter of the very packets. @param {View} view @returns {string} */
export function frameFilter(view) {
  const frames = [...view.request.frames, ...view.response.frames];
  return `frame.number in {${ranges(frames, "..").join(", ")}}`;
}

/** @param {View["request"]} part @returns {string} */
function framesInWords({ frames, total, bytes }) {
  if (!total) return "not captured";
  const more = total > frames.length ? ` and ${count(total - frames.length)} more` : "";
  return `${total === 1 ? "frame" : "frames"} ${ranges(frames, "\u2013").join(", ")}${more}, ${size(bytes)}`;
}

/** Numbers as ranges: 1, 4–6. @param {number[]} numbers @param {string} dash @returns {string[]} */
function ranges(numbers, dash) {
  const sorted = [...new Set(numbers)].sort((left, right) => left - right);
  const result = [];
  for (let from = 0, to = 0; from < sorted.length; from = to + 1) {
    to = from;
    while (sorted[to + 1] === sorted[to] + 1) to += 1;
    result.push(to > from ? `${sorted[from]}${dash}${sorted[to]}` : `${sorted[from]}`);
  }
  return result;
}

/** @param {number} weight @returns {string} */
function weightInWords(weight) {
  if (Math.abs(weight) < 0.05) return "(says little)";
  const times = Math.exp(Math.abs(weight));
  const factor = Math.abs(weight) > 6 * TENFOLD ? "more than a million times" : `${times < 9.95 ? times.toFixed(1) : count(Math.round(times))} times`;
  return `(${factor} ${weight > 0 ? "likelier" : "less likely"})`;
}

/** @param {string} title @param {[string, string][]} entries @returns {HTMLElement | null} */
function list(title, entries) {
  return entries.length ? element("section", {}, element("h3", {}, title), definitions(entries, "names")) : null;
}

/** @param {string} title @param {string[]} lines @returns {HTMLElement | null} */
function texts(title, lines) {
  return lines.length ? element("section", {}, element("h3", {}, title), element("ul", {}, lines.map((line) => element("li", {}, line)))) : null;
}

/** @param {string} address @param {number} port @returns {string} */
function joined(address, port) {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
