//! A node for `lin-kv` with a primary, `n1`, that puts every operation into its log and answers once a majority has it.
//!
//! Every node keeps its log in a file, synced before it says that it has something. The others pass on to the primary what
//! clients ask them, and its answers back. There is no election: while the primary is away, nobody is served.
//!
//! The log of the primary is never behind that of another node, since it has in its file what it sends. So it goes on
//! after a crash with what it had, and what of that was not acknowledged may yet take effect.
//!
//! With the argument `broken`, nothing is kept in a file and the primary answers before anybody else has what it did:
//! what was acknowledged is lost with its process.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, read_to_string};
use std::io::{BufRead as _, Write as _, stdin, stdout};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::{Value, json};

const PRIMARY: &str = "n1";
/// How often the primary sends again what others have not said that they have.
const AGAIN: Duration = Duration::from_millis(100);
/// The most entries of one message.
const ENTRIES_MAX: usize = 200;

struct Node {
    broken: bool,
    name: String,
    nodes: Vec<String>,
    log: Vec<Value>,
    file: Option<File>,
    /// At the primary: how long the log of each other node is, as far as is known.
    has: BTreeMap<String, usize>,
    /// At the primary: how much of the log has taken effect, and what that comes to.
    done: usize,
    held: BTreeMap<String, Value>,
    /// Whom to answer for an entry of the log that this process has put there.
    asked: BTreeMap<usize, Value>,
    /// At the others: what was passed on, by the number it was given.
    passed: BTreeMap<u64, Value>,
    number: u64,
}

fn main() {
    let broken = std::env::args().any(|word| word == "broken");
    let mut node = Node {
        broken,
        name: String::new(),
        nodes: Vec::new(),
        log: Vec::new(),
        file: None,
        has: BTreeMap::new(),
        done: 0,
        held: BTreeMap::new(),
        asked: BTreeMap::new(),
        passed: BTreeMap::new(),
        number: 0,
    };
    let (lines, said) = channel();
    std::thread::spawn(move || {
        for line in stdin().lock().lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    loop {
        match said.recv_timeout(AGAIN) {
            Ok(line) => node.hear(&serde_json::from_str(&line).expect("a message is JSON")),
            Err(RecvTimeoutError::Timeout) => node.replicate(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

impl Node {
    fn say(&self, to: &Value, body: Value) {
        let line = json!({"src": self.name, "dest": to, "body": body});
        let mut out = stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush()).expect("somebody listens");
    }

    fn answer(&self, asked: &Value, mut body: Value) {
        body["in_reply_to"] = asked["body"]["msg_id"].clone();
        self.say(&asked["src"], body);
    }

    fn hear(&mut self, message: &Value) {
        let body = &message["body"];
        match body["type"].as_str().expect("every message has a type") {
            "init" => {
                self.begin(body);
                self.answer(message, json!({"type": "init_ok"}));
            }
            "read" | "write" | "cas" if self.name == PRIMARY => {
                self.asked.insert(self.log.len(), message.clone());
                self.append(&[body.clone()]);
                self.replicate();
                self.settle();
            }
            "read" | "write" | "cas" => {
                self.number += 1;
                self.passed.insert(self.number, message.clone());
                let mut passed = body.clone();
                passed["msg_id"] = self.number.into();
                self.say(&json!(PRIMARY), passed);
            }
            "entries" => {
                let from = body["from"].as_u64().expect("entries begin somewhere") as usize;
                let entries = body["entries"].as_array().expect("entries are a list");
                // What is there already comes again where an answer was late or lost.
                if from <= self.log.len() && self.log.len() < from + entries.len() {
                    self.append(&entries[self.log.len() - from..]);
                }
                self.say(&message["src"], json!({"type": "has", "count": self.log.len()}));
            }
            "has" => {
                let name = message["src"].as_str().expect("nodes have names").to_owned();
                let count = body["count"].as_u64().expect("a count is a number") as usize;
                let known = self.has.entry(name).or_default();
                *known = count.max(*known);
                self.settle();
            }
            // The answer to what was passed on.
            _ => {
                let number = body["in_reply_to"].as_u64().unwrap_or_default();
                if let Some(asked) = self.passed.remove(&number) {
                    self.answer(&asked, body.clone());
                }
            }
        }
    }

    /// Goes on with what it had.
    fn begin(&mut self, body: &Value) {
        self.name = body["node_id"].as_str().expect("a node has a name").to_owned();
        let names = body["node_ids"].as_array().expect("nodes are a list").iter();
        self.nodes = names.filter_map(|name| name.as_str().map(str::to_owned)).collect();
        // A number that no other start of this node gives to what it passes on: answers to an earlier one are late.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        self.number = now.map_or(0, |since| since.as_micros() as u64);
        if self.broken {
            return;
        }
        let text = read_to_string("log").unwrap_or_default();
        // The end of what was written when the process ended may be half a line.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        self.log = text[..whole].lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let file = OpenOptions::new().create(true).append(true).open("log").expect("there is a folder");
        file.set_len(whole as u64).expect("a file can be cut");
        self.file = Some(file);
    }

    fn append(&mut self, entries: &[Value]) {
        self.log.extend_from_slice(entries);
        let Some(file) = &mut self.file else { return };
        let lines: String = entries.iter().map(|entry| format!("{entry}\n")).collect();
        file.write_all(lines.as_bytes()).and_then(|()| file.sync_data()).expect("there is room");
    }

    /// Sends everyone what it has not said that it has.
    fn replicate(&self) {
        if self.name != PRIMARY {
            return;
        }
        for other in self.nodes.iter().filter(|other| *other != PRIMARY) {
            let from = self.has.get(other).copied().unwrap_or(0).min(self.log.len());
            let entries = &self.log[from..self.log.len().min(from + ENTRIES_MAX)];
            let body = json!({"type": "entries", "from": from, "entries": entries});
            self.say(&json!(other), body);
        }
    }

    /// Lets take effect what enough nodes have, in the order of the log.
    fn settle(&mut self) {
        let mut counts: Vec<usize> = self.has.values().copied().collect();
        counts.resize(self.nodes.len() - 1, 0);
        counts.push(self.log.len());
        counts.sort_unstable();
        let majority = if self.broken { self.log.len() } else { counts[(counts.len() - 1) / 2] };
        while self.done < majority {
            let reply = self.apply(self.done);
            if let Some(asked) = self.asked.remove(&self.done) {
                self.answer(&asked, reply);
            }
            self.done += 1;
        }
    }

    fn apply(&mut self, place: usize) -> Value {
        let body = &self.log[place];
        let key = body["key"].to_string();
        match (body["type"].as_str(), self.held.get(&key)) {
            (Some("read"), Some(value)) => json!({"type": "read_ok", "value": value}),
            (Some("write"), _) => {
                self.held.insert(key, body["value"].clone());
                json!({"type": "write_ok"})
            }
            (_, None) => json!({"type": "error", "code": 20, "text": "there is no such key"}),
            (_, Some(held)) if *held == body["from"] => {
                self.held.insert(key, body["to"].clone());
                json!({"type": "cas_ok"})
            }
            _ => json!({"type": "error", "code": 22, "text": "it holds something else"}),
        }
    }
}
