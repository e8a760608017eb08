// What panels and parallel coordinates share: two layers, the mouse, the keyboard.

const NEAR = 9, STILL = 4; // pixels: within reach; less is a click and not a brush
const INK = "#1a1a1a", MUTED = "#666666", GRID = "#e4e4e4", BRUSH = "#0072b2";
const FONT = "12px system-ui, sans-serif";
const MARKS = 1, ALL = 2; // what is to be drawn anew
const MANY = 20000; // designs: with more, what is drawn of each is less
const plots = [];
let pointed = -1, due = 0;

function element(parent, name, words) {
  const made = document.createElement(name);
  if (words !== undefined) made.textContent = words;
  parent.append(made);
  return made;
}

// Draw with the next frame: the marks of pointing alone, or all.
function later(what) {
  if (!due) {
    requestAnimationFrame(() => {
      const now = due;
      due = 0;
      for (const plot of plots) {
        if (now === ALL) {
          plot.fit();
          plot.draw();
        }
        plot.redrawMarks();
      }
    });
  }
  due = Math.max(due, what);
}

function haloed(context, words, x, y) {
  context.lineWidth = 3;
  context.strokeStyle = "#ffffffdd";
  context.strokeText(words, x, y);
  context.fillText(words, x, y);
}

// Designs on a lower canvas, which pointing leaves as it is; pins and filters on an upper one.
class Plot {
  constructor(parent, words) {
    this.frame = element(parent, "div");
    this.frame.className = "plot";
    [this.canvas, this.upper] = [element(this.frame, "canvas"), element(this.frame, "canvas")];
    this.upper.ariaHidden = "true";
    this.canvas.tabIndex = 0;
    this.canvas.role = "application";
    this.canvas.ariaLabel = `${words}. Arrow keys step through the selected designs, `
      + "Enter pins, Escape clears.";
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.marks = this.upper.getContext("2d");
    this.drag = null;
    const on = (name, act) => this.canvas.addEventListener(name, act);
    on("pointerdown", (event) => this.down(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", () => this.release());
    on("pointercancel", () => this.end());
    on("pointerleave", () => point(-1));
    on("blur", () => point(-1));
    on("keydown", (event) => this.key(event));
    plots.push(this);
  }

  // The sizes as the page has them now; what depends on them only if they changed.
  fit() {
    const ratio = window.devicePixelRatio || 1;
    // A page that is opened out of sight has no width yet.
    const width = Math.max(1, this.canvas.clientWidth);
    const height = Math.max(1, this.canvas.clientHeight);
    if (width === this.width && height === this.height && ratio === this.ratio) return;
    Object.assign(this, { width, height, ratio });
    for (const canvas of [this.canvas, this.upper]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    for (const context of [this.context, this.marks]) {
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.font = FONT;
    }
    this.layout();
  }

  redrawMarks() {
    this.marks.clearRect(0, 0, this.width, this.height);
    this.mark(this.marks);
  }

  down(event) {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    const { offsetX: x, offsetY: y } = event;
    this.drag = { x, y, toX: x, toY: y, moved: false };
  }

  move({ offsetX: x, offsetY: y, clientX, clientY }) {
    const { drag } = this;
    if (!drag) {
      point(this.nearest(x, y), clientX, clientY);
      return;
    }
    [drag.toX, drag.toY] = [x, y];
    drag.moved ||= Math.hypot(x - drag.x, y - drag.y) > STILL;
    if (!drag.moved) return;
    point(-1);
    this.brush(drag);
  }

  end() {
    const { drag } = this;
    this.drag = null;
    if (drag && drag.moved) later(ALL);
    return drag;
  }

  release() {
    const drag = this.end();
    if (drag && !drag.moved) this.click(drag.x, drag.y);
  }

  key(event) {
    const act = {
      ArrowRight: () => this.step(this.x, 1),
      ArrowLeft: () => this.step(this.x, -1),
      ArrowUp: () => this.step(this.y, 1),
      ArrowDown: () => this.step(this.y, -1),
      Home: () => this.step(this.x, -Infinity),
      End: () => this.step(this.x, Infinity),
      Enter: () => pointed >= 0 && repin(() => pin(pointed)),
      Escape: () => (pointed >= 0 ? point(-1) : repin(() => (pins.length = 0))),
    };
    if (!Object.hasOwn(act, event.key) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    act[event.key]();
  }

  // To the next of the selected designs along a column.
  step(column, by) {
    const order = ordered(column).filter((i) => selected[i]);
    if (!order.length) return;
    const at = order.indexOf(pointed), last = order.length - 1;
    const to = at < 0 ? (by < 0 && by > -Infinity ? last : 0) : at + by;
    const index = order[at < 0 && by === Infinity ? last : Math.min(Math.max(to, 0), last)];
    const box = this.canvas.getBoundingClientRect(), [px, py] = this.at(index);
    point(index, box.left + px, box.top + py);
    say(index);
  }
}
