"use strict";
// What is shown: columns, filters, the selection, pins. No drawing here.

const given = JSON.parse(document.getElementById("data").textContent);

function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

const columns = given.columns.map((column) => {
  const values = unpack(column.data);
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const log = !column.labels && low > 0 && high / low > 5;
  return { ...column, values, low, high, log };
});
const count = given.count;
const objectives = columns.filter((column) => column.objective);
const variants = columns.find((column) => column.name === "variant");
const filters = new Map(); // column -> [low, high]
const selected = new Uint8Array(count).fill(1);
const pins = []; // at most two
let chosen = count;

// Position of a value between 0 and 1, and back.
function place(column, value) {
  if (column.high === column.low) return 0.5;
  if (column.log) return Math.log(value / column.low) / Math.log(column.high / column.low);
  return (value - column.low) / (column.high - column.low);
}

function valueAt(column, share) {
  if (column.log) return column.low * Math.pow(column.high / column.low, share);
  return column.low + share * (column.high - column.low);
}

function select() {
  selected.fill(1);
  for (const [column, [low, high]] of filters) {
    const values = column.values;
    for (let i = 0; i < count; i++) {
      if (!(values[i] >= low && values[i] <= high)) selected[i] = 0;
    }
  }
  chosen = 0;
  for (let i = 0; i < count; i++) chosen += selected[i];
}

function setFilter(column, low, high) {
  if (low === -Infinity && high === Infinity) filters.delete(column);
  else filters.set(column, [low, high]);
  select();
}

function pin(index) {
  const at = pins.indexOf(index);
  if (at >= 0) pins.splice(at, 1);
  else if (pins.length < 2) pins.push(index);
  else pins[1] = index;
}

function shown(column, index) {
  const value = column.values[index];
  if (column.labels) return column.labels[value];
  return Number.isFinite(value) ? short(value) : "-";
}

const PREFIXES = [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];

function short(value) {
  if (Number.isInteger(value) && Math.abs(value) < 1e4) return String(value);
  for (const [factor, prefix] of PREFIXES) {
    if (Math.abs(value) >= factor) return Number((value / factor).toPrecision(3)) + prefix;
  }
  return String(Number(value.toPrecision(3)));
}

function quoted(text) {
  return /[",\n\r]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
}

// The selection as CSV, numbers with seven digits, as float32 has them.
function csv() {
  const lines = [columns.map((column) => quoted(column.name)).join(",")];
  for (let i = 0; i < count; i++) {
    if (!selected[i]) continue;
    lines.push(columns.map((column) => {
      const value = column.values[i];
      if (column.labels) return quoted(column.labels[value]);
      return Number.isFinite(value) ? String(Number(value.toPrecision(7))) : "";
    }).join(","));
  }
  return lines.join("\n") + "\n";
}

function colourOf(index) {
  if (!variants) return [0, 114, 178];
  return palette[variants.values[index]];
}

const palette = (variants ? variants.labels : []).map((name) => {
  const hex = given.looks[name] ? given.looks[name][0] : "#777777";
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
});
