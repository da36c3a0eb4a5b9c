// The words of the report. Each means one thing.

/** @type {[string, string][]} */
export const GLOSSARY = [
  ["call", "An exchange as it happened between two processes, on the common time line."],
  ["capture", "A file of packets, or several files of one recording."],
  ["confidence", "The probability that a link is right, over its alternatives."],
  ["connection", "A TCP connection at one vantage point: its ends, how it began and ended, its health."],
  ["critical path", "What the root call waited for, moment by moment: shortening anything else does not make it faster."],
  ["evidence", "What speaks for or against a link: a kind, a weight, a phrase."],
  ["exchange", "A request and its response, or the half that was seen, at one vantage point."],
  ["finding", "What is concluded, with the calls and packets that prove it."],
  ["frame", "A packet\u2019s number in its file, counted from 1 as Wireshark does."],
  ["gap", "Bytes of a stream that the capture lacks."],
  ["link", "The claim that one call caused another, with its basis and its confidence."],
  ["network", "Time between what the caller\u2019s host saw and what the callee\u2019s host saw."],
  ["note", "What could not be seen or read."],
  ["operation", "What is asked for, in few distinct forms: GET /orders/{id}, SELECT orders."],
  ["outcome", "What happened to a call."],
  ["question", "A parent that is less likely than not: shown as a question, and no link."],
  ["redacted", "Replaced before it is written, because it may be a secret."],
  ["request tree", "A root call and all that it caused."],
  ["self time", "Duration of a call without the time that its own calls cover."],
  ["vantage point", "Where packets were captured: a host and its interface."],
];
