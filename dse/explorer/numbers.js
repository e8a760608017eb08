"use strict";
// Numbers and texts as people read and write them.

const PREFIXES = [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
const NUMBER = /^([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*([kKMGTP]?)$/i;

// 1234567 -> 1.23M. Rounded first, so that 999999 is 1M and not 1000k.
function short(value, digits = 3) {
  const rounded = Number(value.toPrecision(digits)), size = Math.abs(rounded);
  if (size && (size < 1e-3 || size >= 1e18)) {
    return value.toExponential(digits - 1).replace(/\.?0*e\+?/, "e");
  }
  const found = PREFIXES.find(([factor]) => size >= factor);
  return found ? Number((rounded / found[0]).toPrecision(digits)) + found[1] : String(rounded);
}

// What `short` writes, and plain numbers: 2.5M -> 2500000; NaN where it is not a number.
function parsed(text) {
  const found = NUMBER.exec(text.trim().replace(/,(?=\d{3}(\D|$))/g, ""));
  if (!found) return NaN;
  const letter = found[2] === "K" ? "k" : found[2];
  const prefix = PREFIXES.find(([, name]) => name === letter);
  return letter && !prefix ? NaN : Number(found[1]) * (prefix ? prefix[0] : 1);
}

// A value of a column: every digit of a count, which an identifier shows as it is typed elsewhere.
function text(column, value, digits = 3) {
  if (!Number.isFinite(value)) return "";
  if (column.labels) return (column.texts || column.labels)[value];
  if (!column.whole) return short(value, digits);
  return column.axis ? value.toLocaleString("en") : String(value);
}

// At most some round values along an axis, the finest that fit.
function ticks(column, most) {
  if (column.labels) {
    const every = Math.ceil(column.labels.length / most);
    return column.labels.map((_, code) => code).filter((code) => code % every === 0);
  }
  const { low, high } = column;
  if (low === high) return [low];
  if (!column.log) {
    const rough = (high - low) / 4, unit = Math.pow(10, Math.floor(Math.log10(rough)));
    const step = [1, 2, 5, 10].find((s) => s * unit >= rough) * unit;
    const first = Math.ceil(low / step), last = Math.floor(high / step);
    return Array.from({ length: last - first + 1 }, (_, n) => (first + n) * step);
  }
  const [first, last] = [Math.floor(Math.log10(low)), Math.floor(Math.log10(high))];
  for (const steps of [[1, 1.5, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]]) {
    const found = [];
    for (let d = first; d <= last; d++) {
      for (const step of steps) found.push(Number(`${step}e${d}`));
    }
    const kept = found.filter((value) => value >= low && value <= high);
    const every = Math.ceil(kept.length / most);
    if (every <= 1 || steps.length === 1) return kept.filter((_, n) => n % every === 0);
  }
}

// A text cell of a CSV file: one that a spreadsheet would run as a formula is kept a text.
function cell(words) {
  const safe = /^[=+\-@\t\r]/.test(words) ? "'" + words : words;
  return /[",\n\r]/.test(safe) ? '"' + safe.replaceAll('"', '""') + '"' : safe;
}

// As much of the words as fits into a width.
function fitted(context, words, width) {
  if (context.measureText(words).width <= width) return words;
  let end = words.length;
  while (end > 1 && context.measureText(words.slice(0, end) + "…").width > width) end--;
  return words.slice(0, end).trimEnd() + "…";
}

// Words on some lines of a width; what does not fit ends with an ellipsis.
function wrapped(context, words, width, most) {
  const lines = [];
  for (const word of words.split(" ")) {
    const longer = lines.length ? `${lines.at(-1)} ${word}` : word;
    const fits = context.measureText(longer).width <= width;
    if (lines.length && (fits || lines.length === most)) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines.map((line) => fitted(context, line, width));
}
