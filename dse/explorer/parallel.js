// Parallel coordinates: a line a design through all the axes that are ticked.

const LINES = [300, 500, 700]; // at most: not selected, of own fronts, of the joint front
const HEAD = 78, FOOT = 22, SIDE = 54, GAP = 82, LABEL = 130; // pixels; gaps at least

class Parallel extends Plot {
  constructor(parent) {
    super(parent, "Parallel coordinates");
    [this.x, this.y] = objectives;
    // At first as many as fit of those that every design has, objectives and the variant first.
    const fits = Math.floor(((parent.clientWidth || 1400) - 2 * SIDE) / 96) + 1;
    this.axes = possible.filter((column) => column.values.every(Number.isFinite))
      .slice(0, Math.min(Math.max(fits, 4), 13));
  }

  show(axes) {
    this.axes = axes;
    this.width = 0; // the layout is another
    later(ALL);
  }

  fit() {
    this.gaps = this.axes.slice(1).map((_, n) => (this.axes[n].labels ? LABEL : GAP));
    const least = this.gaps.reduce((sum, gap) => sum + gap, 2 * SIDE);
    this.frame.style.minWidth = `${least}px`;
    super.fit();
  }

  layout() {
    const least = this.gaps.reduce((sum, gap) => sum + gap, 2 * SIDE);
    const spare = (this.width - least) / Math.max(1, this.gaps.length);
    this.across = [this.gaps.length ? SIDE : this.width / 2];
    for (const gap of this.gaps) this.across.push(this.across.at(-1) + gap + spare);
  }

  toY(share) {
    return HEAD + (this.height - HEAD - FOOT) * (1 - share);
  }

  at(index) {
    const number = this.axes.findIndex((column) => Number.isFinite(column.values[index]));
    return number < 0 ? [SIDE, HEAD] : [this.across[number],
      this.toY(places(this.axes[number])[index])];
  }

  // A line breaks where a value is missing; a value without neighbours is a short stroke.
  trace(context, index) {
    const heights = this.axes.map((column) => this.toY(places(column)[index]));
    context.beginPath();
    heights.forEach((py, n) => {
      const px = this.across[n];
      if (Number.isNaN(py)) return;
      const [before, after] = [heights[n - 1] >= 0, heights[n + 1] >= 0];
      if (before) context.lineTo(px, py);
      else context.moveTo(after ? px : px - 3, py);
      if (!before && !after) context.lineTo(px + 3, py);
    });
    context.stroke();
  }

  draw() {
    const { context } = this;
    context.clearRect(0, 0, this.width, this.height);
    context.lineWidth = 0.8;
    this.drawn = [];
    // Fewer of very many while a brush moves, so that the picture follows the mouse.
    const share = count > MANY && plots.some((plot) => plot.drag && plot.drag.moved) ? 3 : 1;
    for (const level of [0, 1, 2]) {
      for (const i of levels[level].slice(0, LINES[level] / share)) {
        if (level) this.drawn.push(i);
        const colour = level ? palette[colours[i]] : REST;
        context.strokeStyle = `rgba(${colour.join(",")},${[0.36, 0.16, 0.34][level]})`;
        this.trace(context, i);
      }
    }
    this.axes.forEach((column, number) => this.axis(context, column, number));
  }

  axis(context, column, number) {
    const px = this.across[number], last = number === this.axes.length - 1;
    const room = Math.min(number ? px - this.across[number - 1] : 2 * SIDE,
      last ? 2 * SIDE : this.across[number + 1] - px) - 8;
    context.lineWidth = 1;
    context.strokeStyle = MUTED;
    context.strokeRect(px, HEAD, 0, this.height - HEAD - FOOT);
    context.fillStyle = INK;
    context.textAlign = "center";
    const lines = wrapped(context, column.title, room, 4);
    lines.forEach((line, n) => context.fillText(line, px, HEAD - 21 - 14 * (lines.length - 1 - n)));
    if (column.labels) return;
    context.fillStyle = MUTED;
    haloed(context, text(column, column.high), px, HEAD - 5);
    haloed(context, text(column, column.low), px, this.height - FOOT + 15);
  }

  // Beside the axis; the last one's on the inner side.
  labels(context, column, number) {
    const px = this.across[number], last = number === this.axes.length - 1;
    const room = Math.abs(px - (this.across[last ? number - 1 : number + 1] || 0)) - 14;
    context.textAlign = last ? "right" : "left";
    for (const code of ticks(column, (this.height - HEAD - FOOT) / 15)) {
      const words = fitted(context, text(column, code), room);
      haloed(context, words, px + (last ? -7 : 7), this.toY(place(column, code)) + 4);
    }
  }

  mark(context) {
    if (!this.axes.length) return;
    this.axes.forEach((column, number) => {
      const filter = filters.get(column);
      if (!filter) return;
      const ends = [Math.max(filter[0], column.low), Math.min(filter[1], column.high)];
      const [low, high] = ends.map((end) => this.toY(place(column, end)));
      context.fillStyle = `${BRUSH}55`;
      context.fillRect(this.across[number] - 6, high - 2, 12, low - high + 4);
    });
    const shown = pointed >= 0 ? [...pins, pointed] : pins;
    for (const [style, width] of [["#ffffffcc", 4], [INK, 2]]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      for (const index of shown) this.trace(context, index);
    }
    context.fillStyle = INK;
    this.axes.forEach((column, n) => column.labels && this.labels(context, column, n));
    context.textAlign = "left";
    pins.forEach((index, n) => {
      const py = this.toY(places(this.axes.at(-1))[index]);
      if (!Number.isNaN(py)) haloed(context, "AB"[n], this.across.at(-1) + 6, py + 4);
    });
  }

  axisAt(x) {
    const near = this.across.map((px) => Math.abs(px - x)), least = Math.min(...near);
    return least < 16 ? this.axes[near.indexOf(least)] : null;
  }

  // The design whose line is nearest, of those drawn.
  nearest(x, y) {
    const right = this.across.findIndex((px) => px >= x);
    if (right < 1) return -1;
    const [x0, x1] = [this.across[right - 1], this.across[right]];
    const [from, to] = [places(this.axes[right - 1]), places(this.axes[right])];
    let best = -1, least = NEAR;
    for (const i of this.drawn) {
      const y0 = this.toY(from[i]), y1 = this.toY(to[i]);
      const away = Math.abs(y0 + ((y1 - y0) * (x - x0)) / (x1 - x0) - y);
      const distance = away / Math.hypot(1, (y1 - y0) / (x1 - x0));
      if (distance < least) [best, least] = [i, distance];
    }
    return best;
  }

  brush({ x, y, toY }) {
    const column = this.axisAt(x);
    if (!column) return;
    const high = this.height - HEAD - FOOT;
    const ends = [Math.max(y, toY), Math.min(y, toY)]
      .map((py) => valueAt(column, 1 - (py - HEAD) / high));
    (column.labels ? limitLabels : limit)(column, ...ends);
    changed();
  }

  click(x, y) {
    const column = this.axisAt(x), found = this.nearest(x, y);
    if (column && filters.has(column)) {
      limit(column, -Infinity, Infinity);
      changed();
    } else if (found >= 0) {
      repin(() => pin(found));
    }
  }
}
