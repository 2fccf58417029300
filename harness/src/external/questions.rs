//! What clients have asked, and who is to be told.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::json;
use crate::sim::{Address, Message};

/// What each client has asked last. Whichever node knows the answer may give it.
#[derive(Default)]
pub(super) struct Questions(BTreeMap<String, Question>);

struct Question {
    /// The number that it has among those of its client.
    number: u64,
    /// As it came; nothing once it is answered.
    message: Option<Message>,
}

/// Whom an answer is for.
pub(super) enum Awaited {
    /// Who sent this waits for it.
    By(Message),
    /// Somebody has asked for it, and was answered, or waits for something else by now.
    NoMore,
    /// Nobody has asked for it.
    Never,
}

impl Questions {
    /// A message has arrived: it is remembered if it is a request of a client.
    pub(super) fn arrived(&mut self, message: &Message) {
        let Address::Client(_) = message.from else { return };
        let Ok(asked) = json::read::<Json>(&message.bytes) else { return };
        let (Some(client), Some(number)) =
            (asked["src"].as_str(), asked["body"]["msg_id"].as_u64())
        else {
            return;
        };
        // What the network brings late, or again, is none that its client waits for.
        if self.0.get(client).is_none_or(|last| last.number < number) {
            let message = Some(message.clone());
            self.0.insert(client.to_owned(), Question { number, message });
        }
    }

    /// The request of a client that an answer is for.
    pub(super) fn answered(&mut self, client: &str, number: u64) -> Awaited {
        match self.0.get_mut(client) {
            Some(last) if last.number == number => {
                last.message.take().map_or(Awaited::NoMore, Awaited::By)
            }
            Some(last) if last.number > number => Awaited::NoMore,
            _ => Awaited::Never,
        }
    }
}
