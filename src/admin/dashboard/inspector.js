// The sheet at the side: what there is to know of the pool or server that is selected, and what can be done with it.
// Without one it tells what has happened of late.
let detailPlots = [];

function select(key) {
  grid.selected = key;
  document.body.classList.toggle("is-open", key !== null);
  detailPlots = [];
  paint();
  showDetails(true);
  const close = key === null ? null : document.querySelector("#aside .title button");
  if (close && getComputedStyle(byId("aside")).position === "fixed") close.focus();
}

function closeDetails() {
  const key = grid.selected;
  select(null);
  if (key !== null) activate(key);
}

function selected() {
  if (grid.selected === null) return null;
  for (const pool of pools) {
    if (grid.selected === "pool " + pool.name) return pool;
    const found = pool.servers.find((one) => grid.selected === "server " + pool.name + "/" + one.server.name);
    if (found) return found;
  }
  return null;
}

// Shows it anew; `whole` = another one than before. Else what somebody may just be using stays.
function showDetails(whole) {
  const aside = byId("aside"), one = selected();
  if (grid.selected !== null && !one) return select(null);
  if (!one) {
    if (whole) aside.replaceChildren(feed());
    return;
  }
  if (whole || !aside.querySelector(".sheet .body")) {
    const title = make("div", { class: "title" }, make("h2", {}, one.servers ? one.name : one.server.name), button("Close", closeDetails, "plain"));
    detailPlots = one.servers ? plotSet(true) : [];
    aside.replaceChildren(make("div", { class: "sheet" }, title, make("div", { class: "body" }), make("div", { class: "actions" }), ...detailPlots.map((plot) => plot.node)));
    aside.querySelector(".actions").append(...(one.servers ? poolActions(one) : serverActions()));
    drawDetailPlots();
  }
  for (const node of aside.querySelectorAll(".actions button")) node.disabled = status.changes_by === "nobody";
  aside.querySelector(".body").replaceChildren(...(one.servers ? poolFacts(one) : serverFacts(one)));
}

function drawDetailPlots() {
  const one = selected(), series = one && one.servers ? history.pools.get(one.name) : null;
  for (const plot of detailPlots) plot.update(history.times, series || {});
}

function section(title, ...content) { return [make("h3", {}, title), ...content]; }

function poolFacts({ pool, servers, failed, reasons: now }) {
  const p = pool.latency_percentiles, parts = [
    facts([
      ["Servers", availability(servers)], ["Algorithm", word(pool.algorithm)],
      ["Active", whole.format(pool.active) + (pool.capacity ? " of " + count(pool.capacity) : "")],
      ["Waiting", whole.format(pool.queue_length) + (pool.queue_size ? " of " + count(pool.queue_size) : "")],
      ["Latency p50, p95, p99", p ? [p.p50, p.p95, p.p99].map(latency).join(", ") : "–"],
      ["Requests", count(pool.requests)], ["Sent again", count(pool.retries)],
      ["Responses", Object.entries(pool.responses).filter(([, n]) => n).map(([key, n]) => key + " " + count(n)).join(", ") || "–"],
    ]),
  ];
  if (failed) parts.push(...section("Errors of the last minute", facts(Object.entries(now).map(([key, n]) => [word(key), count(n)]))));
  const all = Object.entries(pool.error_reasons);
  if (all.length) parts.push(...section("Errors since the start", facts(all.map(([key, n]) => [word(key), count(n)]))));
  if (pool.persistence) parts.push(...section("Sessions by " + word(pool.persistence.type), facts(persistenceFacts(pool.persistence))));
  if (pool.removed.length) parts.push(...section("Removed by an operator", make("p", {}, pool.removed.join(", "))));
  return parts.concat(readOnly());
}

function serverFacts({ server, pool, share, due, failed }) {
  const check = server.last_check;
  return [
    facts([
      ["Pool", pool], ["State", make("span", { class: "strong is-" + server.state }, server.state)], ["Since", moment(server.since)], ["Why", server.reason],
      ["Address", server.address], ["In use", server.server_address === server.address ? null : server.server_address || "none"],
      ["Weight", weight(server.effective_weight) === String(server.weight) ? server.weight : weight(server.effective_weight) + " of " + server.weight],
      ["Active", whole.format(server.active) + (server.max_connections ? " of " + count(server.max_connections) : "")],
      ["Share, last minute", (100 * share).toFixed(0) + " % (" + (100 * due).toFixed(0) + " % by weight)"],
      ["Latency", latency(server.latency)], ["Requests", count(server.requests)],
      ["Errors", count(server.errors) + (failed ? " (" + count(failed) + " in the last minute)" : "")],
      ["Role", server.backup ? "backup" : null], ["From", server.source === "api" ? "the API" : null],
      ["Not as in the file", server.overridden.map(word).join(", ")],
    ]),
    ...(check ? section("Last check", facts([["Result", word(check.result)], ["Found", check.reason], ["At", moment(check.at)], ["Took", latency(check.duration_ms / 1000)]])) : []),
    ...readOnly(),
  ];
}

function readOnly() {
  return status.changes_by === "nobody" ? [make("p", { class: "soft" }, "Read-only: admin.token_file is not set.")] : [];
}
