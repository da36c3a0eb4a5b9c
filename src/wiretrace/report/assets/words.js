// What the report calls things: outcomes, marks and bases in words. Colour never stands alone: every state has a mark.

/** @typedef {{ label: string, sentence: string }} Wording */

/** @type {Record<string, Wording>} */
export const OUTCOMES = {
  ok: { label: "ok", sentence: "The call was answered, and the answer is not an error." },
  error: { label: "error", sentence: "The server answered with an error." },
  request_lost: { label: "request lost", sentence: "The request was sent and never reached the server." },
  response_lost: { label: "response lost", sentence: "The server answered and the answer never reached the client." },
  server_silent: { label: "server silent", sentence: "The server's host acknowledged the request and never answered it." },
  server_reset: { label: "server reset", sentence: "The server's end reset the connection before it had answered in full." },
  server_closed: { label: "server closed", sentence: "The server's end closed the connection before it had answered in full." },
  client_aborted: { label: "client aborted", sentence: "The client's end closed or reset the connection before the answer was complete." },
  client_timeout: { label: "client timeout", sentence: "The client gave up after a wait that it shows again and again." },
  refused: { label: "refused", sentence: "The server's host refused the connection." },
  unreachable: { label: "unreachable", sentence: "Nobody answered the attempt to connect." },
  tls_failed: { label: "TLS failed", sentence: "The TLS handshake failed." },
  dns_failed: { label: "DNS failed", sentence: "The name of the server could not be looked up." },
  malformed: { label: "malformed", sentence: "A message breaks the rules of its protocol." },
  unfinished: { label: "unfinished", sentence: "The capture ended before the answer did." },
  not_captured: { label: "not captured", sentence: "The other half happened, and the capture lacks it." },
};

/** @type {Record<string, Wording>} */
export const BASES = {
  stated: { label: "stated", sentence: "An identifier on the wire names the parent." },
  measured: { label: "measured", sentence: "The same bytes, transaction or connection tie the two together." },
  inferred: { label: "inferred", sentence: "A judgement from timing, values and habit: it may be wrong, as its confidence says." },
  question: { label: "question", sentence: "The likeliest parent is too uncertain to be called a link." },
};

/** A link to whoever put a message on a queue. */
export const FOLLOWS = { sign: "\u00bb", label: "took a message off a queue", sentence: "It took a message off a queue that its parent had put there: nobody waited for it." };

/** Where captured bytes went: the sentences of `Payload` in model/analysis.py. @type {Record<string, string>} */
export const ACCOUNTS = {
  captured: "were captured in TCP and UDP packets, repetitions included, at all vantage points",
  in_exchanges: "are in exchanges, a request with its response",
  in_halves: "are in requests or responses whose other half is missing",
  control: "belong to a protocol and to no exchange (greetings, goodbyes, padding)",
  repeated: "were sent more than once",
  copied: "are of packets that were captured before, on another interface or at the other side of a mirror",
  encrypted: "are encrypted",
  protocol_unknown: "belong to no protocol that wiretrace reads",
  malformed: "break the rules of their protocol",
  skipped_after_gap: "lie beside a gap, in a message of which too little was captured",
  unfinished: "are of messages that the end of the connection or of the capture cut off",
  after_the_end: "came when their connection was over",
};

/** Outcomes that say only that the capture lacks the end of the call. */
const UNKNOWN = new Set(["unfinished", "not_captured"]);

/** The class of an outcome: "ok", "error" or "unknown". @param {string} outcome @returns {string} */
export function outcomeClass(outcome) {
  if (outcome === "ok") return "ok";
  return UNKNOWN.has(outcome) ? "unknown" : "error";
}

/** The sign that stands beside a state. @param {string} state "ok", "error", "unknown", "question", "warning" or "info" @returns {string} */
export function mark(state) {
  return { ok: "\u2713", error: "\u2715", unknown: "\u2026", question: "?", warning: "!", info: "i" }[state] ?? "";
}

/** @param {string} outcome @returns {string} */
export function outcomeLabel(outcome) {
  return OUTCOMES[outcome]?.label ?? outcome;
}
