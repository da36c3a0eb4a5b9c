// The address of what is shown, kept in the hash: #/trees?filter=…&sort=…, #/tree/ID/CALL, #/services, #/.

/** @typedef {{ view: string, path: string[], query: URLSearchParams }} Route */

/** @param {string} hash @returns {Route} */
export function parseRoute(hash) {
  const [path, query = ""] = splitOnce(hash.replace(/^#?\/?/, ""), "?");
  const [view, ...rest] = path.split("/").map(decoded);
  return { view: view || "overview", path: rest, query: new URLSearchParams(query) };
}

/** The hash of a view. @param {string[]} path @param {Record<string, string>} [query] @returns {string} */
export function routeTo(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value);
  const search = new URLSearchParams(given).toString();
  return `#/${path.map(encodeURIComponent).join("/")}${search ? `?${search}` : ""}`;
}

/** Show another address without a new step in the history. @param {string} hash */
export function replaceRoute(hash) {
  history.replaceState(null, "", hash);
}

/** @param {string} part @returns {string} */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** @param {string} text @param {string} separator @returns {[string, string?]} */
function splitOnce(text, separator) {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
