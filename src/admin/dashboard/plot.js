// One plot: lines or stacked areas over time, with axes, and the values at the moment that pointer or keys are at.
const AXIS = { left: 50, bottom: 17, top: 6, right: 2 };

class Plot {
  // `parts`: [series, label, colour]; `stacked` = areas on top of each other.
  constructor(title, parts, format, options = {}) {
    this.parts = parts; this.format = format; this.stacked = options.stacked; this.least = options.least || 0;
    this.values = parts.map(() => make("b"));
    this.time = make("time");
    const keys = parts.map(([, label, colour], i) => make("span", { class: "key" }, make("i", { class: "c-" + colour, "aria-hidden": "true" }), label + " ", this.values[i]));
    this.canvas = make("canvas");
    this.slider = make("div", { role: "slider", tabindex: "0", "aria-label": title + " over time", "aria-valuemin": "0", "aria-valuemax": "0", "aria-valuenow": "0" }, this.canvas);
    this.node = make("figure", { class: "plot" + (options.small ? " small" : "") }, make("figcaption", {}, make("div", { class: "head" }, make(options.small ? "h3" : "h2", {}, title), this.time), make("div", { class: "keys" }, ...keys)), this.slider);
    this.slider.addEventListener("pointermove", (event) => this.point(event));
    this.slider.addEventListener("pointerleave", () => moveCursor(null));
    this.slider.addEventListener("keydown", (event) => this.press(event));
    this.slider.addEventListener("blur", () => moveCursor(null));
    this.series = {}; this.times = [];
    plots.add(this);
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }
  update(times, series) {
    this.series = series;
    this.length = (series[this.parts[0][0]] || []).length;
    this.times = times.slice(times.length - this.length);
    this.draw();
  }
  point(event) {
    const box = this.canvas.getBoundingClientRect(), width = box.width - AXIS.left - AXIS.right;
    const part = (event.clientX - box.left - AXIS.left) / Math.max(1, width);
    const slots = Math.max(KEPT - 1, 1), index = Math.round(part * slots) - (KEPT - this.length);
    moveCursor(index >= 0 && index < this.length ? this.times[index] : null);
  }
  press(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -12, PageDown: 12, Home: -Infinity, End: Infinity }, step = steps[event.key];
    if (event.key === "Escape") moveCursor(null);
    if (step === undefined || !this.length) return;
    event.preventDefault();
    const at = this.cursor();
    moveCursor(this.times[Math.min(this.length - 1, Math.max(0, (at < 0 ? this.length - 1 : at) + step))]);
  }
  // The index of the sample that the cursor is at; -1 = none.
  cursor() { return cursorAt === null ? -1 : this.times.indexOf(cursorAt); }
  draw() {
    const at = this.cursor(), shown = at < 0 ? this.length - 1 : at;
    this.parts.forEach(([name], i) => text(this.values[i], this.length ? this.format(this.series[name][shown]) : "–"));
    text(this.time, at < 0 ? "" : clock(new Date(this.times[at])));
    attribute(this.slider, "aria-valuemax", Math.max(0, this.length - 1));
    attribute(this.slider, "aria-valuenow", Math.max(0, shown));
    attribute(this.slider, "aria-valuetext", this.length
      ? clock(new Date(this.times[shown])) + ": " + this.parts.map(([name, label]) => label + " " + this.format(this.series[name][shown])).join(", ") : "nothing yet");
    const width = this.canvas.clientWidth, height = this.canvas.clientHeight, scale = window.devicePixelRatio || 1;
    if (!width || !height) return;
    if (this.canvas.width !== Math.round(width * scale)) this.canvas.width = Math.round(width * scale);
    if (this.canvas.height !== Math.round(height * scale)) this.canvas.height = Math.round(height * scale);
    const pen = this.canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    const lines = this.parts.map(([name]) => this.series[name] || []), tops = this.stacked ? stack(lines) : lines;
    const top = nice(Math.max(this.least, ...tops.flat().filter((value) => value !== null)));
    const x = (index) => AXIS.left + (width - AXIS.left - AXIS.right) * (index + KEPT - this.length) / (KEPT - 1);
    const y = (value) => height - AXIS.bottom - (height - AXIS.bottom - AXIS.top) * value / top;
    this.drawAxes(pen, width, height, top, x, y);
    for (let i = tops.length - 1; i >= 0; i--) {
      pen.strokeStyle = pen.fillStyle = colour(this.parts[i][2]);
      if (this.stacked) area(pen, tops[i], i ? tops[i - 1] : null, x, y);
      if (!this.stacked || tops[i].some((value, at) => value > (i ? tops[i - 1][at] : 0))) line(pen, tops[i], x, y);
    }
    if (at >= 0) {
      pen.strokeStyle = colour("ink"); pen.lineWidth = 1;
      pen.beginPath(); pen.moveTo(x(at), AXIS.top); pen.lineTo(x(at), height - AXIS.bottom); pen.stroke();
    }
  }
  drawAxes(pen, width, height, top, x, y) {
    pen.font = "11px system-ui, sans-serif"; pen.lineWidth = 1; pen.fillStyle = colour("soft"); pen.strokeStyle = colour("line");
    pen.textAlign = "right"; pen.textBaseline = "middle";
    for (const part of [0, .5, 1]) {
      const at = Math.round(y(top * part)) + .5;
      pen.beginPath(); pen.moveTo(AXIS.left, at); pen.lineTo(width, at); pen.stroke();
      pen.fillText(this.format(top * part), AXIS.left - 6, part === 1 ? at + 4 : at);
    }
    pen.textBaseline = "alphabetic"; pen.textAlign = "center";
    // A mark at each fifth whole minute.
    const every = 5 * 60000;
    this.times.forEach((time, i) => {
      if (i && Math.floor(time / every) !== Math.floor(this.times[i - 1] / every) && x(i) > AXIS.left + 14 && x(i) < width - 14) {
        pen.fillText(new Date(time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }), x(i), height - 3);
        pen.beginPath(); pen.moveTo(x(i), height - AXIS.bottom); pen.lineTo(x(i), height - AXIS.bottom + 3); pen.stroke();
      }
    });
  }
}

// All plots have one cursor: a moment.
const plots = new Set();
let cursorAt = null;

function moveCursor(time) {
  if (time === cursorAt) return;
  cursorAt = time;
  for (const plot of plots) if (plot.node.isConnected) plot.draw(); else plots.delete(plot);
}

function stack(lines) {
  const tops = [];
  lines.forEach((values, i) => tops.push(values.map((value, at) => (value || 0) + (i ? tops[i - 1][at] : 0))));
  return tops;
}

function line(pen, values, x, y) {
  pen.lineWidth = 1.6; pen.lineJoin = "round"; pen.beginPath();
  let drawn = false;
  values.forEach((value, i) => {
    if (value === null) { drawn = false; return; }
    if (drawn) pen.lineTo(x(i), y(value)); else { pen.moveTo(x(i), y(value)); if (values[i + 1] === null || i === values.length - 1) pen.lineTo(x(i) + 1, y(value)); }
    drawn = true;
  });
  pen.stroke();
}

function area(pen, tops, below, x, y) {
  if (!tops.length) return;
  pen.beginPath(); pen.moveTo(x(0), y(below ? below[0] : 0));
  tops.forEach((value, i) => pen.lineTo(x(i), y(value)));
  for (let i = tops.length - 1; i >= 0; i--) pen.lineTo(x(i), y(below ? below[i] : 0));
  pen.closePath(); pen.globalAlpha = .5; pen.fill(); pen.globalAlpha = 1;
}

// The next round number: 1, 2 or 5 times a power of ten.
function nice(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((step) => step * power >= value * .999) * power;
}

// Colours as the style sheet has them for the theme in force.
let palette = new Map();

function colour(name) {
  if (!palette.has(name)) {
    const variable = ["ink", "soft", "line"].includes(name) ? "--" + name : "--plot-" + name;
    palette.set(name, getComputedStyle(document.documentElement).getPropertyValue(variable).trim());
  }
  return palette.get(name);
}

// A line without axes, for a pool's row.
function spark(canvas, values) {
  const width = canvas.clientWidth, height = canvas.clientHeight, scale = window.devicePixelRatio || 1;
  if (!width) return;
  canvas.width = Math.round(width * scale); canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d"), top = Math.max(1e-9, ...values);
  pen.scale(scale, scale);
  pen.strokeStyle = colour("1");
  pen.globalAlpha = .8;
  line(pen, values, (i) => width * (i + KEPT - values.length) / (KEPT - 1), (value) => height - 2 - (height - 4) * value / top);
}

// The four plots of everything, or of a pool.
function plotSet(small) {
  const number = (n) => n === null || n === undefined ? "–" : rate(n), options = { small };
  return [
    new Plot("Requests", [["requests", "per second", "1"]], number, { small, stacked: true, least: 1 }),
    new Plot("Errors per second", [["responses_4xx", "4xx", "warn"], ["responses_5xx", "5xx", "bad"], ["broken", "broken off", "worse"]], number, { small, stacked: true, least: .2 }),
    new Plot("Latency", [["p50", "p50", "3"], ["p95", "p95", "2"], ["p99", "p99", "1"]], latency, { ...options, least: .001 }),
    new Plot("Load", [["active", "active", "1"], ["queue_length", "waiting", "warn"]], number, { small, stacked: true, least: 1 }),
  ];
}
