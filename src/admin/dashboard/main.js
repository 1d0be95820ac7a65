// The page as a whole: its views, its theme, and how it asks the instance.
const VIEWS = [["pools", "Pools"], ["listeners", "Listeners"], ["sessions", "Sessions"], ["certificates", "Certificates"], ["events", "Events"], ["refused", "Refused"], ["advice", "Advice"]];
const DRAWN = { listeners: listenersView, sessions: sessionsView, certificates: certificatesView, events: eventsView, refused: refusedView, advice: adviceView };
const EVERY = 1000, EVERY_OF_MANY = 2000, MANY = 300, HIDDEN = 10000, SLOWLY = 15000;
let view = "pools", mainPlots = [], answered = null, failures = 0;

function buildTabs() {
  byId("tabs").append(...VIEWS.map(([name, label]) => {
    const tab = make("button", { type: "button", role: "tab", id: "tab-" + name, "aria-controls": "panel-" + name }, label, make("span", { class: "count", id: "count-" + name }));
    tab.addEventListener("click", () => open(name));
    tab.addEventListener("keydown", (event) => {
      const at = VIEWS.findIndex(([other]) => other === name), to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: VIEWS.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const [next] = VIEWS[(to + VIEWS.length) % VIEWS.length];
      open(next);
      byId("tab-" + next).focus();
    });
    return tab;
  }));
}

function open(name) {
  view = name;
  for (const [other] of VIEWS) {
    const is = other === name, tab = byId("tab-" + other);
    attribute(tab, "aria-selected", String(is)); tab.tabIndex = is ? 0 : -1;
    byId("panel-" + other).hidden = !is;
    // What isn't looked at has no elements.
    if (!is && other !== "pools") byId("panel-" + other).replaceChildren();
  }
  window.history.replaceState(null, "", "#" + name);
  if (name === "pools") paint(); else drawView(true);
}

// Draws the view that is open; `opened` = just now. Where somebody may be typing it isn't drawn anew.
async function drawView(opened) {
  if (view === "pools" || !status) return;
  const panel = byId("panel-" + view), drawn = view, first = opened || !panel.childElementCount;
  if (!first && (view === "sessions" || view === "refused" || panel.contains(document.activeElement))) return;
  try {
    const content = await DRAWN[view]();
    if (drawn === view) panel.replaceChildren(...content);
  } catch (error) { if (drawn === view) panel.replaceChildren(make("p", { class: "nothing" }, error.message)); }
}

function tabCount(name, n, grade) { const node = byId("count-" + name); text(node, n ? count(n) : ""); node.className = "count " + (grade || ""); }

function show(next) {
  learn(next);
  const { failed, down, grave } = showFigures();
  showNotices();
  refreshList();
  showDetails(false);
  if (view === "listeners" || !byId("panel-" + view).childElementCount) drawView(false);
  text(byId("facts"), location.host + " · version " + next.version + " · pid " + next.pid + " · up " + span(next.uptime));
  text(byId("started"), "Started " + new Date(next.started).toLocaleString());
  const last = next.reload;
  text(byId("reloaded"), last ? "Last reload " + moment(last.at) + ": " + (last.result === "success" ? last.changes.join(", ") || "nothing changed" : "refused") : "");
  for (const id of ["reload", "drain"]) byId(id).disabled = next.changes_by === "nobody";
  attribute(byId("drain"), "title", next.changes_by === "nobody" ? "Read-only: admin.token_file is not set" : null);
  text(byId("drain"), next.state === "draining" ? "Take back…" : "Drain instance…");
  tabCount("pools", pools.filter((pool) => pool.trouble >= TROUBLE).length, grave ? "bad" : "warn");
  tabCount("listeners", next.listeners.filter((one) => one.full).length, "bad");
  link(next.state === "running" ? "live" : "leaving", next.state === "running" ? "live" : next.state);
  face([failed ? plural(failed, "error") : "", down ? down + " down" : ""].filter(Boolean).join(", "), grave ? "#c4413b" : failed || down ? "#c08a2c" : "#1f7548");
}

function link(state, words) { attribute(byId("link"), "data-state", state); text(byId("link"), words); }

// The title and the icon of the window say it, too.
function face(words, fill) {
  const title = (words ? words + " – " : "") + "Equipoise";
  if (document.title !== title) document.title = title;
  attribute(byId("icon"), "href", "data:image/svg+xml," + encodeURIComponent('<svg xmlns="' + SVG + '" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7" fill="' + fill + '"/></svg>'));
}

function lose(error) {
  failures += 1;
  // One answer that is late may be this browser's fault.
  const late = error.name === "TimeoutError" || error.name === "AbortError";
  if (late && failures < 2) return;
  const why = late ? "it took longer than " + span(PATIENCE / 1000) : error instanceof TypeError ? "the connection failed" : error.message;
  document.body.classList.add("is-lost");
  link("lost", "unreachable");
  showNotices("No answer from this instance " + (answered ? "since " + clock(answered) : "yet") + " (" + why + "). What is shown is old; it is tried again every second.");
  face("unreachable", "#5a6670");
}

const poll = {
  timer: null,
  async status() {
    const begun = performance.now();
    try {
      const next = await (await read("/api/v1/status")).json();
      answered = new Date(); failures = 0;
      // Before the first look: what was counted before this page was opened is part of the last minute.
      const isDue = !history.last || performance.now() - this.asked > history.interval * 1000, isNew = isDue && await this.history();
      document.body.classList.remove("is-lost");
      show(next);
      if (isNew) drawPlots();
    } catch (error) { lose(error); }
    const many = pools.reduce((sum, pool) => sum + pool.servers.length, 0) > MANY;
    const every = document.hidden ? HIDDEN : many ? EVERY_OF_MANY : EVERY;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.status(), Math.max(100, every - (performance.now() - begun)));
  },
  asked: 0,
  async history() {
    this.asked = performance.now();
    return history.take(await (await read("/api/v1/history?after=" + history.last)).json());
  },
  // What changes seldom.
  async slowly() {
    try {
      [certificates, advice] = await Promise.all(["/api/v1/certificates", "/api/v1/advice"].map(async (path) => (await read(path)).json()));
      const ending = certificates.filter((one) => one.expires_in_days < 14).length, weighty = advice.filter((one) => one.severity !== "hint");
      tabCount("certificates", ending, "warn");
      tabCount("advice", advice.length, weighty.some((one) => one.severity === "problem") ? "bad" : weighty.length ? "warn" : "");
      if (view === "certificates" || view === "advice") drawView(false);
    } catch { /* The status says that the instance can't be reached. */ }
  },
  soon() { clearTimeout(this.timer); this.timer = setTimeout(() => this.status(), 50); },
  eventsShown: null,
  showEvents() {
    this.eventsShown = this.eventsShown || setTimeout(() => {
      this.eventsShown = null;
      if (grid.selected === null) showDetails(true);
      if (view === "events") drawView(false);
    }, 200);
  },
};

function drawPlots() {
  for (const plot of mainPlots) plot.update(history.times, history.all);
  drawDetailPlots();
  paint();
}

// Auto, light or dark; the choice lasts in this browser.
const THEMES = ["auto", "light", "dark"], darkness = matchMedia("(prefers-color-scheme: dark)");

function chosenTheme() { try { return localStorage.getItem("theme") || "auto"; } catch { return "auto"; } }

function applyTheme() {
  const chosen = chosenTheme();
  document.documentElement.dataset.theme = chosen === "auto" ? darkness.matches ? "dark" : "light" : chosen;
  text(byId("theme"), "Theme: " + chosen);
  palette = new Map();
  drawPlots();
}

function nextTheme() {
  try { localStorage.setItem("theme", THEMES[(THEMES.indexOf(chosenTheme()) + 1) % THEMES.length]); } catch { /* Then it lasts as long as nothing. */ }
  applyTheme();
}

function begin() {
  byId("figures").append(...figures.map((one) => one.node));
  mainPlots = plotSet(false);
  byId("plots").append(...mainPlots.map((plot) => plot.node));
  buildTabs();
  applyTheme();
  darkness.addEventListener("change", applyTheme);
  byId("theme").addEventListener("click", nextTheme);
  byId("forget").addEventListener("click", () => { token = null; byId("forget").hidden = true; });
  byId("reload").addEventListener("click", askReload);
  byId("drain").addEventListener("click", askDrain);
  byId("search").addEventListener("input", (event) => { list.search = event.target.value; refreshList(); });
  byId("sort").addEventListener("change", (event) => { list.sort = event.target.value; refreshList(); });
  byId("trouble").addEventListener("click", (event) => {
    list.onlyTrouble = !list.onlyTrouble;
    attribute(event.target, "aria-pressed", String(list.onlyTrouble));
    refreshList();
  });
  for (const [id, folded] of [["fold", true], ["unfold", false]]) {
    byId(id).addEventListener("click", () => { for (const pool of pools) list.folded.set(pool.name, folded); refreshList(); });
  }
  byId("grid").addEventListener("keydown", pressInGrid);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && grid.selected !== null && !byId("dialog").open) closeDetails();
    if (event.key === "/" && !event.target.closest("input, select")) { event.preventDefault(); open("pools"); byId("search").focus(); }
  });
  addEventListener("scroll", paint, { passive: true });
  addEventListener("resize", paint);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) poll.soon(); });
  const wanted = location.hash.slice(1);
  open(VIEWS.some(([name]) => name === wanted) ? wanted : "pools");
  showDetails(true);
  listen();
  poll.status().then(() => poll.slowly());
  setInterval(() => { if (!document.hidden) poll.slowly(); }, SLOWLY);
}

begin();
