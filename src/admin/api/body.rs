//! What is read of the bodies of requests: JSON objects with known keys, each problem in words.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::admin::control::{Change, NewServer, ServerChange};
use crate::admin::problem::ApiError;
use crate::config;
use crate::config::model::Operator;

/// A body, taken apart key by key; what is wrong is collected.
struct Fields {
    fields: Map<String, Value>,
    problems: Vec<String>,
}

impl Fields {
    fn read(body: &[u8]) -> Result<Self, ApiError> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| ApiError::bad_request(format!("the body is not JSON: {error}")))?;
        match value {
            Value::Object(fields) => Ok(Self {
                fields,
                problems: Vec::new(),
            }),
            _ => Err(ApiError::unprocessable("the body must be a JSON object")),
        }
    }

    /// What a key says: nothing where it isn't there, back to the default with a null.
    fn take<T>(
        &mut self,
        key: &str,
        wanted: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Change<T> {
        let Some(value) = self.fields.remove(key) else {
            return Change::None;
        };
        if value.is_null() {
            return Change::Back;
        }
        let read = read(&value);
        if read.is_none() {
            let value = config::on_one_line(&value.to_string(), 60);
            self.problems
                .push(format!("{key}: {value} is not {wanted}"));
        }
        read.map_or(Change::None, Change::To)
    }

    fn weight(&mut self) -> Change<u16> {
        self.take("weight", "a whole number from 0 to 65535", |value| {
            u16::try_from(whole(value)?).ok()
        })
    }

    fn max_connections(&mut self) -> Change<u32> {
        let wanted = "a whole number from 0 (no limit) to 100000000";
        self.take("max_connections", wanted, |value| {
            let limit = u32::try_from(whole(value)?).ok();
            limit.filter(|limit| *limit <= 100_000_000)
        })
    }

    fn state(&mut self) -> Option<Operator> {
        let state = self.take("state", "ready, drain or maintenance", |value| {
            Some(match value.as_str()? {
                "ready" => Operator::Ready,
                "drain" => Operator::Drain,
                // HAProxy's word, too.
                "maintenance" | "maint" => Operator::Maintenance,
                _ => return None,
            })
        });
        match state {
            Change::None => None,
            Change::Back => Some(Operator::Ready),
            Change::To(state) => Some(state),
        }
    }

    /// What else there is, is a mistake.
    fn finish(self) -> Result<(), ApiError> {
        let mut problems = self.problems;
        for key in self.fields.keys() {
            let key = config::on_one_line(key, 60);
            problems.push(format!("{key}: there is no such key"));
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(ApiError {
            problems: problems.clone(),
            ..ApiError::unprocessable(problems.join("; "))
        })
    }
}

/// A whole number, however it is written: JSON has one kind of number, and 2.0 is 2 (RFC 8259 section 6).
fn whole(value: &Value) -> Option<u64> {
    /// From here on not all whole numbers can be told apart.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    value.as_u64().or_else(|| {
        let number = value.as_f64()?;
        let is_whole = number.fract() == 0.0 && (0.0..EXACT).contains(&number);
        is_whole.then(|| format!("{number:.0}").parse().ok())?
    })
}

/// A change of a server, and how long to wait until it is idle.
pub fn change(body: &[u8]) -> Result<(ServerChange, Option<Duration>), ApiError> {
    let mut fields = Fields::read(body)?;
    let change = ServerChange {
        state: fields.state(),
        weight: fields.weight(),
        max_connections: fields.max_connections(),
    };
    let wait = fields.take("wait", "a duration such as \"30s\"", |value| {
        config::duration(value.as_str()?).ok()
    });
    fields.finish()?;
    Ok((change, wait.given()))
}

/// A server to be added.
pub fn new_server(body: &[u8]) -> Result<NewServer, ApiError> {
    let mut fields = Fields::read(body)?;
    let text = |fields: &mut Fields, key: &str| {
        let text = fields.take(key, "a text", |value| value.as_str().map(str::to_owned));
        text.given()
    };
    let written = text(&mut fields, "address");
    let name = text(&mut fields, "name").or_else(|| written.clone());
    let state = fields.state().unwrap_or_default();
    let weight = fields.weight().given().unwrap_or(1);
    let max_connections = fields.max_connections().given().unwrap_or(0);
    let backup = fields.take("backup", "true or false", Value::as_bool);
    let backup = backup.given().unwrap_or(false);
    let address = match written.as_deref().map(config::server_address) {
        Some(Ok(address)) => Some(address),
        Some(Err(why)) => {
            fields.problems.push(format!("address: {why}"));
            None
        }
        None if fields.problems.is_empty() => {
            fields.problems.push("address: is missing".to_owned());
            None
        }
        None => None,
    };
    let name = name.unwrap_or_default();
    if address.is_some()
        && let Err(why) = config::check_name(&name)
    {
        fields.problems.push(format!("name: {why}"));
    }
    fields.finish()?;
    let Some(address) = address else {
        return Err(ApiError::unprocessable("address: is missing"));
    };
    Ok(NewServer {
        name,
        address,
        weight,
        max_connections,
        backup,
        state,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_what_is_written_and_no_more() {
        let read = |body: &str| change(body.as_bytes());
        assert_eq!(read("{}").expect("fine"), (ServerChange::default(), None));
        let (found, wait) = read(r#"{"state":"maint","weight":null,"wait":"2s"}"#).expect("fine");
        assert_eq!(found.state, Some(Operator::Maintenance));
        assert_eq!(
            (found.weight, found.max_connections),
            (Change::Back, Change::None)
        );
        assert_eq!(wait, Some(Duration::from_secs(2)));
        assert_eq!(
            read(r#"{"state":null}"#).expect("fine").0.state,
            Some(Operator::Ready)
        );
        for (body, status) in [
            ("", 400),
            ("{", 400),
            ("[]", 422),
            (r#"{"state":"up"}"#, 422),
            (r#"{"weight":65536}"#, 422),
            (r#"{"weight":-1}"#, 422),
            (r#"{"weight":"5"}"#, 422),
            (r#"{"weight":1.5}"#, 422),
            (r#"{"weight":-0.5}"#, 422),
            (r#"{"weight":1e300}"#, 422),
            (r#"{"wait":"soon"}"#, 422),
            (r#"{"wieght":1}"#, 422),
        ] {
            assert_eq!(
                read(body).expect_err(body).status.as_u16(),
                status,
                "{body}"
            );
        }
        let (found, _) = read(r#"{"weight":2.0}"#).expect("fine");
        assert_eq!(found.weight, Change::To(2));
        let error = read(r#"{"weight":-1,"x":1}"#).expect_err("two problems");
        assert_eq!(error.problems.len(), 2, "{error:?}");
    }

    #[test]
    fn a_new_server_needs_an_address_and_has_defaults() {
        let read = |body: &str| new_server(body.as_bytes());
        let server = read(r#"{"address":"10.0.0.3:80"}"#).expect("fine");
        assert_eq!((server.name.as_str(), server.weight), ("10.0.0.3:80", 1));
        for body in [
            "{}",
            r#"{"name":"c"}"#,
            r#"{"address":"10.0.0.3"}"#,
            r#"{"address":"unix:run/s"}"#,
            r#"{"name":"a/b","address":"10.0.0.3:80"}"#,
            r#"{"name":7,"address":"10.0.0.3:80"}"#,
        ] {
            assert_eq!(read(body).expect_err(body).status.as_u16(), 422, "{body}");
        }
    }
}
