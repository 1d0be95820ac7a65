// What has happened: the instance's backlog from before this page was opened, and what comes as it comes.
const events = [], MOST_EVENTS = 500, IN_VIEW = 300, IN_FEED = 30;
let unsaid = [], saying = null;

function listen() {
  const source = new EventSource("/api/v1/events");
  for (const topic of ["server", "pool", "reload", "certificate", "operator", "instance", "missed"]) {
    source.addEventListener(topic, (event) => take(topic, JSON.parse(event.data)));
  }
}

function take(topic, data) {
  const at = data.at || new Date().toISOString(), fresh = Date.now() - Date.parse(at) < 5000;
  events.unshift({ topic, at, words: sentence(topic, data), state: topic === "server" ? data.state : null });
  events.length = Math.min(events.length, MOST_EVENTS);
  if (topic === "certificate") poll.slowly();
  if (fresh && (topic === "server" || topic === "pool")) announce(events[0].words);
  poll.showEvents();
}

function sentence(topic, data) {
  const because = data.reason ? ": " + data.reason : "";
  switch (topic) {
    case "server": return data.pool + "/" + data.server + " is " + data.state + because;
    case "pool": return data.pool + (data.available ? " has servers again" : " has no available server");
    case "reload": return data.result === "success" ? "Reloaded: " + (data.changes.join(", ") || "nothing changed") : "Reload refused: " + data.problems.join("; ");
    case "certificate": return "Certificates of " + data.listener + ": " + word(data.result) + because;
    case "operator": return data.change + ": " + data.what + " (" + data.actor + ")";
    case "instance": return "The instance is " + data.state;
    default: return count(data.events) + " events were missed";
  }
}

// Says it to those who listen rather than look; several at once in one sentence.
function announce(words) {
  unsaid.push(words);
  saying = saying || setTimeout(() => {
    text(byId("announcement"), unsaid.length === 1 ? unsaid[0] : unsaid.length + " changes, the last: " + unsaid[unsaid.length - 1]);
    unsaid = []; saying = null;
  }, 1000);
}

function eventLine(event, topic) {
  const words = make("span", { class: event.state ? "is-" + event.state : null }, event.words);
  return make("li", {}, make("time", { datetime: event.at }, moment(event.at)), ...(topic ? [make("span", { class: "soft" }, event.topic)] : []), words);
}

function feed() {
  const lines = events.slice(0, IN_FEED).map((event) => eventLine(event, false));
  return make("div", { class: "sheet" }, make("div", { class: "title" }, make("h2", {}, "Events")),
    lines.length ? make("ol", { class: "feed" }, ...lines) : make("p", { class: "soft" }, "Nothing has happened yet."));
}

function eventsView() {
  if (!events.length) return [make("p", { class: "nothing" }, "Nothing has happened yet.")];
  return [make("ol", { class: "block feed wide" }, ...events.slice(0, IN_VIEW).map((event) => eventLine(event, true)))];
}
