//! What nodes may ask besides each other: stores of keys, and a counter.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

/// The services there are.
pub(super) const SERVICES: &[&str] = &["lin-kv", "seq-kv", "lww-kv", "lin-tso"];

/// What the services hold in one run.
#[derive(Default)]
pub(super) struct Services {
    /// By service and key, which may be any JSON.
    held: BTreeMap<(String, String), Json>,
    /// How often the time was told.
    told: u64,
}

impl Services {
    /// Answers a request; one that no service knows has no answer.
    pub(super) fn serve(&mut self, service: &str, body: &Json) -> Option<Json> {
        let kind = body["type"].as_str()?;
        if service == "lin-tso" {
            let time = self.told;
            self.told += u64::from(kind == "ts");
            return (kind == "ts").then(|| answer(body, json!({"type": "ts_ok", "ts": time})));
        }
        let place = (service.to_owned(), body["key"].to_string());
        let missing = || json!({"type": "error", "code": 20, "text": "there is no such key"});
        let reply = match (kind, self.held.get(&place)) {
            ("read", None) => missing(),
            ("read", Some(value)) => json!({"type": "read_ok", "value": value}),
            ("write", _) => {
                self.held.insert(place, body["value"].clone());
                json!({"type": "write_ok"})
            }
            ("cas", None) if body["create_if_not_exists"] != true => missing(),
            ("cas", Some(held)) if *held != body["from"] => {
                let text = format!("expected {}, but there is {held}", body["from"]);
                json!({"type": "error", "code": 22, "text": text})
            }
            ("cas", _) => {
                self.held.insert(place, body["to"].clone());
                json!({"type": "cas_ok"})
            }
            _ => return None,
        };
        Some(answer(body, reply))
    }
}

fn answer(asked: &Json, mut reply: Json) -> Json {
    if !asked["msg_id"].is_null() {
        reply["in_reply_to"] = asked["msg_id"].clone();
    }
    reply
}
