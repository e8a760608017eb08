// Budgets and axes, pinned designs, and what is said of the design that is pointed at.

const ROWS = 11; // of the tip: it is to be seen at a glance
const budgets = new Map(); // column -> how to show its filter

function header(table, words) {
  const row = element(table, "tr");
  for (const word of words) element(row, "th", word).scope = "col";
}

// A row a column: whether it has an axis; of a number, at least and at most; of texts, which.
function fillBudgets() {
  header(byId("budgets"), ["", "at least", "at most", "axis"]);
  for (const column of possible) {
    const row = element(byId("budgets"), "tr");
    element(row, "th", column.title).scope = "row";
    if (column.labels) addChoice(row, column);
    else addBudget(row, column);
    const box = element(element(row, "td"), "input");
    box.type = "checkbox";
    box.checked = parallel.axes.includes(column);
    box.ariaLabel = `axis of ${column.title}`;
    box.addEventListener("change", () => {
      const { axes } = parallel;
      parallel.show(possible.filter((c) => (c === column ? box.checked : axes.includes(c))));
    });
  }
}

function addChoice(row, column) {
  const cell = element(row, "td"), choice = element(cell, "select");
  cell.colSpan = 2;
  choice.ariaLabel = `${column.title}, only`;
  element(choice, "option", "any");
  for (const code of column.labels.keys()) element(choice, "option", text(column, code));
  choice.addEventListener("change", () => {
    const code = choice.selectedIndex - 1;
    if (code < 0) limit(column, -Infinity, Infinity);
    else limitLabels(column, code, code);
    changed();
  });
  budgets.set(column, (filter) => {
    const [low, high] = filter ? [Math.ceil(filter[0]), Math.floor(filter[1])] : [-1, -1];
    choice.selectedIndex = low === high ? low + 1 : -1; // blank: more than one
  });
}

function addBudget(row, column) {
  const problem = element(row.firstChild, "span");
  problem.className = "problem";
  problem.role = "alert";
  const inputs = ["at least", "at most"].map((word, end) => {
    const input = element(element(row, "td"), "input");
    input.inputMode = "decimal";
    input.placeholder = text(column, end ? column.high : column.low);
    input.ariaLabel = `${column.title} ${word}`;
    return input;
  });
  const complain = (words, input) => {
    problem.textContent = words;
    for (const one of inputs) one.ariaInvalid = String(one === input);
  };
  inputs.forEach((input, end) => {
    input.addEventListener("change", () => {
      const ends = [...(filters.get(column) || [-Infinity, Infinity])]; // the other stays exactly
      const number = parsed(input.value);
      ends[end] = input.value.trim() === "" ? (end ? Infinity : -Infinity) : number;
      if (Number.isNaN(ends[end])) return complain("not a number; allowed: 300, 2.5M, 1e6", input);
      if (ends[0] > ends[1]) return complain("at least is above at most", input);
      complain("");
      limit(column, ...ends);
      changed();
    });
  });
  budgets.set(column, (filter) => {
    complain("");
    inputs.forEach((input, end) => {
      const value = filter ? filter[end] : Infinity;
      if (!Number.isFinite(value)) input.value = "";
      // What was typed stays as it was typed.
      else if (Math.fround(parsed(input.value)) !== Math.fround(value)) {
        input.value = text(column, value, 4);
      }
    });
  });
}

let filtersShown = new Map();

function showBudgets() {
  for (const [column, show] of budgets) {
    if (filters.get(column) !== filtersShown.get(column)) show(filters.get(column));
  }
  filtersShown = new Map(filters);
}

function showPins() {
  const table = byId("pins");
  table.replaceChildren();
  byId("unpinned").hidden = pins.length > 0;
  if (!pins.length) return;
  const both = pins.length === 2;
  header(table, both ? ["", "A", "B", "B / A"] : ["", "A"]);
  for (const column of columns) {
    const values = pins.map((index) => column.values[index]);
    if (values.every(Number.isNaN)) continue;
    const row = element(table, "tr");
    element(row, "th", column.title).scope = "row";
    for (const value of values) element(row, "td", text(column, value) || "–");
    const ratio = values[1] / values[0];
    const told = both && column.axis && !column.labels && Number.isFinite(ratio);
    if (both) element(row, "td", told ? short(ratio) : "");
  }
  const button = element(element(element(table, "tr"), "td"), "button", "Unpin");
  button.addEventListener("click", () => repin(() => (pins.length = 0)));
}

// Names and values of a design, those that it has: objectives first, as the columns are.
function described(index) {
  return columns.filter((column) => !Number.isNaN(column.values[index]) && column.high > column.low)
    .map((column) => [column.title, text(column, column.values[index])]);
}

function point(index, x, y) {
  const tip = byId("tip");
  tip.hidden = index < 0;
  if (index >= 0) {
    if (index !== pointed) {
      const rows = described(index), more = rows.length - ROWS;
      tip.replaceChildren();
      for (const [name, value] of rows.slice(0, ROWS)) {
        element(tip, "span", name);
        element(tip, "b", value);
      }
      if (more > 0) element(tip, "i", `${more} more when it is pinned`);
    }
    const { innerWidth, innerHeight } = window, { offsetWidth, offsetHeight } = tip;
    const left = x + 16 + offsetWidth > innerWidth ? x - 16 - offsetWidth : x + 16;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${Math.max(4, Math.min(y, innerHeight - offsetHeight - 8))}px`;
  }
  if (index === pointed) return;
  pointed = index;
  later(MARKS);
}

// For a screen reader: what the keyboard has come to.
function say(index) {
  byId("spoken").textContent = described(index).slice(0, 5).map((row) => row.join(": ")).join("; ");
}
