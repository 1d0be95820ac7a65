//! The API's description (OpenAPI 3.1), made from the types that are answered.

use std::sync::OnceLock;

use axum::response::Json;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::servers::Disconnected;
use crate::admin::advice::Advice;
use crate::admin::control::{CertificateStatus, Renewal, SessionStatus, SessionsStatus};
use crate::admin::history::HistoryStatus;
use crate::admin::problem::Problem;
use crate::admin::status::{ReloadStatus, ServerStatus, Status};
use crate::observe::VERSION;
use crate::observe::refused::Refused;

/// A duration as the configuration has it; those with more digits may be too long.
const DURATION: &str = "^(0|[0-9]{1,6}(ms|s)|[0-9]{1,4}[mh]|[0-9]{1,3}d)$";
/// A name of a server or pool.
const NAME: &str = r"^[A-Za-z0-9._:\[\]-]{1,64}$";
/// What a header field can hold.
const FIELD: &str = "^[^\\u0000-\\u0008\\u000a-\\u001f\\u007f]*$";

pub async fn document() -> Json<&'static Value> {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    Json(DOCUMENT.get_or_init(describe))
}

fn describe() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut writer = Writer {
        schemas: settings.into_generator(),
        paths: Map::new(),
    };
    writer.probes();
    writer.reads();
    writer.servers();
    writer.sessions();
    writer.instance();
    let problem = writer.schemas.subschema_for::<Problem>();
    let schemas = writer.schemas.take_definitions(true);
    let error = json!({
        "description": "It was not done; the detail says why.",
        "content": {"application/problem+json": {"schema": problem}},
    });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Equipoise admin API",
            "version": VERSION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "The running instance: what it does, and what an operator changes of it. Reading needs no \
                token. Changes need one of those in admin.token_file, or, at a Unix socket without tokens, the right \
                to open its file. Changes of servers last over reloads, upgrades and restarts, unless the file changes that very value.",
        },
        "servers": [{"url": "/"}],
        "paths": writer.paths,
        "components": {
            "schemas": schemas,
            "responses": {"Problem": error},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
}

struct Writer {
    schemas: SchemaGenerator,
    paths: Map<String, Value>,
}

/// One thing that can be done at a path.
struct Operation {
    value: Value,
}

impl Operation {
    fn new(id: &str, summary: &str) -> Self {
        Self {
            value: json!({
                "operationId": id,
                "summary": summary,
                "responses": {"default": {"$ref": "#/components/responses/Problem"}},
            }),
        }
    }

    /// It changes something.
    fn writes(self) -> Self {
        self.with("security", json!([{"token": []}, {}]))
            .refuses(401)
            .refuses(403)
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        if let Value::Object(fields) = &mut self.value {
            fields.insert(key.to_owned(), value);
        }
        self
    }

    fn answers(mut self, status: u16, response: Value) -> Self {
        if let Some(Value::Object(responses)) = self.value.get_mut("responses") {
            responses.insert(status.to_string(), response);
        }
        self
    }

    fn refuses(self, status: u16) -> Self {
        self.answers(status, json!({"$ref": "#/components/responses/Problem"}))
    }

    fn parameter(mut self, place: &str, name: &str, description: &str, schema: &Value) -> Self {
        let parameter = json!({
            "in": place,
            "name": name,
            "description": description,
            "required": place == "path",
            "schema": schema,
        });
        match self.value.get_mut("parameters") {
            Some(Value::Array(parameters)) => {
                parameters.push(parameter);
                self
            }
            _ => self.with("parameters", json!([parameter])),
        }
    }

    /// The last parameter has to be there.
    fn required(mut self) -> Self {
        if let Some(Value::Array(parameters)) = self.value.get_mut("parameters")
            && let Some(Value::Object(last)) = parameters.last_mut()
        {
            last.insert("required".to_owned(), true.into());
        }
        self
    }

    fn in_pool(self) -> Self {
        let schema = json!({"type": "string", "minLength": 1});
        self.parameter("path", "pool", "The pool's name.", &schema)
            .refuses(400)
            .refuses(404)
    }

    fn of_server(self) -> Self {
        let schema = json!({"type": "string", "minLength": 1});
        self.in_pool()
            .parameter("path", "server", "The server's name.", &schema)
    }

    fn if_match(self) -> Self {
        let description = "The ETag of what is meant: if it has changed since, nothing is done.";
        self.parameter(
            "header",
            "If-Match",
            description,
            &json!({"type": "string"}),
        )
        .refuses(412)
    }

    fn duration(self, name: &str, description: &str) -> Self {
        let schema = json!({"type": "string", "pattern": DURATION, "examples": ["30s"]});
        self.parameter("query", name, description, &schema)
            .refuses(400)
    }

    fn body(self, schema: &Value) -> Self {
        self.with(
            "requestBody",
            json!({"required": true, "content": {"application/json": {"schema": schema}}}),
        )
        .refuses(400)
        .refuses(413)
        .refuses(422)
    }
}

impl Writer {
    fn add(&mut self, method: &str, path: &str, operation: Operation) {
        let item = self.paths.entry(path.to_owned()).or_insert(json!({}));
        if let Value::Object(methods) = item {
            methods.insert(method.to_owned(), operation.value);
        }
    }

    fn json<T: JsonSchema>(&mut self, description: &str) -> Value {
        let schema = self.schemas.subschema_for::<T>();
        json!({"description": description, "content": {"application/json": {"schema": schema}}})
    }

    /// A server, with its tag.
    fn server(&mut self, description: &str) -> Value {
        let mut response = self.json::<ServerStatus>(description);
        if let Value::Object(fields) = &mut response {
            let etag = json!({"description": "Changes with what an operator can change.", "schema": {"type": "string"}});
            fields.insert("headers".to_owned(), json!({"ETag": etag}));
        }
        response
    }

    fn probes(&mut self) {
        let text = |description: &str| json!({"description": description, "content": {"text/plain": {"schema": {"type": "string"}}}});
        let alive = Operation::new("healthz", "Whether the process is alive.");
        self.add("get", "/healthz", alive.answers(200, text("It is.")));
        let ready = Operation::new("readyz", "Whether the instance is ready for traffic.")
            .answers(200, text("It is."))
            .answers(503, text("It is not; the reason in words."));
        self.add("get", "/readyz", ready);
        let metrics = Operation::new("metrics", "What Prometheus scrapes.");
        self.add(
            "get",
            "/metrics",
            metrics.answers(200, text("The text format.")),
        );
        let page = json!({"description": "The page.", "content": {"text/html": {"schema": {"type": "string"}}}});
        let dashboard = Operation::new("dashboard", "The dashboard.");
        self.add("get", "/", dashboard.answers(200, page));
        let object = json!({"description": "This.", "content": {"application/json": {"schema": {"type": "object"}}}});
        let document = Operation::new("openapi", "The description of this API.");
        self.add("get", "/api/v1/openapi.json", document.answers(200, object));
    }

    fn reads(&mut self) {
        let status = self.json::<Status>("The whole instance.");
        let operation = Operation::new(
            "status",
            "Listeners, pools and servers with state, reason and counts.",
        );
        self.add("get", "/api/v1/status", operation.answers(200, status));
        let history = self.json::<HistoryStatus>("The samples of the last quarter of an hour.");
        let operation = Operation::new(
            "history",
            "How rates, errors, latencies and load went of late, in all and by pool.",
        )
        .parameter(
            "query",
            "after",
            "Only samples after the one of this number.",
            &json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
        )
        .refuses(400);
        self.add("get", "/api/v1/history", operation.answers(200, history));
        let advice = self.json::<Vec<Advice>>("What matters most first.");
        let operation = Operation::new(
            "advice",
            "What could be better, as somebody would say who knows load balancers.",
        );
        self.add("get", "/api/v1/advice", operation.answers(200, advice));
        let list = self.json::<Vec<CertificateStatus>>("Each with the listener that serves it.");
        let operation = Operation::new("certificates", "The certificates that are served.");
        self.add("get", "/api/v1/certificates", operation.answers(200, list));
        let list = self.json::<Vec<Refused>>("At most 100, the last one first.");
        let operation = Operation::new(
            "refused",
            "The last requests that were refused, with their reasons.",
        );
        self.add("get", "/api/v1/refused", operation.answers(200, list));
        let config = json!({"description": "As `equipoise check --dump` has it, with the operator's changes.", "content": {
            "application/json": {"schema": {"type": "object"}},
            "application/yaml": {"schema": {"type": "string"}},
        }});
        let operation = Operation::new("config", "The effective configuration, secrets hidden.")
            .parameter(
                "header",
                "If-None-Match",
                "An ETag that is known.",
                &json!({"type": "string"}),
            )
            .answers(200, config)
            .answers(304, json!({"description": "It is as it was."}));
        self.add("get", "/api/v1/config", operation);
        let stream = json!({"description": "Server-sent events: server, pool, reload, certificate, operator, instance. The data is a JSON object with the time in `at`.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}}});
        let operation = Operation::new(
            "events",
            "The last 500 events, and what comes next as it comes.",
        )
        .parameter(
            "header",
            "Last-Event-ID",
            "The last event that is known.",
            &json!({"type": "string"}),
        )
        .answers(200, stream);
        self.add("get", "/api/v1/events", operation);
    }

    fn servers(&mut self) {
        let path = "/api/v1/pools/{pool}/servers";
        let list = self.json::<Vec<ServerStatus>>(
            "In the order of the configuration; those that were added come last.",
        );
        let operation = Operation::new("listServers", "The servers of a pool.");
        self.add("get", path, operation.in_pool().answers(200, list));
        let added = self.server("The server that was added.");
        let operation = Operation::new("addServer", "Adds a server to a pool. It is kept until it is removed, or the file has one of its name.")
            .writes()
            .in_pool()
            .body(&json!({
                "type": "object",
                "additionalProperties": false,
                "required": ["address"],
                "properties": {
                    "name": {"type": ["string", "null"], "pattern": NAME, "description": "Default: the address.", "examples": ["c"]},
                    "address": {"type": "string", "description": "host:port, ip:port or unix:/path", "examples": ["10.0.0.3:80"]},
                    "weight": weight(),
                    "max_connections": limit(),
                    "backup": {"type": ["boolean", "null"], "description": "Used only when no other server is available."},
                    "state": state(),
                },
            }))
            .answers(201, added)
            .refuses(409);
        self.add("post", path, operation);

        let path = "/api/v1/pools/{pool}/servers/{server}";
        let one = self.server("The server.");
        let operation = Operation::new("server", "One server.").of_server();
        self.add("get", path, operation.answers(200, one.clone()));
        let operation = Operation::new("changeServer", "Changes a server: what is not given stays, null goes back to what the file says.")
            .writes()
            .of_server()
            .if_match()
            .body(&json!({
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "state": state(),
                    "weight": weight(),
                    "max_connections": limit(),
                    "wait": {"type": ["string", "null"], "pattern": DURATION, "examples": ["30s"],
                        "description": "Answer when the server works on nothing any more, or after this."},
                },
            }))
            .answers(200, one);
        self.add("patch", path, operation);
        let operation = Operation::new(
            "removeServer",
            "Takes a server out of its pool; what it works on goes on.",
        )
        .writes()
        .of_server()
        .if_match()
        .duration(
            "wait",
            "Drain it first, and remove it when it is idle, or after this.",
        )
        .answers(204, json!({"description": "It is gone."}));
        self.add("delete", path, operation);
        let ended = self.json::<Disconnected>("How many.");
        let operation = Operation::new("disconnectServer", "Ends the connections to a server.");
        let operation = operation
            .writes()
            .of_server()
            .if_match()
            .answers(200, ended);
        self.add(
            "post",
            "/api/v1/pools/{pool}/servers/{server}/disconnect",
            operation,
        );
    }

    fn sessions(&mut self) {
        let path = "/api/v1/pools/{pool}/sessions";
        let key = "A session: the value of its cookie, or the client's address.";
        let text = json!({"type": "string", "pattern": FIELD});
        let (one, all) = (
            self.schemas.subschema_for::<SessionStatus>(),
            self.schemas.subschema_for::<SessionsStatus>(),
        );
        let found = json!({"description": "The session; without a key what there is of sessions.",
            "content": {"application/json": {"schema": {"anyOf": [one, all]}}}});
        let operation = Operation::new(
            "findSession",
            "Finds an entry of the session table, or decodes a token.",
        )
        .in_pool()
        .parameter("query", "key", key, &text)
        .answers(200, found)
        .refuses(409);
        self.add("get", path, operation);
        let operation = Operation::new("forgetSession", "Forgets an entry of the session table.")
            .writes()
            .in_pool()
            .parameter("query", "key", key, &text)
            .required()
            .answers(204, json!({"description": "It is forgotten."}))
            .refuses(409);
        self.add("delete", path, operation);
    }

    fn instance(&mut self) {
        let renewals = self.json::<Vec<Renewal>>("The certificates that are being renewed.");
        let operation = Operation::new("renewCertificates", "Renews certificates by ACME now.")
            .writes()
            .parameter(
                "query",
                "name",
                "Only those that have this name.",
                &json!({"type": "string"}),
            )
            .answers(202, renewals)
            .refuses(400)
            .refuses(404);
        self.add("post", "/api/v1/certificates/renew", operation);
        let status = self.json::<Status>("The instance.");
        let operation = Operation::new("drain", "Makes the instance unready and tells its connections to go. It serves what comes all the same.")
            .writes()
            .duration("spread", "Over how long they are told.")
            .answers(200, status.clone())
            .refuses(409);
        self.add("post", "/api/v1/drain", operation);
        let operation = Operation::new("resume", "Takes a drain back.");
        self.add(
            "delete",
            "/api/v1/drain",
            operation.writes().answers(200, status).refuses(409),
        );
        let reload = self.json::<ReloadStatus>("It is in force.");
        let operation = Operation::new("reload", "Reads the configuration again. Either all of it is in force then, or nothing is changed.")
            .writes()
            .answers(200, reload)
            .refuses(409)
            .refuses(422);
        self.add("post", "/api/v1/reload", operation);
    }
}

fn state() -> Value {
    json!({"type": ["string", "null"], "enum": ["ready", "drain", "maintenance", "maint", null]})
}

fn weight() -> Value {
    json!({"type": ["integer", "null"], "minimum": 0, "maximum": 65535})
}

fn limit() -> Value {
    json!({"type": ["integer", "null"], "minimum": 0, "maximum": 100_000_000, "description": "0 = no limit."})
}
