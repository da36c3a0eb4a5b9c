// Small heatmaps of latency over time, as heat.py counts them: a column a part of the time, the longest durations on top.

import { element } from "./dom.js";
import { duration } from "./format.js";

const CELL_WIDTH = 4;
const CELL_HEIGHT = 3;
/** Reads on light and on dark. */
const INK = [47, 127, 189];

/** @param {string} cells a digit a cell, column by column @param {{ columns: number, levels: number, shortest: number, longest: number }} scale
 * @returns {HTMLElement} */
export function smallHeat(cells, scale) {
  const canvas = /** @type {HTMLCanvasElement} */ (element("canvas", {
    class: "small-heat", width: scale.columns * CELL_WIDTH, height: scale.levels * CELL_HEIGHT, role: "img", "aria-label": inWords(cells, scale),
  }));
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  for (let cell = 0; cell < cells.length; cell++) {
    const heat = Number(cells[cell]);
    if (!heat) continue;
    pen.fillStyle = `rgb(${INK.join(" ")} / ${0.18 + 0.082 * heat})`;
    const level = cell % scale.levels;
    pen.fillRect(Math.floor(cell / scale.levels) * CELL_WIDTH, (scale.levels - 1 - level) * CELL_HEIGHT, CELL_WIDTH, CELL_HEIGHT);
  }
  return canvas;
}

/** Where most of the calls lie, for those who do not see it. @param {string} cells
 * @param {{ columns: number, levels: number, shortest: number, longest: number }} scale @returns {string} */
function inWords(cells, { columns, levels, shortest, longest }) {
  const parts = [0, 1, 2].map((third) => {
    let weight = 0;
    let sum = 0;
    for (let cell = Math.floor((third * columns) / 3) * levels; cell < Math.floor(((third + 1) * columns) / 3) * levels; cell++) {
      const heat = Number(cells[cell]);
      weight += heat;
      sum += heat * ((cell % levels) + 0.5);
    }
    return weight ? `about ${duration(shortest * (longest / shortest) ** (sum / weight / levels))}` : "no calls";
  });
  return `Latency over time: ${parts.join(", then ")}`;
}
