// What an operator can do. Each change is asked about first, with what will come of it, and needs a token.

// What a question is: title, what will come of it, the verb, whether it is grave, further fields, and what is done.
function ask(question) {
  const dialog = byId("dialog"), refusal = make("p", { class: "refusal", role: "alert" }), form = make("form", { method: "dialog" });
  const needsToken = status.changes_by === "token" && !token;
  const field = needsToken ? make("input", { type: "password", id: "token", autocomplete: "off", required: "" }) : null;
  const go = make("button", { type: "submit", class: question.grave ? "go grave" : "go" }, question.verb);
  form.append(make("h2", { id: "question" }, question.title), make("p", {}, question.effect), ...(question.warning ? [make("p", { class: "bad" }, question.warning)] : []),
    ...(question.fields || []), ...(field ? [make("label", {}, "Token", field, make("span", { class: "soft" }, "Kept in this page's memory until it is closed."))] : []),
    refusal, make("div", { class: "buttons" }, button("Cancel", () => dialog.close()), go));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true; text(refusal, "");
    if (field) token = field.value;
    try {
      await question.act();
      byId("forget").hidden = !token;
      // What is shown behind the question is as it is now before that goes.
      await poll.status();
      dialog.close();
    } catch (error) {
      if (field || error.status === 401) token = null;
      text(refusal, error.status === 412 ? "Somebody else has changed it meanwhile. Look at it again." : error.message);
      if (error.status === 401 && !field) { dialog.close(); ask({ ...question, warning: error.message }); }
    }
    go.disabled = false;
  });
  dialog.replaceChildren(form);
  dialog.showModal();
  (form.querySelector("input, select") || go).focus();
}

function input(label, attributes) {
  const field = make("input", attributes);
  return { field, node: make("label", {}, label, field) };
}

// Changes a server as it was when the question was put.
async function changeServer(one, body) {
  const path = serverPath(one.pool, one.server.name), seen = await read(path), etag = seen.headers.get("etag"), now = await seen.json();
  const differs = now.operator !== one.server.operator || now.weight !== one.server.weight || now.max_connections !== one.server.max_connections;
  if (differs) throw new Refusal(412, {});
  await change("PATCH", path, body, etag);
}

// What is left of the pool without this server, where that is little.
function left(one) {
  const pool = pools.find(({ name }) => name === one.pool);
  const others = pool.servers.filter(({ server }) => server.name !== one.server.name && takesWork(server)).length;
  return !takesWork(one.server) || others > 1 ? "" : others ? "One server will be left." : "It is the last one: requests for this pool will get 503.";
}

// A button that asks about the server as it is when the button is pressed.
function serverButton(verb, question, classes) {
  return button(verb + "…", () => { const one = selected(); if (one) ask({ verb, ...question(one) }); }, classes);
}

function stateButton(state, verb, title, effect) {
  return serverButton(verb, (one) => ({ title: title + " " + one.server.name + " of " + one.pool + "?", effect, grave: state !== "ready", warning: state === "ready" ? "" : left(one),
    act: () => changeServer(one, { state }) }));
}

function serverActions() {
  return [
    stateButton("ready", "Ready", "Make ready", "It takes work again as soon as its checks say so."),
    stateButton("drain", "Drain", "Drain", "It keeps its sessions and takes no new ones."),
    stateButton("maintenance", "Maintenance", "Take out", "It takes nothing: its sessions go to other servers."),
    serverButton("Weight", (one) => {
      const { field, node } = input("Weight", { type: "number", min: "0", max: "65535", value: one.server.weight, required: "" });
      return { title: "Weight of " + one.server.name + " of " + one.pool, effect: "It counts from the next request on; 0 takes no new sessions.", verb: "Set", fields: [node],
        act: () => changeServer(one, { weight: Number(field.value) }) };
    }),
    serverButton("Limit", (one) => {
      const { field, node } = input("Requests at once", { type: "number", min: "0", max: "100000000", value: one.server.max_connections, required: "" });
      return { title: "Limit of " + one.server.name + " of " + one.pool, effect: "What is beyond it goes to other servers, or waits; 0 = no limit.", verb: "Set", fields: [node],
        act: () => changeServer(one, { max_connections: Number(field.value) }) };
    }),
    serverButton("Disconnect", (one) => ({ title: "End all connections to " + one.server.name + " of " + one.pool + "?", effect: "Requests on them fail or are sent again.", grave: true,
      act: () => change("POST", serverPath(one.pool, one.server.name) + "/disconnect") }), "grave"),
    serverButton("Remove", (one) => ({ title: "Remove " + one.server.name + " from " + one.pool + "?", effect: "What it works on goes on. It stays away over reloads and restarts.", grave: true, warning: left(one),
      act: () => change("DELETE", serverPath(one.pool, one.server.name)) }), "grave"),
  ];
}

function poolActions(pool) {
  return [button("Add server…", () => {
    const address = input("Address", { type: "text", placeholder: "10.0.0.3:80", required: "", autocomplete: "off" }), name = input("Name (the address by default)", { type: "text", autocomplete: "off" });
    const share = input("Weight", { type: "number", min: "0", max: "65535", value: "1", required: "" });
    ask({ title: "Add a server to " + pool.name, effect: "It stays over reloads and restarts, until it is removed or the file has one of its name.", verb: "Add", fields: [address.node, name.node, share.node],
      act: () => change("POST", "/api/v1/pools/" + encodeURIComponent(pool.name) + "/servers",
        { address: address.field.value.trim(), name: name.field.value.trim() || null, weight: Number(share.field.value) }) });
  })];
}

function askReload() {
  ask({ title: "Reload the configuration?", effect: "All of it is in force then, or nothing is changed. No connection is closed.", verb: "Reload", act: () => change("POST", "/api/v1/reload") });
}

function askDrain() {
  if (status.state === "draining") {
    return ask({ title: "Take the instance back into service?", effect: "It is ready again.", verb: "Take back", act: () => change("DELETE", "/api/v1/drain") });
  }
  const { field, node } = input("Spread over (seconds)", { type: "number", min: "0", max: "3600", value: "30", required: "" });
  ask({ title: "Drain this instance?", effect: "It is not ready from then on, and its connections are told to go. What comes all the same is served.", verb: "Drain", grave: true, fields: [node],
    act: () => change("POST", "/api/v1/drain?spread=" + Number(field.value) + "s") });
}
