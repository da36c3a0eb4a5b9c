// A hue for each service, always beside its name. There are eight; with more services they come round again.

/** Hues of the style sheet. */
const HUES = 8;

/** Gives each name a hue, in the order in which names are first asked for. */
export class Hues {
  constructor() {
    /** @type {Map<string, number>} */
    this.numbers = new Map();
  }

  /** Class of the style sheet for a name. @param {string} name @returns {string} */
  of(name) {
    let number = this.numbers.get(name);
    if (number === undefined) {
      number = this.numbers.size % HUES;
      this.numbers.set(name, number);
    }
    return `hue${number}`;
  }
}
