// How rates, errors, latencies and load went, as the instance has kept it: also from before this page was opened.
const history = {
  last: 0, interval: 5, times: [], all: {}, pools: new Map(),
  forget() { this.last = 0; this.times = []; this.all = {}; this.pools = new Map(); },
  // Takes in what came after the last sample. Says whether there was anything.
  take(news) {
    if (news.last === this.last) return false;
    // A page that slept for long begins anew.
    if (news.times.length < news.last - this.last) this.forget();
    this.interval = news.interval;
    this.last = news.last;
    this.times = bounded(this.times.concat(news.times.map(Date.parse)));
    this.all = joined(this.all, news.all);
    const pools = new Map();
    for (const pool of news.pools) pools.set(pool.name, joined(this.pools.get(pool.name) || {}, pool));
    this.pools = pools;
    return true;
  },
};
const KEPT = 180, SERIES = ["requests", "responses_4xx", "responses_5xx", "broken", "p50", "p95", "p99", "active", "queue_length"];

function bounded(list) { return list.slice(-KEPT); }

function joined(before, after) {
  const series = {};
  for (const name of SERIES) series[name] = bounded((before[name] || []).concat(after[name]));
  return series;
}
