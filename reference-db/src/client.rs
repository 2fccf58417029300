//! The client library: sessions, retries, finding a node that answers.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::env::{ClientEnv, NodeId, Time};
use crate::kv::{Command, ReadLevel, Reply, Update};
use crate::merge::VersionVector;
use crate::wire::{self, Frame, Request};

mod members;
mod rewrite;

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The node that it turns to first, by its place among the nodes.
    pub home: usize,
    /// How long it waits for an answer before it asks again.
    pub attempt: Duration,
    /// How long it waits after a node has said that it knows no leader.
    pub pause: Duration,
    /// Whether it goes on to the next node where one does not answer, or knows no leader.
    pub roam: bool,
    /// How many nodes further the next node is: 1, or the number of regions for a client that stays in
    /// its region.
    pub stride: usize,
    /// Whether it keeps sets in registers, for a store that has no sets.
    pub rewrites_sets: bool,
    /// Where it reads what some replica holds.
    pub replica_reads: ReplicaReads,
    /// Whether the store remembers every change that it has made. Where a leader may be replaced by
    /// one that does not, the answer to a second copy of a change says nothing of the first, which
    /// somebody may have seen.
    pub remembered: bool,
}

/// Where a client reads what some replica holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplicaReads {
    /// At the node that it turns to anyway.
    #[default]
    Sticky,
    /// At one node after the other.
    Any,
    /// At one node after the other, from a state that contains what the client has seen before: it
    /// tells every node how far that is, in every request.
    Session,
}

/// What a client knows after a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The store answered.
    Reply(Reply),
    /// No node did anything, and none will: of a change, nothing was sent. One that was turned down may be
    /// taken after all when the network delivers it a second time.
    NotDone,
    /// It may have been done, may yet be, or may never be.
    Unknown,
    /// What the client had seen is lost, and it begins anew. Whether anything was done is known no
    /// better than of [`Answer::Unknown`] where `unknown` is set; otherwise nothing was.
    Lost {
        /// Whether an earlier copy of the request was not answered.
        unknown: bool,
    },
}

/// A client of the store: one session, one call at a time.
#[derive(Debug)]
pub struct Client<C> {
    env: C,
    policy: Policy,
    /// The node that is asked, by its place among the nodes.
    node: usize,
    /// The open session, if there is one.
    session: Option<Session>,
    /// The number of the last request.
    sequence: u64,
    /// The greatest position of an answer.
    seen: u64,
    /// How far it has seen the members change.
    members_seen: u64,
    /// Of keys that were read as siblings and not written since, what was read.
    contexts: BTreeMap<String, VersionVector>,
    /// Of sets that it has written whole, what stood there then.
    sets: BTreeMap<String, rewrite::Seen>,
}

/// A session that a node has opened.
#[derive(Clone, Copy, Debug)]
struct Session {
    number: u64,
    /// Whether all nodes know it, so that a change that was not answered may be sent again, to any of
    /// them. One that its node alone knows makes no more of a change than that node can: it is sent
    /// once.
    shared: bool,
}

impl Session {
    /// For requests that need none: anybody may be asked, as often as one likes.
    const NONE: Session = Session { number: 0, shared: true };
}

/// What came of one copy of a request.
enum Attempt {
    Reply(Reply),
    Silence,
}

impl<C: ClientEnv> Client<C> {
    /// Makes a client. Its session is opened with the first call that needs one.
    pub fn new(env: C, policy: Policy) -> Client<C> {
        let node = policy.home % env.nodes().len();
        Client {
            env,
            policy,
            node,
            session: None,
            sequence: 0,
            seen: 0,
            members_seen: 0,
            contexts: BTreeMap::new(),
            sets: BTreeMap::new(),
        }
    }

    /// The world that the client lives in: its clock is the one that deadlines refer to.
    pub fn env(&self) -> &C {
        &self.env
    }

    /// Does one thing, and tries again until `deadline`. The store applies it once, however often
    /// it is asked.
    ///
    /// Where the store keeps siblings, a write replaces what the client has read of the key before, and
    /// nothing else.
    pub async fn call(&mut self, command: Command, deadline: Time) -> Answer {
        let rewrites = self.policy.rewrites_sets;
        match command {
            Command::Update { key, update: update @ (Update::Add(_) | Update::Remove(_)) }
                if rewrites =>
            {
                self.rewrite(key, update, deadline).await
            }
            Command::Read { key, level } => {
                let command = Command::Read { key: key.clone(), level };
                match self.call_plainly(command, deadline).await {
                    Answer::Reply(reply) => {
                        if let Reply::Siblings { context, .. } = &reply {
                            self.contexts.insert(key, context.clone());
                        }
                        let reply = if rewrites { rewrite::as_set(reply) } else { reply };
                        Answer::Reply(reply)
                    }
                    answer => answer,
                }
            }
            command if command.is_about_members() => self.change_members(command, deadline).await,
            command => {
                let command = self.with_context(command);
                self.call_plainly(command, deadline).await
            }
        }
    }

    /// A write as one that replaces what the client has read, where it has read siblings.
    fn with_context(&mut self, command: Command) -> Command {
        let (key, value) = match command {
            Command::Write { key, value } => (key, Some(value)),
            Command::Delete { key } => (key, None),
            command => return command,
        };
        match (self.contexts.remove(&key), value) {
            (Some(context), value) => Command::Replace { key, value, context, shown: false },
            (None, Some(value)) => Command::Write { key, value },
            (None, None) => Command::Delete { key },
        }
    }

    /// Sends a command as it is, unless no node would take one that is so long.
    async fn call_plainly(&mut self, command: Command, deadline: Time) -> Answer {
        if wire::is_too_long(&command) {
            return Answer::Reply(Reply::TooLong);
        }
        let writes = !matches!(
            command,
            Command::Read { .. } | Command::OpenSession | Command::Transfer { .. }
        );
        let session = if writes {
            match self.open_session(deadline).await {
                Ok(session) => session,
                Err(answer) => return answer,
            }
        } else {
            Session::NONE
        };
        let answer = self.ask(session, command, deadline).await;
        if answer == Answer::Reply(Reply::SessionUnknown) {
            // The network may have delivered the request twice, and the node that made the change the first
            // time, and has been restarted or has forgotten the session since, may have answered the second.
            self.session = None;
            return Answer::Unknown;
        }
        answer
    }

    /// Turns to another node from here on, by its place among the nodes: the one before is none any more. A
    /// session that only that one knows is left behind with it.
    pub fn turn_to(&mut self, home: usize) {
        self.policy.home = home;
        self.node = home % self.env.nodes().len();
        self.session = self.session.filter(|session| session.shared);
    }

    /// Stops waiting for whatever was under way: a late answer to it is ignored.
    pub fn abandon(&mut self) {
        self.sequence += 1;
    }

    /// The open session, or a new one. Where there is none, nothing but its opening was ever sent.
    async fn open_session(&mut self, deadline: Time) -> Result<Session, Answer> {
        if let Some(session) = self.session {
            return Ok(session);
        }
        let session = match self.ask(Session::NONE, Command::OpenSession, deadline).await {
            Answer::Reply(Reply::Session(number)) => Session { number, shared: true },
            Answer::Reply(Reply::NodeSession(number)) => Session { number, shared: false },
            Answer::Lost { .. } => return Err(Answer::Lost { unknown: false }),
            Answer::Reply(_) | Answer::NotDone | Answer::Unknown => return Err(Answer::NotDone),
        };
        self.session = Some(session);
        Ok(session)
    }

    /// Sends one request until it is answered. One that was turned down because its epoch is over is a
    /// request to the epoch that the answer told of, under a number of its own: the copy that was turned
    /// down is so in every later one.
    async fn ask(&mut self, session: Session, command: Command, deadline: Time) -> Answer {
        loop {
            let answer = self.ask_epoch(session, command.clone(), deadline).await;
            if answer != Answer::Reply(Reply::EpochOver) {
                return answer;
            }
            if self.env.now() >= deadline {
                return Answer::Unknown;
            }
        }
    }

    /// Sends one request until it is answered, or its epoch is over.
    async fn ask_epoch(&mut self, session: Session, command: Command, deadline: Time) -> Answer {
        self.sequence += 1;
        let sequence = self.sequence;
        // A session of one node needs it to order its changes.
        let tells = self.policy.replica_reads == ReplicaReads::Session || !session.shared;
        let seen = if tells { self.seen } else { 0 };
        let wanders = self.policy.replica_reads != ReplicaReads::Sticky
            && matches!(command, Command::Read { level: ReadLevel::Replica, .. });
        let request = Request { session: session.number, sequence, seen, command };
        let frame = wire::encode(&Frame::<()>::Request(request));
        let home = self.node;
        if wanders {
            self.node = (self.policy.home + sequence as usize) % self.env.nodes().len();
        }
        let answer = self.ask_until(session, &frame, wanders, deadline).await;
        if wanders {
            self.node = home;
        }
        answer
    }

    /// Sends a frame to one node or several until it is answered. In a session it asks for a change.
    async fn ask_until(
        &mut self,
        session: Session,
        frame: &[u8],
        wanders: bool,
        deadline: Time,
    ) -> Answer {
        // Copies that nobody answered: what became of them is unknown. So it is of a change that a node has
        // turned down: the network may deliver it again, when that node leads or knows who does.
        let mut unanswered = false;
        while self.env.now() < deadline {
            match self.attempt(frame, deadline).await {
                Attempt::Silence => {
                    unanswered = true;
                    self.move_on(wanders);
                    if !session.shared {
                        break;
                    }
                }
                Attempt::Reply(Reply::NotLeader) => {
                    unanswered |= session.number != Session::NONE.number;
                    let pause = (self.env.now() + self.policy.pause).min(deadline);
                    self.move_on(wanders);
                    self.env.sleep_until(pause).await;
                }
                // The session may have been forgotten after an earlier copy was applied.
                Attempt::Reply(Reply::SessionUnknown) if unanswered => {
                    self.session = None;
                    return Answer::Unknown;
                }
                // An earlier copy may be with the primary of the epoch that is over.
                Attempt::Reply(Reply::EpochOver) if unanswered => return Answer::Unknown,
                Attempt::Reply(Reply::Lost) => {
                    self.session = None;
                    self.seen = 0;
                    return Answer::Lost { unknown: unanswered };
                }
                Attempt::Reply(
                    Reply::Mismatch(_) | Reply::WrongKind | Reply::TooLittle | Reply::TooMuch,
                ) if unanswered && !self.policy.remembered => {
                    return Answer::Unknown;
                }
                Attempt::Reply(reply) => return Answer::Reply(reply),
            }
        }
        if unanswered { Answer::Unknown } else { Answer::NotDone }
    }

    /// Sends one copy and waits for its answer.
    async fn attempt(&mut self, frame: &[u8], deadline: Time) -> Attempt {
        let node: NodeId = self.env.nodes()[self.node];
        self.env.send(node, frame.to_vec());
        let until = (self.env.now() + self.policy.attempt).min(deadline);
        loop {
            let message = tokio::select! {
                biased;
                (_, message) = self.env.recv() => message,
                () = self.env.sleep_until(until) => return Attempt::Silence,
            };
            match wire::decode::<Frame<()>>(&message) {
                Ok(Frame::Response { sequence, reply, position }) if sequence == self.sequence => {
                    self.seen = self.seen.max(position);
                    return Attempt::Reply(reply);
                }
                // An answer to an earlier request, or noise.
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Turns to the next node, where the policy allows it or a read wanders anyway. A session that its
    /// node alone knows is left behind with the node; one that wanders comes back to it.
    fn move_on(&mut self, wanders: bool) {
        if wanders || self.policy.roam {
            self.node = self.next_node();
        }
        if !wanders && self.policy.roam {
            self.session = self.session.filter(|session| session.shared);
        }
    }

    /// The node that follows, as far away as the policy says; the first of the same round after the
    /// last.
    fn next_node(&self) -> usize {
        let next = self.node + self.policy.stride;
        if next < self.env.nodes().len() { next } else { self.node % self.policy.stride }
    }
}
