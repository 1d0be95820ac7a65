// Which rows the list of pools has now: searched, filtered, sorted, collapsed.
const list = { search: "", onlyTrouble: false, sort: "trouble", folded: new Map(), rows: [] };
// With more servers than this, pools without trouble are collapsed unless somebody has expanded them.
const FOLDED_ABOVE = 60;

const ORDERS = {
  trouble: (a, b) => b.trouble - a.trouble || b.failed - a.failed,
  file: () => 0,
  name: (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }),
  rate: (a, b) => b.rate - a.rate,
  errors: (a, b) => b.failed - a.failed,
  latency: (a, b) => slowness(b) - slowness(a),
};

function slowness(one) {
  if (one.server) return one.server.latency || 0;
  return one.pool.latency_percentiles ? one.pool.latency_percentiles.p99 : 0;
}

// Servers have no name of their own at the top; they are compared by what they share with pools.
function byOrder(order, things, name) {
  return things.map((thing, i) => [thing, i]).sort(([a, i], [b, j]) => order({ ...a, name: name(a) }, { ...b, name: name(b) }) || i - j).map(([thing]) => thing);
}

function isFolded(pool) {
  if (list.search || list.onlyTrouble) return false;
  const chosen = list.folded.get(pool.name);
  if (chosen !== undefined) return chosen;
  const all = pools.reduce((sum, one) => sum + one.servers.length, 0);
  return all > FOLDED_ABOVE && pool.trouble < TROUBLE;
}

function arrange() {
  const wanted = list.search.trim().toLowerCase(), order = ORDERS[list.sort];
  const has = (...texts) => texts.some((value) => value && value.toLowerCase().includes(wanted));
  list.rows = [];
  for (const pool of byOrder(order, pools, (one) => one.name)) {
    if (list.onlyTrouble && pool.trouble < TROUBLE) continue;
    const named = !wanted || has(pool.name, reasons(pool.reasons));
    let servers = pool.servers;
    if (!named) servers = servers.filter(({ server }) => has(server.name, server.address, server.reason, server.state));
    if (!named && !servers.length) continue;
    if (list.onlyTrouble) servers = servers.filter((one) => one.trouble >= NOTABLE);
    const folded = isFolded(pool);
    list.rows.push({ key: "pool " + pool.name, of: pool, folded, children: servers.length });
    if (folded) continue;
    const sorted = list.sort === "file" ? servers : byOrder(order, servers, (one) => one.server.name);
    sorted.forEach((one, i) => list.rows.push({ key: "server " + pool.name + "/" + one.server.name, of: one, place: i + 1, siblings: sorted.length }));
  }
}
