//! One node: what the network brings goes to its process, and what that says goes into the network.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use checkers::history::{NodeId, Time};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

use super::child::{Process, shortened};
use super::guardian::Guardian;
use super::pace::Pace;
use super::protocol::{Dialect, envelope, id_of, learn, whole};
use super::questions::{Awaited, Questions};
use super::service::{Asked, SERVICES, Services};
use super::{Launch, Starts};
use crate::json;
use crate::sim::{Address, Message, NodeStatus, Role};
use crate::system::NodeCx;

/// How often a process is listened to, in virtual time.
const TICK: Duration = Duration::from_millis(5);
/// How often what it takes is looked at, in virtual time.
const LOOK: Duration = Duration::from_millis(200);
/// How long it has to answer at once, in real time.
const IDLE: Duration = Duration::from_millis(2);
/// How often it is waited for so in vain within a second of virtual time: where messages come in floods, nobody waits after
/// each of them.
const WAITS_MAX: u32 = 1_000;
/// How long it has to say that it is ready, in real time.
const INIT_MAX: Duration = Duration::from_secs(10);
/// The most lines that are taken from it at one moment.
const LINES_A_MOMENT_MAX: usize = 5_000;
/// Who tells a process who it is, and the number of the message that does.
const HERALD: &str = "c-init";
const INIT: i64 = 1;
/// The number of the message with the topology, where there is one.
const TOPOLOGY: i64 = 2;

pub(super) struct Node {
    pub(super) cx: NodeCx,
    pub(super) launch: Launch,
    pub(super) dialect: &'static Dialect,
    pub(super) pace: Arc<Pace>,
    pub(super) guardian: Arc<Guardian>,
    pub(super) services: Arc<Mutex<Services>>,
    pub(super) questions: Arc<Mutex<Questions>>,
    /// Whether its program can be started.
    pub(super) starts: Arc<Mutex<Starts>>,
    /// When this process was started, which no other of the node was.
    pub(super) start: u64,
    /// How often it has asked a service.
    pub(super) asked: u64,
    /// The others that it has spoken to at this moment.
    pub(super) spoken_to: BTreeSet<NodeId>,
    /// Whether it has said that it knows who it is. It may ask services and speak to others before that.
    pub(super) is_ready: bool,
}

/// How long a process is waited for that has been told something.
#[derive(Default)]
struct Patience {
    /// The second of virtual time.
    second: u64,
    /// How often it was waited for in vain in this second.
    waits: u32,
}

impl Patience {
    fn wait(&mut self, now: Time) -> Duration {
        let second = now.since_start().as_secs();
        if second > self.second {
            *self = Patience { second, waits: 0 };
        }
        if self.waits < WAITS_MAX { IDLE } else { Duration::ZERO }
    }

    /// Notes how long it was waited for in vain.
    fn waited(&mut self, wait: Duration) {
        self.waits += u32::from(!wait.is_zero());
    }
}

/// Through a node that does not run, no service is reached.
impl Drop for Node {
    fn drop(&mut self) {
        let node = self.cx.id();
        self.services.lock().expect("a service does not panic").stop(node);
    }
}

impl Node {
    /// Lives until it goes wrong; says how.
    pub(super) async fn live(mut self) -> Result<(), String> {
        let name = self.name();
        let pace = self.pace.clone();
        let (mut process, first) = pace.hold(|| {
            let started = Process::start(&self.launch, &name, &self.guardian);
            let mut starts = self.starts.lock().expect("nobody panics while holding it");
            starts.any |= started.is_ok();
            let mut process = started.inspect_err(|error| {
                starts.refusal = Some(error.clone()).filter(|_| !starts.any);
            })?;
            drop(starts);
            let first = self.introduce(&mut process)?;
            Ok::<_, String>((process, first))
        })?;
        let ready_by = self.cx.now() + pace.passes_in(INIT_MAX);
        let node = self.cx.id();
        self.services.lock().expect("a service does not panic").running.insert(node);
        self.pass_on(&first)?;
        // What clients ask it before it knows who it is.
        let mut early: Option<Vec<Message>> = Some(Vec::new());
        // Many messages may arrive at one moment: a process that floods says so much at it, not after each of them.
        let (mut moment, mut lines) = (self.cx.now(), 0);
        let mut looked_at = moment;
        let mut patience = Patience::default();
        loop {
            let message = self.cx.recv_within(TICK).await;
            let now = self.cx.now();
            self.pace.wait_until(now);
            if now.since(looked_at) > LOOK {
                looked_at = now;
                process.check()?;
            }
            if now > moment {
                (moment, lines) = (now, 0);
                self.spoken_to.clear();
            }
            let mut wait = Duration::ZERO;
            if self.is_ready
                && let Some(early) = early.take()
            {
                self.tell_topology(&mut process)?;
                for message in early {
                    self.tell(&mut process, &message)?;
                }
            }
            if !self.is_ready && now > ready_by {
                return Err(format!("it did not answer `init` within {INIT_MAX:?}"));
            }
            if let Some(message) = message.and_then(|message| self.pass_by(message)) {
                wait = patience.wait(now);
                match &mut early {
                    Some(early) if matches!(message.from, Address::Client(_)) => {
                        early.push(message)
                    }
                    _ => self.tell(&mut process, &message)?,
                }
            }
            while lines < LINES_A_MOMENT_MAX
                && let Some(line) = process.listen(wait)?
            {
                self.pass_on(&line)?;
                wait = Duration::ZERO;
                lines += 1;
            }
            patience.waited(wait);
        }
    }

    fn name(&self) -> String {
        format!("n{}", self.cx.id())
    }

    /// Tells the process who it is, and waits for the first that it says.
    fn introduce(&self, process: &mut Process) -> Result<String, String> {
        let name = self.name();
        let names = self.names();
        let init = json!({"type": "init", "msg_id": INIT, "node_id": name, "node_ids": names});
        process.ear().tell(envelope(HERALD, &name, init).to_string())?;
        let first = process.listen(INIT_MAX)?;
        first.ok_or_else(|| format!("it did not answer `init` within {INIT_MAX:?}"))
    }

    /// Tells the process who its neighbours are, where it is to know: everybody.
    fn tell_topology(&self, process: &mut Process) -> Result<(), String> {
        if !self.dialect.wants_topology {
            return Ok(());
        }
        let names = self.names();
        let others = |own: &String| names.iter().filter(|name| *name != own).collect::<Vec<_>>();
        let all: BTreeMap<&String, Vec<&String>> =
            names.iter().map(|name| (name, others(name))).collect();
        let topology = json!({"type": "topology", "msg_id": TOPOLOGY, "topology": all});
        process.ear().tell(envelope(HERALD, &self.name(), topology).to_string())
    }

    fn names(&self) -> Vec<String> {
        self.cx.nodes().iter().map(|id| format!("n{id}")).collect()
    }

    /// Tells the process what the network has brought.
    fn tell(&self, process: &mut Process, message: &Message) -> Result<(), String> {
        self.questions.lock().expect("questions do not panic").arrived(message);
        process.ear().tell(String::from_utf8_lossy(&message.bytes).into_owned())
    }

    /// Takes note of what the process says to whom told it who it is.
    fn answer_to_herald(&mut self, number: i64, kind: &Json, line: &str) -> Result<(), String> {
        match number {
            INIT if kind == "init_ok" => self.is_ready = true,
            INIT => return Err(format!("to `init` it answered {}", shortened(line))),
            TOPOLOGY if self.dialect.wants_topology => {}
            _ => {
                return Err(format!(
                    "it answered `{HERALD}`, who had sent no message {number}: {}",
                    shortened(line)
                ));
            }
        }
        Ok(())
    }

    /// Brings a line of the process to whom it is for. What one node says to another arrives as it was said.
    fn pass_on(&mut self, line: &str) -> Result<(), String> {
        let Said { src, dest, body } = Said::parse(line)?;
        let name = self.name();
        if let Some(other) = src.filter(|src| **src != *name) {
            return Err(format!("it spoke in the name of `{other}`: {}", shortened(line)));
        }
        let node = dest.strip_prefix('n').and_then(|number| number.parse().ok()).map(NodeId);
        if let Some(node) = node.filter(|node| self.cx.nodes().contains(node)) {
            self.note_whether_it_leads(node);
            let said = Said { src: Some(name.into()), dest, body };
            let message = json::compact(&said).expect("names and what was JSON are JSON");
            self.cx.send(Address::Node(node), message.as_bytes());
        } else if SERVICES.contains(&&*dest) {
            self.ask_service(&dest, parsed(body.get())?);
        } else if dest.starts_with('c') {
            self.answer(&dest, body.get(), line)?;
        } else {
            return Err(format!("it said something to `{dest}`, and there is nobody of that name"));
        }
        Ok(())
    }

    /// Brings an answer to the client that waits for it.
    fn answer(&mut self, client: &str, said: &str, line: &str) -> Result<(), String> {
        let answer = with_exact_id(parsed(said)?, said);
        let Some(number) = whole(&answer["in_reply_to"]) else {
            return Err(format!("it said to a client what answers nothing: {}", shortened(line)));
        };
        if client == HERALD {
            return self.answer_to_herald(number, &answer["type"], line);
        }
        let mut questions = self.questions.lock().expect("questions do not panic");
        // No message of a client has a number below 0.
        let asked = u64::try_from(number).ok();
        let awaited = asked.map_or(Awaited::Never, |number| questions.answered(client, number));
        drop(questions);
        match awaited {
            Awaited::By(message) => {
                if answer["type"] != "error" {
                    let asked: Json = json::read(&message.bytes).unwrap_or_default();
                    learn(self.dialect, &asked["body"], &answer, said)?;
                } else if whole(&answer["code"]).is_none() {
                    return Err(format!(
                        "its `error` has no `code` that is a whole number of 64 bits: {}",
                        shortened(line)
                    ));
                }
                self.cx.reply(&message, answer.to_string().as_bytes());
                Ok(())
            }
            Awaited::NoMore => Ok(()),
            Awaited::Never => Err(format!(
                "it answered `{client}`, who had sent no message {number}: {}",
                shortened(line)
            )),
        }
    }

    /// Notes that the node speaks to another. The protocol has no word for who leads, so it is seen from outside: the
    /// leader is who spoke last to all others at one moment, as a leader does whenever it has something for them, or to
    /// show that it is there. Who asks for votes does so too, and is no leader for longer than it takes the elected one to say
    /// something.
    fn note_whether_it_leads(&mut self, other: NodeId) {
        self.spoken_to.insert(other);
        let me = self.cx.id();
        if self.cx.nodes().iter().all(|id| *id == me || self.spoken_to.contains(id)) {
            let mut services = self.services.lock().expect("a service does not panic");
            let Some(term) = services.leads(me) else { return };
            self.cx.observe(NodeStatus { role: Role::Leader, term, ..NodeStatus::default() });
        }
    }

    /// Asks a service. A node reaches the services through the node after it that runs, so that what cuts these two off
    /// from each other cuts it off from the services, and what delays or loses messages does so with these.
    fn ask_service(&mut self, service: &str, body: Json) {
        self.asked += 1;
        let (node, number) = (self.cx.id(), self.asked);
        let request = json!({
            "src": self.name(), "dest": service, "body": body, "asked": (node, self.start, number)
        });
        let through = {
            let services = self.services.lock().expect("a service does not panic");
            let (before, after): (Vec<NodeId>, Vec<NodeId>) =
                services.running.iter().filter(|other| **other != node).partition(|id| **id < node);
            after.first().or(before.first()).copied().unwrap_or(node)
        };
        self.cx.send(Address::Node(through), request.to_string().as_bytes());
    }

    /// Serves what is for a service, and takes from what a service answers what is for the process; everything else is
    /// for the process as it is.
    fn pass_by(&self, mut message: Message) -> Option<Message> {
        let Address::Node(from) = message.from else { return Some(message) };
        let Ok(said) = json::read::<Json>(&message.bytes) else { return Some(message) };
        let Some(asked) = said.get("asked") else { return Some(message) };
        let Ok(asked) = serde_json::from_value::<Asked>(asked.clone()) else { return None };
        if said["answers"] == true {
            // A process is not told what one before it had asked for.
            let envelope = json!({"src": said["src"], "dest": said["dest"], "body": said["body"]});
            message.bytes = envelope.to_string().into_bytes();
            return (asked.1 == self.start).then_some(message);
        }
        let service = said["dest"].as_str()?;
        let mut random = self.cx.random(&format!("service/{asked:?}"));
        let mut services = self.services.lock().expect("a service does not panic");
        let answer = services.serve(asked, service, &said["body"], &mut random)?;
        let reply = json!({
            "src": service, "dest": said["src"], "body": answer, "asked": asked, "answers": true
        });
        self.cx.send(Address::Node(from), reply.to_string().as_bytes());
        None
    }
}

/// What a process says, with what it says to whom as it said it.
#[derive(Deserialize, Serialize)]
struct Said<'a> {
    #[serde(borrow, default)]
    src: Option<Cow<'a, str>>,
    #[serde(borrow)]
    dest: Cow<'a, str>,
    #[serde(borrow)]
    body: &'a RawValue,
}

impl Said<'_> {
    fn parse(line: &str) -> Result<Said<'_>, String> {
        // White space as JSON may begin with.
        let line = line.trim_start_matches([' ', '\t', '\r']);
        let is_message =
            |said: &Said<'_>| line.starts_with('{') && said.body.get().starts_with('{');
        let said = json::read(line);
        let error = said.as_ref().err().filter(|_| line.starts_with('{'));
        let why = error.map_or_else(String::new, |error| format!(" ({error})"));
        if let Some(said) = said.ok().filter(is_message) {
            return Ok(said);
        }
        match json::read::<&RawValue>(line) {
            Ok(_) => Err(format!(
                "it said what is no message with a `dest` and a `body`: {}{why}",
                shortened(line)
            )),
            Err(error) => Err(format!("it said what is no JSON: {} ({error})", shortened(line))),
        }
    }
}

/// An answer with its id, where it has one, as a text of its own: read as a number it might become another one.
fn with_exact_id(mut answer: Json, said: &str) -> Json {
    #[derive(Deserialize)]
    struct Generated<'a> {
        #[serde(borrow)]
        id: &'a RawValue,
    }
    if answer.get("id").is_some_and(|id| !id.is_null())
        && let Ok(Generated { id }) = json::read(said)
    {
        answer["id"] = id_of(id).into();
    }
    answer
}

/// What is for a client or a service, as far as it is read.
fn parsed(line: &str) -> Result<Json, String> {
    json::read(line)
        .map_err(|error| format!("it said what is not read here: {} ({error})", shortened(line)))
}
