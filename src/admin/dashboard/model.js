// What is known of pools and servers: the status as it came, and what is found by comparing it with earlier ones.
const MINUTE = 60, RECENT = 5, GRAVE = 3, TROUBLE = 2, NOTABLE = 1;

// Counters over the last minute: one point every few seconds, and the latest.
class Counters {
  constructor() { this.points = []; this.now = null; }
  add(at, values) {
    if (this.now && values.some((value, i) => value < this.now.values[i])) this.points = [];
    this.now = { at, values };
    const last = this.points[this.points.length - 1];
    if (!last || at - last.at >= RECENT) this.points.push(this.now);
    while (this.points.length > 2 && at - this.points[1].at >= MINUTE) this.points.shift();
  }
  // Puts in front what the instance has counted before this page looked: `made` gives what each of its samples adds, the newest last.
  recall(samples, interval, made) {
    const { at, values } = this.now, found = [];
    let then = values;
    for (let i = samples - 1; i >= Math.max(0, samples - MINUTE / interval); i--) {
      const more = made(i).map((perSecond) => Math.round(perSecond * interval));
      then = then.map((value, index) => Math.max(0, value - (more[index] || 0)));
      found.unshift({ at: at - (samples - i) * interval, values: then });
    }
    this.points.unshift(...found);
  }
  // The newest point that is at least so old, or else the oldest.
  before(seconds) {
    for (let i = this.points.length - 1; i >= 0; i--) if (this.now.at - this.points[i].at >= seconds) return this.points[i];
    return this.points[0];
  }
  rate(index) {
    const then = this.before(RECENT), elapsed = this.now.at - then.at;
    return elapsed > 0 ? (this.now.values[index] - then.values[index]) / elapsed : 0;
  }
  lastMinute(index) { return this.now.values[index] - this.points[0].values[index]; }
}

// What each pool, server and listener has counted, by name; another process began anew.
const counters = new Map();
let status = null, pools = [];

function counted(key, at, values) {
  let known = counters.get(key);
  if (!known) counters.set(key, known = new Counters());
  known.add(at, values);
  known.seen = at;
  return known;
}

// The same of what the instance keeps the history of: requests and errors come first in `values`.
function countedBefore(key, at, values, series) {
  const isNew = !counters.has(key), known = counted(key, at, values);
  if (isNew && series) {
    known.recall(series.requests.length, history.interval, (i) => [series.requests[i], series.responses_5xx[i] + series.broken[i]]);
  }
  return known;
}

function takesWork(server) { return server.effective_weight > 0 && (server.state === "up" || server.state === "unknown"); }

function serverTrouble(server, failed) {
  if (server.state === "down") return TROUBLE;
  if (failed > 0 || server.max_connections > 0 && server.active >= server.max_connections) return TROUBLE;
  return server.state === "up" ? 0 : NOTABLE;
}

function poolTrouble(pool, failed, recent, servers) {
  if (pool.available_servers === 0) return GRAVE;
  if (failed > 0 && failed >= recent * .05) return GRAVE;
  if (failed > 0 || pool.queue_length > 0 || pool.capacity && pool.active >= pool.capacity * .9) return TROUBLE;
  return Math.min(TROUBLE, Math.max(0, ...servers.map((server) => server.trouble)));
}

// Takes a status in.
function learn(next) {
  if (status && status.started !== next.started) { counters.clear(); history.forget(); }
  status = next;
  const at = next.uptime;
  pools = next.pools.map((pool, order) => {
    const known = counters.get("pool " + pool.name), before = known ? known.now.at : null;
    const own = countedBefore("pool " + pool.name, at, [pool.requests, pool.errors, pool.unserved], history.pools.get(pool.name));
    const onBackups = !pool.servers.some((server) => !server.backup && takesWork(server));
    const due = (server) => takesWork(server) && (!server.backup || onBackups) ? server.effective_weight : 0;
    const weights = pool.servers.reduce((sum, server) => sum + due(server), 0);
    const servers = pool.servers.map((server) => {
      const its = counted("server " + pool.name + "/" + server.name, at, [server.requests, server.errors]);
      const failed = its.lastMinute(1);
      return { server, pool: pool.name, rate: its.rate(0), recent: its.lastMinute(0), failed, trouble: serverTrouble(server, failed),
        due: weights ? due(server) / weights : 0 };
    });
    const recent = servers.reduce((sum, one) => sum + one.recent, 0);
    for (const one of servers) one.share = recent ? one.recent / recent : 0;
    const failed = own.lastMinute(1);
    const reasonsNow = reasonsOfMinute("pool " + pool.name, at, pool.error_reasons, before);
    return { pool, name: pool.name, order, servers, rate: own.rate(0), failed, unserved: own.lastMinute(2), reasons: reasonsNow,
      trouble: poolTrouble(pool, failed, own.lastMinute(0), servers) };
  });
  for (const listener of next.listeners) {
    counted("listener " + listener.name, at, [listener.requests, listener.errors, listener.unserved, listener.connections_total]);
  }
  const all = (key) => next.listeners.reduce((sum, listener) => sum + listener[key], 0);
  countedBefore("all", at, [all("requests"), all("errors"), all("unserved")], history.last ? history.all : null);
  for (const [key, known] of counters) if (known.seen !== at) counters.delete(key);
}

// How often each reason occurred in the last minute. One that is there for the first time since the status before has counted
// nothing until then.
function reasonsOfMinute(of, at, counts, before) {
  const found = {};
  for (const [key, n] of Object.entries(counts)) {
    const name = of + " " + key;
    if (before !== null && !counters.has(name)) counted(name, before, [0]);
    const recent = counted(name, at, [n]).lastMinute(0);
    if (recent > 0) found[key] = recent;
  }
  return found;
}

// `5 of 6 up, 1 backup`: how many are where they should be. A backup that stands by is not missing.
function availability(servers) {
  const own = servers.filter((one) => !one.server.backup), spare = servers.filter((one) => one.server.backup);
  const up = (list) => list.filter((one) => takesWork(one.server)).length;
  const part = (list, name) => (up(list) === list.length ? "" : up(list) + " of ") + list.length + " " + name;
  const words = own.length || !spare.length ? [part(own, "up")] : [];
  if (spare.length) words.push(part(spare, spare.length === 1 ? "backup" : "backups"));
  return words.join(", ");
}
