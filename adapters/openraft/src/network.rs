//! How nodes ask each other: requests and answers over the mesh, with the time that the library gives them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use kit::{Answer, Request};
use openraft::error::{
    Infallible, InstallSnapshotError, NetworkError, RPCError, RaftError, RemoteError, Unreachable,
};
use openraft::impls::BasicNode;
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stormglass::prelude::*;
use tokio::sync::{Notify, oneshot};

use crate::{Node, Types};

/// How long replication to a node that cannot be reached rests.
const BACKOFF: Duration = Duration::from_millis(100);

#[derive(Serialize, Deserialize)]
enum Question {
    Append(AppendEntriesRequest<Types>),
    Vote(VoteRequest<u64>),
    Snapshot(InstallSnapshotRequest<Types>),
    /// What a client has asked a node that does not lead.
    Client(Request),
}

#[derive(Serialize, Deserialize)]
enum Frame {
    Question(u64, Question),
    /// The number of the question, and what came of it, as JSON.
    Answer(u64, String),
}

/// What goes out, and who waits for an answer.
#[derive(Default)]
pub(crate) struct Wire {
    outgoing: RefCell<VecDeque<(NodeId, Vec<u8>)>>,
    has_outgoing: Notify,
    asked: Cell<u64>,
    waiting: RefCell<BTreeMap<u64, (NodeId, oneshot::Sender<String>)>>,
}

impl Wire {
    /// The wire of one start of a node: an answer to what an earlier one has asked is none to what this one asks.
    pub(crate) fn new(cx: &NodeCx) -> Wire {
        Wire { asked: Cell::new(u64::from(cx.incarnation()) << 32), ..Wire::default() }
    }

    pub(crate) async fn has_outgoing(&self) {
        self.has_outgoing.notified().await;
    }

    /// What is to be sent.
    pub(crate) fn outgoing(&self) -> VecDeque<(NodeId, Vec<u8>)> {
        self.outgoing.take()
    }

    fn send(&self, to: NodeId, frame: &Frame) {
        self.outgoing.borrow_mut().push_back((to, kit::json(frame)));
        self.has_outgoing.notify_one();
    }

    /// Takes what another node says.
    pub(crate) fn take(self: &Rc<Wire>, node: &Node, from: NodeId, bytes: &[u8]) {
        match serde_json::from_slice(bytes).expect("nodes speak JSON") {
            Frame::Answer(number, answer) => {
                if let Some((_, waiting)) = self.waiting.borrow_mut().remove(&number) {
                    // Whoever asked may have given up.
                    let _ = waiting.send(answer);
                }
            }
            Frame::Question(number, question) => {
                let (wire, node) = (self.clone(), node.clone());
                node.cx.clone().spawn(async move {
                    let answer = match question {
                        Question::Append(request) => text(&node.raft.append_entries(request).await),
                        Question::Vote(request) => text(&node.raft.vote(request).await),
                        Question::Snapshot(request) => {
                            text(&node.raft.install_snapshot(request).await)
                        }
                        Question::Client(request) => {
                            text(&Ok::<_, Infallible>(node.answer_as_leader(request).await))
                        }
                    };
                    wire.send(from, &Frame::Answer(number, answer));
                });
            }
        }
    }

    /// Has the leader answer a client; nothing where it does not, or has no answer.
    pub(crate) async fn forward(&self, to: NodeId, request: Request) -> Option<Answer> {
        let answered = self.ask(to, Question::Client(request), kit::TIMING.operation).await;
        let answered: Result<Option<Answer>, RPCError<u64, BasicNode, Infallible>> = answered;
        answered.ok().flatten()
    }

    /// The connection to a node is lost: nobody waits for its answers any more.
    pub(crate) fn lose(&self, from: NodeId) {
        self.waiting.borrow_mut().retain(|_, (asked, _)| *asked != from);
    }

    async fn ask<T: DeserializeOwned, E: DeserializeOwned + std::error::Error>(
        &self,
        to: NodeId,
        question: Question,
        time: Duration,
    ) -> Result<T, RPCError<u64, BasicNode, E>> {
        let number = self.asked.get() + 1;
        self.asked.set(number);
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().insert(number, (to, sender));
        self.send(to, &Frame::Question(number, question));
        let answered = tokio::time::timeout(time, receiver).await;
        self.waiting.borrow_mut().remove(&number);
        let answer = match answered {
            Ok(Ok(answer)) => answer,
            Ok(Err(lost)) => return Err(RPCError::Unreachable(Unreachable::new(&lost))),
            Err(elapsed) => return Err(RPCError::Network(NetworkError::new(&elapsed))),
        };
        let result: Result<T, E> = serde_json::from_str(&answer).expect("nodes speak JSON");
        result.map_err(|error| RPCError::RemoteError(RemoteError::new(u64::from(to.0), error)))
    }
}

fn text(answer: &impl Serialize) -> String {
    serde_json::to_string(answer).expect("answers are JSON")
}

/// Makes connections.
pub(crate) struct Network(pub(crate) Rc<Wire>);

impl RaftNetworkFactory<Types> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, _node: &BasicNode) -> Peer {
        let node = NodeId(u32::try_from(target).expect("nodes have small numbers"));
        Peer { node, wire: self.0.clone() }
    }
}

/// A connection to another node.
pub(crate) struct Peer {
    node: NodeId,
    wire: Rc<Wire>,
}

impl Peer {
    fn ask<T: DeserializeOwned, E: DeserializeOwned + std::error::Error>(
        &self,
        question: Question,
        option: &RPCOption,
    ) -> impl Future<Output = Result<T, RPCError<u64, BasicNode, E>>> {
        self.wire.ask(self.node, question, option.hard_ttl())
    }
}

impl RaftNetwork<Types> for Peer {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RPCError<u64, BasicNode, RaftError<u64>>> {
        self.ask(Question::Append(request), &option).await
    }

    async fn install_snapshot(
        &mut self,
        request: InstallSnapshotRequest<Types>,
        option: RPCOption,
    ) -> Result<
        InstallSnapshotResponse<u64>,
        RPCError<u64, BasicNode, RaftError<u64, InstallSnapshotError>>,
    > {
        self.ask(Question::Snapshot(request), &option).await
    }

    async fn vote(
        &mut self,
        request: VoteRequest<u64>,
        option: RPCOption,
    ) -> Result<VoteResponse<u64>, RPCError<u64, BasicNode, RaftError<u64>>> {
        self.ask(Question::Vote(request), &option).await
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(BACKOFF))
    }
}
