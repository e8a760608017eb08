// What is shown: columns, filters, the selection, pins. No drawing here.

const byId = (id) => document.getElementById(id);
const given = JSON.parse(byId("data").textContent);

function unpack({ table, bits, bytes: letters }) {
  const text = atob(letters), bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  if (!table) return bits === 64 ? new Float64Array(bytes.buffer) : new Float32Array(bytes.buffer);
  const numbers = table.map((value) => value ?? NaN), values = new Float64Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) values[i] = numbers[bytes[i]];
  return values;
}

const columns = given.columns.map((column) => {
  const values = unpack(column.data);
  let low = Infinity, high = -Infinity;
  for (let i = 0; i < values.length; i++) {
    if (values[i] < low) low = values[i];
    if (values[i] > high) high = values[i];
  }
  const log = !column.labels && low > 0 && high / low > 5;
  return { ...column, values, low, high, log };
});
const count = given.count;
const named = (name) => columns.find((column) => column.name === name);
const objectives = columns.filter((column) => column.objective);
const variants = named("variant"), joint = named("joint_front");
const possible = columns.filter((column) => column.axis && column.high > column.low);
const filters = new Map(); // column -> [low, high]
const pins = []; // at most two
const palette = (variants && variants.colours ? variants.colours : ["#0072b2"])
  .map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
const colours = new Uint8Array(count); // of each design, into the palette
const weights = new Uint8Array(count).fill(2); // 2 on the joint front, 1 on a variant's own alone
for (let i = 0; i < count; i++) {
  if (variants && variants.colours && variants.values[i] >= 0) colours[i] = variants.values[i];
  if (joint && joint.labels[joint.values[i]] === "no") weights[i] = 1;
}
const selected = weights.slice(); // 0 where a filter leaves the design out
const drawing = new Uint32Array(count); // the designs level by level of `selected`, scattered
let levels = []; // the parts of `drawing`
let chosen = count;

// The designs in a scattered order: drawn in it, no variant covers the others; any first part of
// it is spread over all. The step is near the golden section and has no common divisor with count.
const scattered = (() => {
  const divisor = (a, b) => (b ? divisor(b, a % b) : a);
  let step = Math.max(1, Math.round(count * 0.618));
  while (divisor(step, count) > 1) step++;
  return Uint32Array.from({ length: count }, (_, i) => (i * step) % count);
})();

// Position of a value between 0 and 1, and back.
function place(column, value) {
  if (column.high === column.low) return Number.isFinite(value) ? 0.5 : NaN;
  if (column.log) return Math.log(value / column.low) / Math.log(column.high / column.low);
  return (value - column.low) / (column.high - column.low);
}

function valueAt(column, share) {
  if (column.log) return column.low * Math.pow(column.high / column.low, share);
  return column.low + share * (column.high - column.low);
}

// The places of all designs, counted once for each column that is drawn.
function places(column) {
  if (!column.places) {
    column.places = Float32Array.from(column.values, (value) => place(column, value));
  }
  return column.places;
}

// The designs that have a value, by it.
function ordered(column) {
  if (!column.order) {
    const { values } = column;
    column.order = scattered.filter((i) => !Number.isNaN(values[i]));
    column.order.sort((a, b) => values[a] - values[b] || a - b);
  }
  return column.order;
}

// An end is rounded as the values are: "at most 0.1" keeps a float32 of 0.1.
function limit(column, low, high) {
  const round = column.values instanceof Float32Array ? Math.fround : Number;
  if (low === -Infinity && high === Infinity) filters.delete(column);
  else filters.set(column, [round(low), round(high)]);
}

// A label is selected whole or not at all.
function limitLabels(column, low, high) {
  limit(column, low - 0.49, high + 0.49);
}

function select() {
  selected.set(weights);
  for (const [{ values }, [low, high]] of filters) {
    for (let i = 0; i < count; i++) if (!(values[i] >= low && values[i] <= high)) selected[i] = 0;
  }
  let end = 0;
  levels = [0, 1, 2].map((level) => {
    const start = end;
    for (let n = 0; n < count; n++) {
      if (selected[scattered[n]] === level) drawing[end++] = scattered[n];
    }
    return drawing.subarray(start, end);
  });
  chosen = count - levels[0].length;
}

function pin(index) {
  const at = pins.indexOf(index);
  if (at >= 0) pins.splice(at, 1);
  else if (pins.length < 2) pins.push(index);
  else pins[1] = index;
}

// The selection as CSV: measurements with seven digits, as float32 has them, the rest exactly.
function csv() {
  const lines = [columns.map((column) => cell(column.name)).join(",")];
  for (let i = 0; i < count; i++) {
    if (!selected[i]) continue;
    lines.push(columns.map(({ values, labels }) => {
      if (Number.isNaN(values[i])) return "";
      if (labels) return cell(labels[values[i]]);
      return String(values instanceof Float32Array ? Number(values[i].toPrecision(7)) : values[i]);
    }).join(","));
  }
  return lines.join("\n") + "\n";
}
