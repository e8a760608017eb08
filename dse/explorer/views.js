// Panels, parallel coordinates, tables; what the mouse does.

const NEAR = 9, LINES = 1200, FAINT = 400; // pixels; drawn lines of the selection, of the rest
const EDGE = { left: 58, right: 12, top: 10, bottom: 40 };
const INK = "#1a1a1a", MUTED = "#666666", GRID = "#e4e4e4";
const byId = (id) => document.getElementById(id);
let pointed = -1, brush = null, waiting = false;

function element(parent, name, text) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

function ticks(column) {
  if (column.labels) return column.labels.map((label, code) => [code, label]);
  const found = [];
  if (column.log) {
    const decades = Math.log10(column.high / column.low);
    const steps = decades > 2.5 ? [1] : decades > 1 ? [1, 3] : [1, 1.5, 2, 3, 5, 7];
    for (let d = Math.floor(Math.log10(column.low)); d <= Math.log10(column.high); d++) {
      for (const step of steps) found.push(step * Math.pow(10, d));
    }
  } else {
    const span = column.high - column.low || 1, rough = span / 4;
    const unit = Math.pow(10, Math.floor(Math.log10(rough)));
    const step = [1, 2, 5, 10].find((s) => s * unit >= rough) * unit;
    for (let v = Math.ceil(column.low / step) * step; v <= column.high; v += step) found.push(v);
  }
  const kept = found.filter((v) => v >= column.low * 0.9999 && v <= column.high * 1.0001);
  const every = Math.ceil(kept.length / 7);
  return kept.filter((_, i) => i % every === 0).map((v) => [v, short(v)]);
}

function sized(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "12px system-ui, sans-serif";
  return { context, width, height, ratio };
}

class Panel {
  constructor(x, y) {
    this.x = x;
    this.y = y;
    this.canvas = element(byId("projections"), "canvas");
    this.canvas.dataset.axes = `${x.name} ${y.name}`;
    this.canvas.addEventListener("pointerdown", (event) => this.down(event));
    this.canvas.addEventListener("pointermove", (event) => this.move(event));
    this.canvas.addEventListener("pointerup", (event) => this.up(event));
    this.canvas.addEventListener("pointerleave", () => point(-1));
  }

  box() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    return { left: EDGE.left, top: EDGE.top, wide: width - EDGE.left - EDGE.right,
      high: height - EDGE.top - EDGE.bottom };
  }

  at(index) {
    const box = this.box();
    return [box.left + 4 + (box.wide - 8) * place(this.x, this.x.values[index]),
      box.top + 4 + (box.high - 8) * (1 - place(this.y, this.y.values[index]))];
  }

  // Data under a position.
  under(px, py) {
    const box = this.box();
    return [valueAt(this.x, (px - box.left - 4) / (box.wide - 8)),
      valueAt(this.y, 1 - (py - box.top - 4) / (box.high - 8))];
  }

  draw() {
    const { context, ratio } = sized(this.canvas), box = this.box();
    this.axes(context, box);
    const layer = context.getImageData(0, 0, this.canvas.width, this.canvas.height);
    for (const wanted of [0, 1]) {
      for (let i = 0; i < count; i++) if (selected[i] === wanted) this.dot(layer, i, ratio, wanted);
    }
    context.putImageData(layer, 0, 0);
    context.lineWidth = 1.6;
    pins.forEach((index, number) => this.ring(context, index, 7, "AB"[number]));
    if (pointed >= 0) this.ring(context, pointed, 5, "");
    if (brush && brush.panel === this) {
      context.fillStyle = "#0072b222";
      context.fillRect(brush.x, brush.y, brush.toX - brush.x, brush.toY - brush.y);
    }
  }

  axes(context, box) {
    context.strokeStyle = GRID;
    context.fillStyle = MUTED;
    context.textAlign = "center";
    for (const [value, label] of ticks(this.x)) {
      const px = box.left + 4 + (box.wide - 8) * place(this.x, value);
      context.strokeRect(px, box.top, 0, box.high);
      context.fillText(label, px, box.top + box.high + 15);
    }
    context.textAlign = "right";
    for (const [value, label] of ticks(this.y)) {
      const py = box.top + 4 + (box.high - 8) * (1 - place(this.y, value));
      context.strokeRect(box.left, py, box.wide, 0);
      context.fillText(label, box.left - 5, py + 4);
    }
    context.fillStyle = INK;
    context.textAlign = "center";
    context.fillText(titled(this.x), box.left + box.wide / 2, box.top + box.high + 34);
    context.save();
    context.translate(12, box.top + box.high / 2);
    context.rotate(-Math.PI / 2);
    context.fillText(titled(this.y), 0, 0);
    context.restore();
  }

  dot(layer, index, ratio, wanted) {
    const [px, py] = this.at(index);
    if (!Number.isFinite(px + py)) return;
    const [red, green, blue] = wanted ? colourOf(index) : [214, 214, 214];
    const size = Math.round((count > 20000 ? 2 : 3) * ratio);
    const left = Math.round(px * ratio - size / 2), top = Math.round(py * ratio - size / 2);
    for (let y = Math.max(top, 0); y < Math.min(top + size, layer.height); y++) {
      for (let x = Math.max(left, 0); x < Math.min(left + size, layer.width); x++) {
        const at = 4 * (y * layer.width + x);
        layer.data[at] = red;
        layer.data[at + 1] = green;
        layer.data[at + 2] = blue;
        layer.data[at + 3] = 255;
      }
    }
  }

  ring(context, index, radius, letter) {
    const [px, py] = this.at(index);
    context.strokeStyle = context.fillStyle = INK;
    context.beginPath();
    context.arc(px, py, radius, 0, 7);
    context.stroke();
    if (letter) context.fillText(letter, px + 13, py - 6);
  }

  // The nearest design within reach: of the selection if there is one.
  nearest(px, py) {
    let best = -1, least = NEAR * NEAR;
    for (let i = 0; i < count; i++) {
      if (!selected[i]) continue;
      const [x, y] = this.at(i), square = (x - px) ** 2 + (y - py) ** 2;
      if (square < least) [best, least] = [i, square];
    }
    return best;
  }

  down(event) {
    this.canvas.setPointerCapture(event.pointerId);
    brush = { panel: this, x: event.offsetX, y: event.offsetY,
      toX: event.offsetX, toY: event.offsetY };
  }

  move(event) {
    if (brush && brush.panel === this) {
      [brush.toX, brush.toY] = [event.offsetX, event.offsetY];
      if (this.dragged()) this.filter();
      later();
    } else {
      point(this.nearest(event.offsetX, event.offsetY), event);
    }
  }

  up(event) {
    if (!brush || brush.panel !== this) return;
    if (!this.dragged()) {
      const found = this.nearest(event.offsetX, event.offsetY);
      if (found >= 0) pin(found);
      else for (const column of [this.x, this.y]) setFilter(column, -Infinity, Infinity);
    }
    brush = null;
    changed();
  }

  dragged() {
    return Math.hypot(brush.toX - brush.x, brush.toY - brush.y) > 4;
  }

  filter() {
    const [x0, y0] = this.under(Math.min(brush.x, brush.toX), Math.max(brush.y, brush.toY));
    const [x1, y1] = this.under(Math.max(brush.x, brush.toX), Math.min(brush.y, brush.toY));
    setFilter(this.x, x0, x1);
    setFilter(this.y, y0, y1);
    changed();
  }
}

function titled(column) {
  return column.unit ? `${column.label} (${column.unit})` : column.label;
}
