// Reads the inert blocks of columns that block.py writes: base64, zlib, a JSON header, shuffled numbers.

/** @typedef {Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array | Float64Array} Numbers */
/** @typedef {{ type: string, length: number, steps: boolean, words?: string[] }} ColumnHeader */

/** A column of text: every distinct word once, and the number of its word for each row. */
export class TextColumn {
  /** @param {Numbers} codes @param {string[]} words */
  constructor(codes, words) {
    this.codes = codes;
    this.words = words;
  }

  /** @param {number} row @returns {string} */
  at(row) {
    return this.words[this.codes[row]];
  }
}

/** The columns of one block, by name. */
export class Columns {
  /** @param {Map<string, Numbers>} numbers @param {Map<string, TextColumn>} texts */
  constructor(numbers, texts) {
    this.numberColumns = numbers;
    this.textColumns = texts;
  }

  /** @param {string} name @returns {Numbers} */
  numbers(name) {
    const column = this.numberColumns.get(name);
    if (!column) throw new Error(`no column of numbers ${name}`);
    return column;
  }

  /** @param {string} name @returns {TextColumn} */
  text(name) {
    const column = this.textColumns.get(name);
    if (!column) throw new Error(`no column of text ${name}`);
    return column;
  }
}

/**
 * Reads the block that stands in the element `id`.
 * @param {string} id
 * @returns {Promise<Columns>}
 */
export async function readBlock(id) {
  const bytes = await blockBytes(id);
  const headerLength = new DataView(bytes.buffer).getUint32(0, true);
  /** @type {Record<string, ColumnHeader>} */
  const headers = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + headerLength)));
  const numbers = new Map();
  const texts = new Map();
  let offset = 4 + headerLength;
  for (const [name, header] of Object.entries(headers)) {
    const values = readNumbers(bytes, offset, header);
    offset += header.length * Number(header.type[1]);
    if (header.words) texts.set(name, new TextColumn(values, header.words));
    else numbers.set(name, values);
  }
  return new Columns(numbers, texts);
}

/** What stands compressed in the element `id`. @param {string} id @returns {Promise<Uint8Array>} */
export async function blockBytes(id) {
  const node = document.getElementById(id);
  if (!node) throw new Error(`no block ${id}`);
  return inflate(fromBase64(node.textContent ?? ""));
}

/** Where the items of each row begin in a value column, from the length per row; one entry more than rows.
 * @param {Numbers} lengths @returns {Uint32Array} */
export function starts(lengths) {
  const result = new Uint32Array(lengths.length + 1);
  for (let row = 0; row < lengths.length; row++) result[row + 1] = result[row] + lengths[row];
  return result;
}

/** @param {string} text @returns {Uint8Array} */
function fromBase64(text) {
  const native = /** @type {any} */ (Uint8Array).fromBase64;
  return native ? native.call(Uint8Array, text) : Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** @param {Uint8Array} bytes @returns {Promise<Uint8Array>} */
async function inflate(bytes) {
  const stream = new Blob([/** @type {BlobPart} */ (bytes)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** @param {Uint8Array} bytes @param {number} offset @param {ColumnHeader} header @returns {Numbers} */
function readNumbers(bytes, offset, { type, length, steps }) {
  const width = Number(type[1]);
  const plain = new Uint8Array(length * width);
  for (let byte = 0; byte < width; byte++) {
    const from = offset + byte * length;
    for (let row = 0, to = byte; row < length; row++, to += width) plain[to] = bytes[from + row];
  }
  const values = typed(type, plain.buffer);
  if (!steps) return values;
  const sums = new Float64Array(length);
  for (let row = 0, sum = 0; row < length; row++) sums[row] = sum += values[row];
  return sums;
}

/** @param {string} type @param {ArrayBuffer} buffer @returns {Numbers} */
function typed(type, buffer) {
  switch (type) {
    case "u1": return new Uint8Array(buffer);
    case "i1": return new Int8Array(buffer);
    case "u2": return new Uint16Array(buffer);
    case "i2": return new Int16Array(buffer);
    case "u4": return new Uint32Array(buffer);
    case "i4": return new Int32Array(buffer);
    case "i8": {
      const low = new Uint32Array(buffer);
      const high = new Int32Array(buffer);
      return Float64Array.from({ length: buffer.byteLength / 8 }, (_, row) => high[2 * row + 1] * 2 ** 32 + low[2 * row]);
    }
    default: throw new Error(`no column type ${type}`);
  }
}
