// Files that the page hands out: tables as CSV or JSON, packets as pcapng. Made in the page, kept by the browser.

/** @param {string} name of the file @param {string} type media type @param {BlobPart} content */
export function download(name, type, content) {
  const address = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** Rows as CSV (RFC 4180). A text that a spreadsheet would take for a formula is marked as text.
 * @param {string[]} titles @param {unknown[][]} rows @returns {string} */
export function csvOf(titles, rows) {
  return [titles, ...rows].map((row) => row.map(csvCell).join(",")).join("\r\n") + "\r\n";
}

/** Rows as spreadsheets and tickets take them from the clipboard: cells between tabs, marked like those of CSV.
 * @param {string[]} titles @param {unknown[][]} rows @returns {string} */
export function tsvOf(titles, rows) {
  return `${[titles, ...rows].map((row) => row.map(tsvCell).join("\t")).join("\n")}\n`;
}

/** Rows as a JSON array of objects. @param {string[]} titles @param {unknown[][]} rows @returns {string} */
export function jsonOf(titles, rows) {
  return `${JSON.stringify(rows.map((row) => Object.fromEntries(titles.map((title, number) => [title, row[number] ?? null]))), null, 1)}\n`;
}

/** @param {unknown} value @returns {string} */
function csvCell(value) {
  if (value === null || value === undefined) return "";
  const text = harmless(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** @param {unknown} value @returns {string} */
function tsvCell(value) {
  return value === null || value === undefined ? "" : harmless(value).replace(/[\t\r\n]+/g, " ");
}

/** A value as text; one that a spreadsheet would take for a formula is marked as text. @param {unknown} value @returns {string} */
function harmless(value) {
  return typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
}
