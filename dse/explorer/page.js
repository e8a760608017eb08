// Parallel coordinates, budgets, pins, and how all of it is kept in step.

const canvas = byId("parallel");
const possible = columns.filter((column) => column.axis && column.high > column.low);
const SIDE = 46, HEAD = 52, FOOT = 20, USUAL = 13; // pixels; axes at first
// At first those that every design has: objectives, the variant, what all variants share.
let upright = possible.filter((column) => column.values.every(Number.isFinite)).slice(0, USUAL);
let sliding = null; // an axis that is being brushed

function across(number) {
  const wide = canvas.clientWidth - 2 * SIDE;
  return SIDE + (upright.length > 1 ? (wide * number) / (upright.length - 1) : wide / 2);
}

function along(column, value) {
  return HEAD + (canvas.clientHeight - HEAD - FOOT) * (1 - place(column, value));
}

function trace(context, index) {
  context.beginPath();
  upright.forEach((column, number) => {
    const value = column.values[index];
    if (Number.isFinite(value)) context.lineTo(across(number), along(column, value));
  });
  context.stroke();
}

// Some of the designs, evenly spread, so that the picture stays quick.
function sample(wanted, total, most) {
  const every = Math.max(1, Math.ceil(total / most)), found = [];
  for (let i = 0, seen = 0; i < count; i++) {
    if (selected[i] === wanted && seen++ % every === 0) found.push(i);
  }
  return found;
}

function drawParallel() {
  const { context } = sized(canvas);
  context.lineWidth = 0.7;
  context.strokeStyle = "#dddddd88";
  for (const index of sample(0, count - chosen, FAINT)) trace(context, index);
  for (const index of sample(1, chosen, LINES)) {
    context.strokeStyle = `rgba(${colourOf(index).join(",")},0.28)`;
    trace(context, index);
  }
  context.lineWidth = 2;
  context.strokeStyle = INK;
  for (const index of pointed >= 0 ? [...pins, pointed] : pins) trace(context, index);
  context.lineWidth = 1;
  upright.forEach((column, number) => drawAxis(context, column, across(number), number));
}

function drawAxis(context, column, px, number) {
  const top = HEAD, bottom = canvas.clientHeight - FOOT;
  context.strokeStyle = MUTED;
  context.strokeRect(px, top, 0, bottom - top);
  context.fillStyle = INK;
  context.textAlign = "center";
  const words = column.name.length > 14 ? column.name.split(/_(?=[^_]*$)/) : [column.name];
  const raised = number % 2 ? 0 : 22; // neighbours' names do not meet
  words.forEach((word, line) => context.fillText(word, px, 12 + 12 * line + (22 - raised)));
  context.fillStyle = MUTED;
  context.fillText(column.labels ? "" : short(column.high), px, top - 3);
  context.fillText(column.labels ? "" : short(column.low), px, bottom + 14);
  if (column.labels) {
    context.fillStyle = INK;
    context.textAlign = "left";
    for (const [code, label] of ticks(column)) {
      context.fillText(label, px + 5, along(column, code) + 4);
    }
  }
  const filter = filters.get(column);
  if (filter) {
    const high = along(column, Math.min(filter[1], column.high));
    const low = along(column, Math.max(filter[0], column.low));
    context.fillStyle = "#0072b255";
    context.fillRect(px - 6, high - 2, 12, low - high + 4);
  }
}

function axisAt(px) {
  const near = upright.map((_, number) => Math.abs(across(number) - px));
  const least = Math.min(...near);
  return least < 16 ? upright[near.indexOf(least)] : null;
}

function shareAt(py) {
  return 1 - (py - HEAD) / (canvas.clientHeight - HEAD - FOOT);
}

canvas.addEventListener("pointerdown", (event) => {
  const column = axisAt(event.offsetX);
  if (!column) return;
  canvas.setPointerCapture(event.pointerId);
  sliding = { column, from: event.offsetY, to: event.offsetY };
});
canvas.addEventListener("pointermove", (event) => {
  if (!sliding) return;
  sliding.to = event.offsetY;
  if (Math.abs(sliding.to - sliding.from) < 4) return;
  const shares = [shareAt(sliding.from), shareAt(sliding.to)].sort((a, b) => a - b);
  const margin = sliding.column.labels ? 0.49 : 0; // a label is whole or not at all
  const ends = shares.map((share) => valueAt(sliding.column, share));
  setFilter(sliding.column, ends[0] - margin, ends[1] + margin);
  changed();
});
canvas.addEventListener("pointerup", () => {
  if (sliding && Math.abs(sliding.to - sliding.from) < 4) {
    setFilter(sliding.column, -Infinity, Infinity);
    changed();
  }
  sliding = null;
});

const panels = [];
const [first, second, third] = objectives;
if (second) panels.push(new Panel(second, first));
if (third) panels.push(new Panel(second, third), new Panel(third, first));

// A row a column: whether it has an axis; of a number, at least and at most.
const inputs = new Map();
const head = element(byId("budgets"), "tr");
for (const word of ["", "at least", "at most", "axis"]) element(head, "th", word);
for (const column of possible) {
  const row = element(byId("budgets"), "tr");
  element(row, "td", titled(column));
  if (column.labels) row.append(document.createElement("td"), document.createElement("td"));
  else addBudget(row, column);
  const box = element(element(row, "td"), "input");
  box.type = "checkbox";
  box.checked = upright.includes(column);
  box.ariaLabel = `axis for ${column.name}`;
  box.addEventListener("change", () => {
    upright = possible.filter((c) => (c === column ? box.checked : upright.includes(c)));
    later();
  });
}

function addBudget(row, column) {
  const ends = ["at least", "at most"].map((word, end) => {
    const input = element(element(row, "td"), "input");
    input.type = "number";
    input.step = "any";
    input.placeholder = short(end ? column.high : column.low);
    input.ariaLabel = `${column.name} ${word}`;
    return input;
  });
  inputs.set(column, ends);
  for (const input of ends) {
    input.addEventListener("change", () => {
      if (ends.some((one) => !one.checkValidity())) return;
      const [low, high] = ends.map((one) => one.value);
      setFilter(column, low === "" ? -Infinity : +low, high === "" ? Infinity : +high);
      changed();
    });
  }
}

function showBudgets() {
  for (const [column, ends] of inputs) {
    const filter = filters.get(column) || [-Infinity, Infinity];
    ends.forEach((input, end) => {
      if (input === document.activeElement) return;
      const value = filter[end];
      input.value = Number.isFinite(value) ? Number(value.toPrecision(4)) : "";
    });
  }
}

function showPins() {
  const table = byId("pins");
  table.replaceChildren();
  byId("unpinned").hidden = pins.length > 0;
  if (!pins.length) return;
  const head = element(table, "tr");
  for (const word of ["", "A", "B", "B / A"].slice(0, pins.length === 2 ? 4 : 2)) {
    element(head, "th", word);
  }
  for (const column of columns) {
    if (pins.every((index) => shown(column, index) === "-")) continue;
    const row = element(table, "tr");
    element(row, "td", titled(column));
    for (const index of pins) element(row, "td", shown(column, index));
    if (pins.length === 2) {
      const [a, b] = pins.map((index) => column.values[index]);
      element(row, "td", column.labels || !a ? "" : (b / a).toPrecision(3));
    }
  }
  const button = element(element(table, "tr"), "button", "Unpin");
  button.addEventListener("click", () => {
    pins.length = 0;
    changed();
  });
}

function point(index, event) {
  const tip = byId("tip");
  tip.hidden = index < 0;
  if (index >= 0) {
    tip.textContent = columns.map((c) => `${titled(c)}: ${shown(c, index)}`).join("\n");
    const left = event.clientX + 16 + tip.offsetWidth > window.innerWidth;
    tip.style.left = `${left ? event.clientX - 16 - tip.offsetWidth : event.clientX + 16}px`;
    tip.style.top = `${Math.min(event.clientY, window.innerHeight - tip.offsetHeight - 8)}px`;
  }
  if (index === pointed) return;
  pointed = index;
  later();
}

function later() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    for (const panel of panels) panel.draw();
    drawParallel();
  });
}

function changed() {
  const [some, all] = [chosen, count].map((n) => n.toLocaleString("en"));
  byId("status").textContent = `${some} of ${all} designs selected`;
  showBudgets();
  showPins();
  later();
}

byId("clear").addEventListener("click", () => {
  filters.clear();
  select();
  changed();
});
byId("download").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = "selection.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
});
window.addEventListener("resize", later);
byId("title").textContent = given.title;
for (const [code, name] of (variants ? variants.labels : []).entries()) {
  const item = element(byId("legend"), "span");
  element(item, "i").style.background = `rgb(${palette[code].join(",")})`;
  item.append(given.looks[name] ? given.looks[name][1] : name);
}
changed();
