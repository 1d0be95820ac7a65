// The figures at the top, and the notices above them.
const FIGURES = ["Requests", "Errors, last minute", "Latency p99", "Active", "Waiting", "Servers taking work", "Pools in trouble", "Client connections"];
const figures = FIGURES.map((name) => {
  const figure = { node: make("div"), value: make("dd", { class: "value" }, "–"), more: make("dd", { class: "more line" }), meter: meter(null) };
  figure.node.append(make("dt", {}, name), figure.value, figure.more, make("dd", {}, figure.meter));
  return figure;
});

function figure(index, value, more, grade, part) {
  const { node, value: shown, more: small, meter: bar } = figures[index];
  text(shown, value); text(small, more || ""); attribute(small, "title", more || null);
  toggle(node, "bad", grade === "bad"); toggle(node, "warn", grade === "warn");
  fillMeter(bar, part === undefined ? null : part);
}

// The most frequent reason of the last minute's errors.
function mostFrequent() {
  const all = {};
  for (const pool of pools) for (const [key, n] of Object.entries(pool.reasons)) all[key] = (all[key] || 0) + n;
  const first = Object.entries(all).sort((a, b) => b[1] - a[1])[0];
  return first ? { [first[0]]: first[1] } : {};
}

function sumOf(things, value) { return things.reduce((sum, thing) => sum + value(thing), 0); }

// Unknown as long as there is one look at it alone.
function requestRate(all) {
  return all.points.length > 1 || all.points[0] !== all.now ? rate(sumOf(pools, (one) => one.rate)) : "–";
}

function showFigures() {
  const counts = counters.get("all"), failed = counts.lastMinute(1), unserved = counts.lastMinute(2);
  const all = pools.flatMap((pool) => pool.servers), taking = all.filter((one) => takesWork(one.server)).length;
  const down = all.filter((one) => one.server.state === "down").length, trouble = pools.filter((pool) => pool.trouble >= TROUBLE);
  const active = sumOf(pools, (one) => one.pool.active), limits = pools.map((one) => one.pool.capacity), capacity = limits.includes(null) ? null : sumOf(limits, (n) => n);
  const waiting = sumOf(pools, (one) => one.pool.queue_length), connections = sumOf(status.listeners, (one) => one.connections_active);
  const p = status.latency_percentiles, clients = status.descriptors && status.descriptors.clients;
  figure(0, requestRate(counts) + " /s", "");
  figure(1, count(failed), failed ? (unserved ? count(unserved) + " unserved" : reasons(mostFrequent())) : "", failed ? "bad" : "");
  figure(2, p ? latency(p.p99) : "–", p ? "p50 " + latency(p.p50) + ", p95 " + latency(p.p95) : "");
  figure(3, count(active), capacity ? "room for " + count(capacity) : "no limit", capacity && active >= capacity * .9 ? "warn" : "", capacity ? active / capacity : undefined);
  figure(4, count(waiting), "", waiting ? "warn" : "");
  figure(5, taking + " of " + all.length, down ? down + " down" : "", pools.some((pool) => pool.trouble === GRAVE && !pool.pool.available_servers) ? "bad" : down ? "warn" : "");
  figure(6, trouble.length + " of " + pools.length, trouble.slice(0, 3).map((pool) => pool.name).join(", "), trouble.some((pool) => pool.trouble === GRAVE) ? "bad" : trouble.length ? "warn" : "");
  figure(7, count(connections), clients ? "room for " + count(clients.limit) : "", status.listeners.some((one) => one.full) ? "bad" : "", clients ? connections / clients.limit : undefined);
  return { failed, down, grave: pools.some((pool) => pool.trouble === GRAVE) };
}

// What concerns the instance as a whole, and would be missed below.
function notices() {
  const found = [], last = status.reload;
  if (last && last.result !== "success") found.push(["grave", "The reload of " + moment(last.at) + " was refused; what ran before runs on: " + last.problems.join("; ")]);
  for (const one of status.certificates_refused || []) found.push(["grave", "A file of listener " + one.listener + "'s TLS can't be used, and what it held before is served: " + one.reason]);
  if (status.state === "draining") found.push(["", "This instance is drained: it is not ready, and tells its connections to go."]);
  if (status.state === "stopping") found.push(["", "This instance is stopping."]);
  for (const listener of status.listeners.filter((one) => one.full)) found.push(["grave", "Listener " + listener.name + " is full: new connections wait."]);
  for (const one of certificates.filter((certificate) => certificate.expires_in_days < 14)) {
    const name = one.names[0] || one.file;
    found.push(one.expires_in_days < 0 ? ["grave", "The certificate for " + name + " has expired."] : ["", "The certificate for " + name + " expires in " + plural(one.expires_in_days, "day") + "."]);
  }
  return found;
}

function showNotices(lost) {
  const all = (lost ? [["grave", lost]] : []).concat(status ? notices() : []);
  const known = JSON.stringify(all);
  if (showNotices.known === known) return;
  showNotices.known = known;
  byId("notices").replaceChildren(...all.map(([grade, words]) => make("li", { class: grade || null }, make("span", {}, words))));
}
