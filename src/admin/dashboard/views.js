// The views beside that of the pools: tables of what the API has.
let certificates = [], advice = [];

function listenersView() {
  const rows = status.listeners.map((one) => {
    const known = counters.get("listener " + one.name), failed = known.lastMinute(1), rejects = { ...one.rejected };
    if (one.tls_handshakes_failed) rejects["TLS handshake failed"] = one.tls_handshakes_failed;
    return [
      [make("span", { class: "strong" }, one.name), make("small", {}, one.protocol + " on " + one.addresses.join(", ")), make("small", {}, one.pool ? "to " + one.pool : "by routes alone")],
      [whole.format(one.connections_active) + (one.max_connections ? " / " + count(one.max_connections) : ""), ...(one.full ? [make("small", { class: "bad" }, "full")] : [])],
      rate(known.rate(3)), rate(known.rate(0)),
      [count(one.errors), ...(failed ? [make("small", { class: "bad" }, "+" + count(failed) + " last minute")] : [])],
      [reasons(one.error_reasons) || "–"], count(one.refused),
      [reasons(rejects) || "–", ...(one.connections_delayed ? [make("small", {}, count(one.connections_delayed) + " had to wait")] : [])],
    ];
  });
  return [table("Listeners", [["Listener"], ["Connections", true], ["New /s", true], ["Req/s", true], ["Errors", true], ["Why"], ["Refused (4xx)", true], ["Rejected connections"]], rows)];
}

function persistenceFacts(persistence) {
  const { results, entries, size } = persistence;
  return Object.entries(results).map(([key, n]) => [word(key), count(n)]).concat(size === null ? [] : [["Table", count(entries) + " of " + count(size)]]);
}

function sessionsView() {
  const kept = pools.filter((one) => one.pool.persistence);
  if (!kept.length) return [make("p", { class: "nothing" }, "No pool keeps sessions.")];
  const names = ["hit", "miss", "rebalanced", "expired", "invalid", "unavailable"];
  const rows = kept.map(({ pool }) => {
    const { results, type, entries, size } = pool.persistence, asked = sumOf(Object.values(results), (n) => n);
    return [[make("span", { class: "strong" }, pool.name), make("small", {}, word(type))], asked ? (100 * results.hit / asked).toFixed(1) + " %" : "–", ...names.map((name) => count(results[name])),
      size === null ? "in cookies" : count(entries) + " of " + count(size)];
  });
  return [table("Sessions", [["Pool"], ["Found", true], ...names.map((name) => [word(name), true]), ["Table", true]], rows), make("div", { class: "panel" }, sessionSearch(kept))];
}

function sessionSearch(kept) {
  const pool = make("select", { "aria-label": "Pool" }, ...kept.map(({ name }) => make("option", {}, name)));
  const key = make("input", { type: "text", "aria-label": "Key of the session", placeholder: "Cookie value or client address", autocomplete: "off", required: "" });
  const answer = make("p", { role: "status" }), path = () => "/api/v1/pools/" + encodeURIComponent(pool.value) + "/sessions?key=" + encodeURIComponent(key.value);
  const forget = button("Forget…", () => ask({ title: "Forget this session of " + pool.value + "?", effect: "Its next request is balanced anew.", verb: "Forget", grave: true, act: () => change("DELETE", path()) }));
  const form = make("form", { class: "tools" }, make("h2", {}, "Find a session"), pool, key, make("button", { type: "submit" }, "Find"), forget);
  forget.disabled = status.changes_by === "nobody";
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const found = await (await read(path())).json();
      text(answer, word(found.result) + (found.server ? " to " + found.server : "") + (found.started ? ", since " + moment(found.started) : ""));
    } catch (error) { text(answer, error.message); }
  });
  return make("div", {}, form, answer);
}

function certificatesView() {
  if (!certificates.length) return [make("p", { class: "nothing" }, "No certificate is served.")];
  const rows = certificates.map((one) => {
    const grade = one.expires_in_days < 0 ? "bad strong" : one.expires_in_days < 14 ? "warn strong" : "";
    return [[make("span", { class: "strong" }, one.names.join(", ") || "no name"), ...one.findings.map((finding) => make("small", { class: "warn" }, finding))], one.listener,
      [make("span", { class: grade }, one.expires_in_days < 0 ? "expired" : plural(one.expires_in_days, "day")), make("small", {}, new Date(one.not_after).toLocaleDateString())],
      [one.source === "acme" ? "ACME" : "file", make("small", {}, one.file)], one.issuer];
  });
  return [table("Certificates", [["Names"], ["Listener"], ["Expires", true], ["Source"], ["Issuer"]], rows)];
}

async function refusedView() {
  const refused = await (await read("/api/v1/refused")).json();
  if (!refused.length) return [make("p", { class: "nothing" }, "Nothing was refused.")];
  const rows = refused.map((one) => [moment(one.at), one.client, one.listener, one.status || "closed", word(one.reason),
    [[one.method, one.host && one.path ? one.host + one.path : one.host || one.path].filter(Boolean).join(" ") || "–"]]);
  return [table("Refused requests", [["Time"], ["Client"], ["Listener"], ["Answer", true], ["Why"], ["Request"]], rows)];
}

function adviceView() {
  if (!advice.length) return [make("p", { class: "nothing" }, "There is nothing to advise.")];
  const grades = { problem: "bad strong", warning: "warn strong", hint: "soft" };
  return [make("ul", { class: "block advice" }, ...advice.map((one) => make("li", {}, make("span", { class: grades[one.severity] }, one.severity),
    make("div", {}, make("p", {}, make("span", { class: "strong" }, one.about + ": "), one.finding), make("p", {}, one.remedy + " ", make("a", { href: one.docs, target: "_blank", rel: "noopener noreferrer" }, "Documentation"))))))];
}
