// The list on the screen: only the rows that are in sight have elements, and each element is used again.
const BEYOND = 5;
const grid = { shown: new Map(), spare: [], active: null, selected: null, height: 34 };

function buildRow() {
  const cell = (classes) => make("span", { role: "gridcell", class: classes });
  const row = { node: make("div", { role: "row", tabindex: "-1" }), fold: make("span", { class: "fold", "aria-hidden": "true" }), label: make("span"), tag: make("span", { class: "tag" }),
    name: cell("name line"), state: cell("state"), note: cell("note line"), rate: cell("number rate"), errors: cell("number errors"), latency: cell("number latency"),
    room: cell("room number"), weight: cell("number weight"), part: cell("part"), shape: shape(), word: make("span"), since: make("span", { class: "since line" }),
    active: make("span"), meter: meter(null), due: make("u"), got: make("i"), spark: make("canvas", { "aria-hidden": "true" }) };
  row.share = make("div", { class: "share", role: "img" }, row.got, row.due);
  row.name.append(row.fold, row.label, row.tag);
  row.state.append(row.shape, row.word, row.since);
  row.room.append(row.active, row.meter);
  row.part.append(row.share, row.spark);
  row.node.append(row.name, row.state, row.note, row.rate, row.errors, row.latency, row.room, row.weight, row.part);
  row.fold.addEventListener("click", (event) => { event.stopPropagation(); turn(row.key); });
  row.node.addEventListener("click", () => { activate(row.key); select(row.key); });
  row.node.addEventListener("focus", () => { grid.active = row.key; });
  return row;
}

function fillRow(row, data, index) {
  const isPool = Boolean(data.of.servers), other = row.key !== data.key;
  row.key = data.key;
  row.node.style.transform = "translateY(" + index * grid.height + "px)";
  attribute(row.node, "aria-rowindex", index + 2);
  attribute(row.node, "aria-level", isPool ? 1 : 2);
  attribute(row.node, "aria-expanded", isPool && data.children ? String(!data.folded) : null);
  attribute(row.node, "aria-selected", String(grid.selected === data.key));
  attribute(row.node, "aria-posinset", isPool ? null : data.place);
  attribute(row.node, "aria-setsize", isPool ? null : data.siblings);
  row.node.tabIndex = grid.active === data.key ? 0 : -1;
  row.fold.hidden = !isPool; row.share.hidden = isPool; row.spark.hidden = !isPool;
  (isPool ? fillPool : fillServer)(row, data);
  if (isPool && (other || row.drawn !== history.last)) drawSpark(row);
}

function drawSpark(row) {
  row.drawn = history.last;
  const series = history.pools.get(row.label.textContent);
  spark(row.spark, series ? series.requests : []);
}

function fillPool(row, data) {
  const { pool, servers, trouble } = data.of, state = pool.available_servers === 0 ? "down" : trouble >= TROUBLE ? "drain" : "up";
  text(row.fold, data.folded ? "▸" : "▾"); text(row.label, pool.name); text(row.tag, ""); row.tag.hidden = true;
  attribute(row.name, "title", pool.name);
  drawState(row, state, availability(servers), "");
  const notes = [];
  if (data.of.failed) notes.push(reasons(data.of.reasons) || plural(data.of.failed, "error"));
  if (pool.queue_length) notes.push(count(pool.queue_length) + " waiting");
  if (pool.capacity && pool.active >= pool.capacity * .9) notes.push("nearly full");
  note(row, notes.join(" · "), data.of.failed > 0);
  text(row.rate, rate(data.of.rate)); text(row.errors, count(data.of.failed)); toggle(row.errors, "bad", data.of.failed);
  text(row.latency, pool.latency_percentiles ? latency(pool.latency_percentiles.p99) : "–");
  attribute(row.latency, "title", "99 % of the last minute's responses began within this");
  drawRoom(row, pool.active, pool.capacity);
  text(row.weight, "");
}

function fillServer(row, data) {
  const { server, failed, share, due } = data.of;
  text(row.fold, ""); text(row.label, server.name);
  text(row.tag, server.source === "api" ? "added" : server.backup ? "backup" : ""); row.tag.hidden = !row.tag.textContent;
  attribute(row.name, "title", server.name + " at " + server.address);
  drawState(row, server.state, server.state, span((Date.now() - Date.parse(server.since)) / 1000));
  note(row, server.reason, server.state === "down");
  text(row.rate, rate(data.of.rate)); text(row.errors, count(failed)); toggle(row.errors, "bad", failed);
  text(row.latency, latency(server.latency)); attribute(row.latency, "title", "Recent mean time to the first byte");
  drawRoom(row, server.active, server.max_connections || null);
  text(row.weight, server.effective_weight > 0 && server.effective_weight !== server.weight ? weight(server.effective_weight) + "/" + server.weight : server.weight);
  row.got.style.width = Math.round(100 * share) + "%"; row.due.style.left = 100 * due + "%"; row.due.hidden = !due;
  attribute(row.share, "aria-label", (100 * share).toFixed(0) + " % of the pool's requests, " + (100 * due).toFixed(0) + " % by weight");
  attribute(row.part, "title", row.share.getAttribute("aria-label"));
}

function drawState(row, state, words, since) {
  if (row.drawnState !== state) {
    row.drawnState = state;
    row.shape.firstChild.setAttribute("d", SHAPES[state] || SHAPES.unknown);
    row.state.className = "state is-" + state;
  }
  text(row.word, words); text(row.since, since);
}

function note(row, words, bad) { text(row.note, words); toggle(row.note, "bad", bad); attribute(row.note, "title", words || null); }

function drawRoom(row, active, limit) {
  text(row.active, whole.format(active) + (limit ? " / " + count(limit) : ""));
  fillMeter(row.meter, limit ? active / limit : null);
}

// Brings the elements in line with the rows that are in sight.
function paint() {
  const rows = byId("rows"), height = parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row"));
  if (byId("panel-pools").hidden) return;
  grid.height = height;
  rows.style.height = list.rows.length * height + "px";
  attribute(byId("grid"), "aria-rowcount", list.rows.length + 1);
  const top = rows.getBoundingClientRect().top;
  const first = Math.max(0, Math.floor(-top / height) - BEYOND), last = Math.min(list.rows.length - 1, Math.ceil((window.innerHeight - top) / height) + BEYOND);
  const wanted = new Map();
  for (let i = first; i <= last; i++) wanted.set(list.rows[i].key, i);
  // The row that has the focus stays, wherever it is.
  const active = list.rows.findIndex((row) => row.key === grid.active);
  if (active >= 0) wanted.set(grid.active, active);
  else grid.active = list.rows.length ? list.rows[Math.min(first + BEYOND, list.rows.length - 1)].key : null;
  for (const [key, row] of grid.shown) if (!wanted.has(key)) { grid.shown.delete(key); grid.spare.push(row); row.node.remove(); }
  const order = [...wanted].sort((a, b) => a[1] - b[1]);
  order.forEach(([key, index], place) => {
    let row = grid.shown.get(key);
    if (!row) grid.shown.set(key, row = grid.spare.pop() || buildRow());
    if (rows.children[place] !== row.node) rows.insertBefore(row.node, rows.children[place] || null);
    fillRow(row, list.rows[index], index);
  });
  grid.spare.length = Math.min(grid.spare.length, 40);
}

function refreshList() {
  arrange();
  paint();
  const servers = list.rows.filter((row) => !row.of.servers).length, all = pools.reduce((sum, pool) => sum + pool.servers.length, 0);
  text(byId("shown"), plural(list.rows.length - servers, "pool") + ", " + count(servers) + " of " + plural(all, "server") + " shown");
  const nothing = byId("nothing");
  nothing.hidden = list.rows.length > 0;
  byId("grid").hidden = list.rows.length === 0;
  text(nothing, list.onlyTrouble && !list.search ? "No pool is in trouble." : list.search ? "Nothing is found." : "There are no pools.");
}

function turn(key, folded) {
  const row = list.rows.find((one) => one.key === key);
  if (!row || !row.of.servers) return;
  list.folded.set(row.of.name, folded === undefined ? !row.folded : folded);
  refreshList();
}

// Moves the focus to a row, and brings it into sight.
function activate(key) {
  grid.active = key;
  const index = list.rows.findIndex((row) => row.key === key);
  if (index < 0) return;
  const top = byId("rows").getBoundingClientRect().top + index * grid.height;
  if (top < 40) window.scrollBy(0, top - 40);
  else if (top + grid.height > window.innerHeight) window.scrollBy(0, top + grid.height - window.innerHeight);
  paint();
  grid.shown.get(key).node.focus({ preventScroll: true });
}

// The keys of a tree grid (WAI-ARIA Authoring Practices).
function pressInGrid(event) {
  const at = list.rows.findIndex((row) => row.key === grid.active), row = list.rows[at];
  if (!row || event.altKey || event.ctrlKey || event.metaKey) return;
  const page = Math.max(1, Math.floor(window.innerHeight / grid.height) - 3), steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
  const step = steps[event.key];
  if (step !== undefined) activate(list.rows[Math.min(list.rows.length - 1, Math.max(0, at + step))].key);
  else if (event.key === "ArrowRight" && row.of.servers) row.folded ? turn(row.key, false) : list.rows[at + 1] && !list.rows[at + 1].of.servers && activate(list.rows[at + 1].key);
  else if (event.key === "ArrowLeft") row.of.servers ? turn(row.key, true) : activate("pool " + row.of.pool);
  else if (event.key === "Enter" || event.key === " ") select(row.key);
  else return;
  event.preventDefault();
}
