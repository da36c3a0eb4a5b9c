// Builds the page. Captured text enters it here and only as text nodes or attribute values, never as markup.

/** Characters that a reader can not see or that reorder the text around them: controls, zero-width, direction marks. */
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** Text with its invisible characters shown: control characters as their pictures, others by code point.
 * @param {string} text @returns {string} */
export function visible(text) {
  return text.replace(INVISIBLE, (character) => {
    const code = character.charCodeAt(0);
    return code < 32 ? String.fromCharCode(0x2400 + code) : `\u27e8${code.toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
  });
}

/** @typedef {Node | string | null | undefined | false} Child */
/** @typedef {Record<string, string | number | boolean | null | undefined | ((event: any) => void)>} Properties */

/**
 * An HTML element. Properties that are functions are event listeners named by their key; true sets an empty attribute;
 * null, undefined and false set none.
 * @param {string} name
 * @param {Properties} [properties]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElement}
 */
export function element(name, properties = {}, ...children) {
  return /** @type {HTMLElement} */ (filled(document.createElement(name), properties, children));
}

/** An SVG element, likewise.
 * @param {string} name @param {Properties} [properties] @param {...(Child | Child[])} children @returns {SVGElement} */
export function svg(name, properties = {}, ...children) {
  return /** @type {SVGElement} */ (filled(document.createElementNS("http://www.w3.org/2000/svg", name), properties, children));
}

/** A text node whose invisible characters are shown. @param {string} text @returns {Text} */
export function textNode(text) {
  return document.createTextNode(visible(text));
}

/** @param {Element} node @param {Properties} properties @param {(Child | Child[])[]} children @returns {Element} */
function filled(node, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (typeof value === "function") node.addEventListener(key, value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, visible(String(value)));
  }
  for (const child of children.flat()) {
    if (typeof child === "string") node.append(textNode(child));
    else if (child) node.append(child);
  }
  return node;
}
