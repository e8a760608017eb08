// A projection on two objectives.

const EDGE = { left: 58, right: 14, top: 20, bottom: 42 }, INSET = 8; // pixels
const REST = [205, 205, 205]; // the colour of designs that are not selected

class Panel extends Plot {
  constructor(x, y) {
    super(byId("projections"), `${y.title} against ${x.title}`);
    Object.assign(this, { x, y });
  }

  // Coordinates of all designs, and the picture of the axes: once for each size.
  layout() {
    const { context, width, height, ratio } = this;
    this.box = { left: EDGE.left, top: EDGE.top, wide: Math.max(1, width - EDGE.left - EDGE.right),
      high: Math.max(1, height - EDGE.top - EDGE.bottom) };
    this.px = places(this.x).map((share) => this.toX(share));
    this.py = places(this.y).map((share) => this.toY(share));
    const row = this.canvas.width;
    this.pixelOf = Int32Array.from(this.px, (px, i) => (
      Number.isNaN(px + this.py[i]) ? -1
        : Math.round(this.py[i] * ratio) * row + Math.round(px * ratio)));
    context.fillStyle = "#ffffff"; // opaque: what dots are mixed with
    context.fillRect(0, 0, width, height);
    this.axes(context);
    this.picture = context.getImageData(0, 0, row, this.canvas.height);
    this.pixels = new Uint32Array(this.picture.data.buffer);
    this.empty = this.pixels.slice();
    const size = (count > MANY ? 2.2 : count > 3000 ? 4 : 5) * ratio;
    this.stamps = [[size, 0.5], [size, joint ? 0.4 : 0.9], [size, 0.9]]
      .map(([diameter, opacity]) => stamp(diameter, opacity, row));
  }

  toX(share) {
    return this.box.left + INSET + (this.box.wide - 2 * INSET) * share;
  }

  toY(share) {
    return this.box.top + INSET + (this.box.high - 2 * INSET) * (1 - share);
  }

  at(index) {
    return [this.px[index], this.py[index]];
  }

  // What is not selected first, then what is on a variant's own front alone, then the joint front.
  draw() {
    const { pixels, pixelOf, stamps } = this;
    pixels.set(this.empty);
    for (let level = 0; level < 3; level++) {
      const { offsets, covers } = stamps[level], points = offsets.length;
      for (const i of levels[level]) {
        if (pixelOf[i] < 0) continue;
        const [red, green, blue] = level ? palette[colours[i]] : REST;
        for (let k = 0; k < points; k++) {
          const at = pixelOf[i] + offsets[k], old = pixels[at];
          const cover = covers[k], left = 256 - cover;
          pixels[at] = 0xff000000
            | ((((old >> 16) & 255) * left + blue * cover) >> 8) << 16
            | ((((old >> 8) & 255) * left + green * cover) >> 8) << 8
            | (((old & 255) * left + red * cover) >> 8);
        }
      }
    }
    this.context.putImageData(this.picture, 0, 0);
  }

  mark(context) {
    this.filtered(context);
    context.textAlign = "center";
    pins.forEach((index, number) => this.ring(context, index, 7, "AB"[number]));
    if (pointed >= 0) this.ring(context, pointed, 5, "");
  }

  // The region that the filters of these two columns leave.
  filtered(context) {
    const ends = [this.x, this.y].map((column) => {
      const [low, high] = filters.get(column) || [-Infinity, Infinity];
      return [low > column.low ? place(column, low) : -Infinity,
        high < column.high ? place(column, high) : Infinity];
    });
    if (!filters.has(this.x) && !filters.has(this.y)) return;
    const { left, top, wide, high } = this.box;
    const inside = (value, from, size) => Math.min(Math.max(value, from), from + size);
    const [x0, x1] = ends[0].map((share) => inside(this.toX(share), left, wide));
    const [y0, y1] = ends[1].map((share) => inside(this.toY(share), top, high));
    context.fillStyle = `${BRUSH}14`;
    context.strokeStyle = BRUSH;
    context.lineWidth = 1;
    context.fillRect(x0, y1, x1 - x0, y0 - y1);
    context.strokeRect(x0, y1, x1 - x0, y0 - y1);
  }

  axes(context) {
    const { left, top, wide, high } = this.box, { x, y } = this;
    context.lineWidth = 1;
    context.strokeStyle = GRID;
    context.fillStyle = MUTED;
    context.textAlign = "center";
    for (const value of ticks(x, Math.min(7, wide / 48))) {
      const px = Math.round(this.toX(place(x, value))) + 0.5;
      context.strokeRect(px, top, 0, high);
      context.fillText(text(x, value), px, top + high + 15);
    }
    context.textAlign = "right";
    for (const value of ticks(y, 7)) {
      const py = Math.round(this.toY(place(y, value))) + 0.5;
      context.strokeRect(left, py, wide, 0);
      context.fillText(text(y, value), left - 6, py + 4);
    }
    context.textAlign = x.maximise ? "right" : "left";
    const arrow = x.maximise ? (y.maximise ? "↗" : "↘") : y.maximise ? "↖" : "↙";
    context.fillText(x.maximise ? `better ${arrow}` : `${arrow} better`,
      x.maximise ? left + wide : left, top - 7);
    context.fillStyle = INK;
    context.textAlign = "center";
    context.fillText(fitted(context, x.title, wide), left + wide / 2, top + high + 35);
    context.save();
    context.translate(13, top + high / 2);
    context.rotate(-Math.PI / 2);
    context.fillText(fitted(context, y.title, high), 0, 0);
    context.restore();
  }

  ring(context, index, radius, letter) {
    const [px, py] = this.at(index);
    if (Number.isNaN(px + py)) return;
    for (const [style, width] of [["#ffffff", 4], [INK, 1.6]]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.beginPath();
      context.arc(px, py, radius, 0, 7);
      context.stroke();
    }
    context.fillStyle = INK;
    haloed(context, letter, px + (px > this.width - 24 ? -13 : 13), py - 6);
  }

  // The nearest of the selected designs within reach.
  nearest(x, y) {
    const { px, py } = this;
    let best = -1, least = NEAR * NEAR;
    for (let i = 0; i < count; i++) {
      if (!selected[i]) continue;
      const square = (px[i] - x) ** 2 + (py[i] - y) ** 2;
      if (square < least) [best, least] = [i, square];
    }
    return best;
  }

  brush({ x, y, toX, toY }) {
    const { left, top, wide, high } = this.box;
    const shares = (ends, from, size) => ends.map((end) => (end - from) / size);
    const right = shares([x, toX], left + INSET, wide - 2 * INSET);
    const up = shares([y, toY], top + INSET, high - 2 * INSET).map((share) => 1 - share);
    for (const [column, ends] of [[this.x, right], [this.y, up]]) {
      limit(column, ...ends.sort((a, b) => a - b).map((share) => valueAt(column, share)));
    }
    changed();
  }

  click(x, y) {
    const found = this.nearest(x, y);
    if (found >= 0) {
      repin(() => pin(found));
    } else {
      for (const column of [this.x, this.y]) limit(column, -Infinity, Infinity);
      changed();
    }
  }
}

// The pixels of a dot: where they are from its centre, and how much of each, of 256, it covers.
function stamp(diameter, opacity, row) {
  const offsets = [], covers = [], reach = Math.ceil(diameter / 2);
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) {
      const cover = Math.min(1, diameter / 2 - Math.hypot(x, y) + 0.5);
      if (cover < 0.2) continue;
      offsets.push(y * row + x);
      covers.push(Math.round(256 * cover * opacity));
    }
  }
  return { offsets: Int32Array.from(offsets), covers: Int32Array.from(covers) };
}
