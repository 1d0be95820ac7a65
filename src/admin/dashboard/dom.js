// Making and changing elements. Whatever comes from the instance goes in as text, never as markup.
const SVG = "http://www.w3.org/2000/svg";

function byId(id) { return document.getElementById(id); }

function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) if (value !== null) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function text(node, value) {
  const s = String(value);
  if (node.textContent !== s) node.textContent = s;
}

function attribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

function toggle(node, name, on) { node.classList.toggle(name, Boolean(on)); }

function button(label, act, classes) {
  const node = make("button", { type: "button", class: classes || null }, label);
  node.addEventListener("click", act);
  return node;
}

// A word, a colour and a shape for each state, so that none of them is needed alone.
const SHAPES = {
  up: "M6 1a5 5 0 1 0 0 10A5 5 0 0 0 6 1z",
  down: "M2 .8.8 2l4 4-4 4L2 11.2l4-4 4 4 1.2-1.2-4-4 4-4L10 .8l-4 4z",
  drain: "M6 11.5.8 1.5h10.4z",
  maintenance: "M1 1h3.5v10H1zM7.5 1H11v10H7.5z",
  unknown: "M6 1a5 5 0 1 0 0 10A5 5 0 0 0 6 1zm0 2a3 3 0 1 1 0 6 3 3 0 0 1 0-6z",
};

function shape() {
  const svg = document.createElementNS(SVG, "svg"), path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 12 12"); svg.setAttribute("aria-hidden", "true");
  path.setAttribute("fill", "currentColor");
  svg.append(path);
  return svg;
}

function meter(part) {
  const fill = make("i"), node = make("span", { class: "meter", "aria-hidden": "true" }, fill);
  fillMeter(node, part);
  return node;
}

function fillMeter(node, part) {
  const fill = node.firstChild;
  node.hidden = part === null;
  fill.style.width = Math.round(100 * Math.min(1, part || 0)) + "%";
  toggle(fill, "full", part >= .9);
}

// A table with its heads: [label, is it a number].
function table(label, heads, rows) {
  const head = make("tr", {}, ...heads.map(([name, number]) => make("th", { scope: "col", class: number ? "number" : null }, name)));
  const body = rows.map((cells) => make("tr", {}, ...cells.map((cell, i) => {
    const td = make("td", { class: heads[i][1] ? "number" : null });
    td.append(...(Array.isArray(cell) ? cell : [cell === null ? "–" : String(cell)]));
    return td;
  })));
  return make("div", { class: "block scroll", tabindex: "0", role: "region", "aria-label": label },
    make("table", { "aria-label": label }, make("thead", {}, head), make("tbody", {}, ...body)));
}

function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return make("dl", { class: "facts" }, ...shown.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}
