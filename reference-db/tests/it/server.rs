//! The shell: in which order the disk and the network see what a protocol wants done.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use stormglass_reference_db::env::{Address, ClientId, Env, NodeId, Role, Status, Time};
use stormglass_reference_db::kv::{Command, Reply};
use stormglass_reference_db::protocol::primary::Acknowledge;
use stormglass_reference_db::protocol::raft::StrongReads;
use stormglass_reference_db::protocol::{
    Contradiction, Input, Options, Origin, Output, Protocol, Recovered, Timing, leaderless,
    multi_leader,
};
use stormglass_reference_db::server::{Ended, ServerConfig, serve};
use stormglass_reference_db::storage::StorageError;
use stormglass_reference_db::wire::{self, Frame, Request};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::memory_disk::MemoryDisk;

/// A protocol that does what it is told.
struct Obedient {
    me: NodeId,
    held: Vec<u32>,
    status: Status,
    deadline: Time,
    heartbeat: Duration,
}

/// What it is told to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Do {
    /// Persist a number.
    Persist(u32),
    /// Replace what was persisted by this many numbers from 0 on.
    Snapshot(u32),
    /// Tell a node nothing.
    Tell(u32),
    /// Answer a client of a node.
    Answer(u32, u64),
    /// Tell node 2 what it holds.
    Recite,
    /// Take itself for the leader of a term.
    Lead(u64),
    /// Stop for good.
    Stop,
}

impl Protocol for Obedient {
    type Message = Vec<Do>;
    type Record = u32;
    type Snapshot = u32;

    fn recover(
        options: Options,
        recovered: Recovered<u32, u32>,
        _: ChaCha8Rng,
        now: Time,
    ) -> Obedient {
        let snapshot = 0..recovered.snapshot.unwrap_or(0);
        let held = snapshot.chain(recovered.records).collect();
        let heartbeat = options.timing.heartbeat;
        let status = Status::default();
        Obedient { me: options.id, held, status, deadline: now + heartbeat, heartbeat }
    }

    fn reseed(&mut self, _: ChaCha8Rng) {}

    fn step(&mut self, now: Time, input: Input<Vec<Do>>, out: &mut Vec<Output<Obedient>>) {
        match input {
            Input::Timer => {
                self.deadline = now + self.heartbeat;
                out.push(Output::Send { to: NodeId(3), message: Vec::new() });
            }
            Input::Message { message, .. } => {
                out.extend(message.into_iter().filter_map(|order| self.obey(&order)));
            }
            Input::Request { from, request, .. } => {
                out.push(Output::Persist(9));
                let to = Origin { node: self.me, client: from };
                let sequence = request.sequence;
                out.push(Output::Reply { to, sequence, reply: Reply::Done, position: 0 });
            }
        }
    }

    fn deadline(&self) -> Time {
        self.deadline
    }

    fn status(&self) -> Status {
        self.status
    }
}

impl Obedient {
    fn obey(&mut self, order: &Do) -> Option<Output<Obedient>> {
        Some(match *order {
            Do::Persist(number) => Output::Persist(number),
            Do::Snapshot(count) => Output::Snapshot(count),
            Do::Tell(node) => Output::Send { to: NodeId(node), message: Vec::new() },
            Do::Answer(node, client) => {
                let to = Origin { node: NodeId(node), client: ClientId(client) };
                Output::Reply { to, sequence: 5, reply: Reply::Done, position: 0 }
            }
            Do::Recite => {
                let held = self.held.iter().copied().map(Do::Persist).collect();
                Output::Send { to: NodeId(2), message: held }
            }
            Do::Stop => Output::Stop(Contradiction { agreed: 7, index: 5, term: 2 }),
            Do::Lead(term) => {
                self.status = Status { role: Role::Leader, term, ..Status::default() };
                return None;
            }
        })
    }
}

/// Who sent something, and what.
type Letter = (Address, Vec<u8>);

/// Node 1 of three, and everything that anybody sees it do.
#[derive(Clone)]
struct World {
    disk: MemoryDisk,
    events: Rc<RefCell<Vec<String>>>,
    inbox: Rc<RefCell<mpsc::UnboundedReceiver<Letter>>>,
    post: mpsc::UnboundedSender<Letter>,
    began: Instant,
    /// How long the node is busy with sending one message.
    send_takes: Rc<Cell<Duration>>,
    /// How long it was busy so far.
    busy: Rc<Cell<Duration>>,
}

impl World {
    fn new(disk: &MemoryDisk) -> World {
        let events = Rc::<RefCell<Vec<String>>>::default();
        let seen = Rc::clone(&events);
        disk.watch(move |operation| seen.borrow_mut().push(operation.to_owned()));
        let (post, inbox) = mpsc::unbounded_channel();
        let inbox = Rc::new(RefCell::new(inbox));
        World {
            disk: disk.clone(),
            events,
            inbox,
            post,
            began: Instant::now(),
            send_takes: Rc::default(),
            busy: Rc::default(),
        }
    }

    fn deliver(&self, from: Address, frame: &Frame<Vec<Do>>) {
        self.post.send((from, wire::encode(frame))).unwrap();
    }

    /// Has node 2 tell the node what to do.
    fn order(&self, orders: &[Do]) {
        self.deliver(Address::Node(NodeId(2)), &Frame::Peer(orders.to_vec()));
    }

    /// Runs the node for a while, or until it stops. Returns what was seen of it meanwhile, and why
    /// it stopped.
    async fn run(&self, time: Duration) -> (Vec<String>, Option<Ended>) {
        let heartbeat = Duration::from_millis(10);
        let config = ServerConfig {
            timing: Timing { heartbeat, election: heartbeat * 10 },
            snapshot_entries: 100,
            sessions_max: 10,
            strong_reads: StrongReads::ReadIndex,
            leaderless: leaderless::Settings::DEFAULT,
            multi_leader: multi_leader::Settings::DEFAULT,
        };
        let ended =
            timeout(time, serve::<Obedient, World>(self.clone(), config, Acknowledge::None)).await;
        let ended: Option<Result<Infallible, _>> = ended.ok();
        (self.events.take(), ended.map(|Err(error)| error))
    }
}

impl Env for World {
    type Disk = MemoryDisk;

    fn id(&self) -> NodeId {
        NodeId(1)
    }

    fn nodes(&self) -> Vec<NodeId> {
        (1..=3).map(NodeId).collect()
    }

    fn spares(&self) -> Vec<NodeId> {
        Vec::new()
    }

    fn restored(&self) -> bool {
        false
    }

    fn now(&self) -> Time {
        Time(0) + self.began.elapsed() + self.busy.get()
    }

    fn wall(&self) -> u64 {
        self.now().0
    }

    async fn sleep_until(&self, at: Time) {
        let idle = Duration::from_nanos(at.0).saturating_sub(self.busy.get());
        tokio::time::sleep_until(self.began + idle).await;
    }

    fn send(&self, to: Address, bytes: Vec<u8>) {
        self.busy.set(self.busy.get() + self.send_takes.get());
        let frame: Frame<Vec<Do>> = wire::decode(&bytes).unwrap();
        let to = match to {
            Address::Node(node) => node.to_string(),
            Address::Client(client) => format!("c{}", client.0),
        };
        let frame = match frame {
            Frame::Peer(orders) if orders.is_empty() => "told".to_owned(),
            Frame::Peer(orders) => format!("{orders:?}"),
            Frame::Relay { client, .. } => format!("relay to c{}", client.0),
            Frame::Request(_) => "asked".to_owned(),
            Frame::Response { sequence, .. } => format!("answer {sequence}"),
        };
        self.events.borrow_mut().push(format!("{to}: {frame}"));
    }

    async fn recv(&self) -> (Address, Vec<u8>) {
        poll_fn(|context| self.inbox.borrow_mut().poll_recv(context)).await.unwrap()
    }

    fn try_recv(&self) -> Option<(Address, Vec<u8>)> {
        self.inbox.borrow_mut().try_recv().ok()
    }

    fn random(&self, _: &str) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(0)
    }

    fn disk(&self) -> &MemoryDisk {
        &self.disk
    }

    fn observe(&self, status: Status) {
        self.events.borrow_mut().push(format!("{:?} {}", status.role, status.term));
    }
}

/// Shorter than the node's timer.
const A_MOMENT: Duration = Duration::from_millis(1);
/// What every first start does.
const START: [&str; 6] =
    ["list", "sync-names", "append log-0", "sync log-0", "sync-names", "Follower 0"];

fn in_a_world<T>(test: impl AsyncFnOnce(World) -> T) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async { test(World::new(&MemoryDisk::default())).await })
}

/// Has a new node do what it is told, each list in a message of its own, and compares what is seen
/// of it after its start.
fn check(messages: &[&[Do]], expected: &[&str]) {
    in_a_world(async |world| {
        messages.iter().for_each(|orders| world.order(orders));
        let (events, ended) = world.run(A_MOMENT).await;
        assert!(ended.is_none(), "{ended:?}");
        assert_eq!(events[..6], START);
        assert_eq!(events[6..], *expected);
    });
}

/// The mark that what was written before is durable.
const MARK: &str = "append log-0";

#[test]
fn what_was_persisted_is_durable_before_anything_is_sent() {
    check(
        &[&[Do::Tell(2), Do::Persist(1), Do::Tell(3), Do::Answer(1, 40)]],
        &["append log-0", "sync log-0", MARK, "n2: told", "n3: told", "c40: answer 5"],
    );
}

#[test]
fn what_arrived_together_is_made_durable_together() {
    check(
        &[&[Do::Persist(1), Do::Tell(2)], &[Do::Persist(2), Do::Tell(3)]],
        &["append log-0", "sync log-0", MARK, "n2: told", "n3: told"],
    );
}

#[test]
fn nothing_is_written_where_nothing_was_persisted() {
    check(&[&[Do::Tell(2)]], &["n2: told"]);
}

#[test]
fn a_snapshot_is_durable_before_anything_is_sent() {
    check(
        &[&[Do::Tell(2), Do::Snapshot(3), Do::Persist(3)]],
        &[
            "append snapshot.new",
            "sync snapshot.new",
            "append log-1",
            "sync log-1",
            "rename snapshot.new snapshot-1",
            "sync-names",
            "remove log-0",
            "append log-1",
            "sync log-1",
            "append log-1",
            "n2: told",
        ],
    );
}

#[test]
fn an_answer_leaves_through_the_node_that_its_client_talks_to() {
    check(&[&[Do::Answer(1, 40), Do::Answer(3, 41)]], &["c40: answer 5", "n3: relay to c41"]);
}

#[test]
fn an_answer_from_another_node_reaches_the_client() {
    in_a_world(async |world| {
        let relay =
            Frame::Relay { client: ClientId(40), sequence: 8, reply: Reply::Done, position: 0 };
        world.deliver(Address::Node(NodeId(3)), &relay);
        assert_eq!(world.run(A_MOMENT).await.0[6..], ["c40: answer 8"]);
    });
}

#[test]
fn a_client_is_answered_under_its_own_number() {
    in_a_world(async |world| {
        let request = Request { session: 0, sequence: 4, seen: 0, command: Command::OpenSession };
        world.deliver(Address::Client(ClientId(40)), &Frame::Request(request));
        let (events, _) = world.run(A_MOMENT).await;
        assert_eq!(events[6..], ["append log-0", "sync log-0", MARK, "c40: answer 4"]);
    });
}

#[test]
fn what_is_no_message_or_comes_from_the_wrong_side_is_dropped() {
    in_a_world(async |world| {
        let (node, client) = (Address::Node(NodeId(2)), Address::Client(ClientId(40)));
        let request = Request { session: 0, sequence: 4, seen: 0, command: Command::OpenSession };
        let relay =
            Frame::Relay { client: ClientId(40), sequence: 8, reply: Reply::Done, position: 0 };
        let response = Frame::Response { sequence: 4, reply: Reply::Done, position: 0 };
        for noise in
            [vec![], vec![0xff; 20], wire::encode(&Frame::Peer(vec![Do::Tell(2)]))[1..].to_vec()]
        {
            world.post.send((node, noise.clone())).unwrap();
            world.post.send((client, noise)).unwrap();
        }
        world.deliver(node, &Frame::Request(request));
        world.deliver(node, &response);
        world.deliver(client, &Frame::Peer(vec![Do::Tell(2)]));
        world.deliver(client, &relay);
        world.deliver(client, &response);
        world.order(&[Do::Tell(3)]);
        assert_eq!(world.run(A_MOMENT).await.0[6..], ["n3: told"]);
    });
}

#[test]
fn a_node_that_is_told_what_cannot_be_stops_and_does_nothing_of_what_was_wanted_with_it() {
    in_a_world(async |world| {
        world.run(A_MOMENT).await;
        world.order(&[Do::Persist(1), Do::Tell(2), Do::Stop, Do::Tell(3)]);
        let (events, ended) = world.run(A_MOMENT).await;
        assert!(matches!(ended, Some(Ended::Contradicted(_))), "{ended:?}");
        let said = ended.map(|ended| ended.to_string()).unwrap_or_default();
        assert!(
            said.contains("agreed on up to entry 7, and it was sent another entry 5, of term 2")
        );
        assert!(!events.iter().any(|event| event.contains("told")), "{events:?}");
        // Its next start finds the disk as it was: what it holds is nothing.
        world.order(&[Do::Recite]);
        let (events, _) = world.run(A_MOMENT).await;
        assert_eq!(events.last().map(String::as_str), Some("n2: told"), "{events:?}");
    });
}

#[test]
fn a_failed_sync_stops_the_node_before_anything_is_sent() {
    in_a_world(async |world| {
        world.run(A_MOMENT).await;
        world.disk.fail_syncs();
        world.order(&[Do::Tell(2), Do::Persist(1), Do::Tell(3)]);
        world.order(&[Do::Tell(2)]);
        let (events, ended) = world.run(A_MOMENT).await;
        assert!(matches!(ended, Some(Ended::Storage(StorageError::Disk(_)))), "{ended:?}");
        assert!(!events.iter().any(|event| event.contains("told")), "{events:?}");
    });
}

#[test]
fn a_node_starts_with_what_it_persisted() {
    in_a_world(async |world| {
        world.order(&[Do::Persist(7), Do::Snapshot(2), Do::Persist(2), Do::Persist(3)]);
        world.run(A_MOMENT).await;
        world.disk.kill();
        world.order(&[Do::Recite]);
        let (events, _) = world.run(A_MOMENT).await;
        let held = "n2: [Persist(0), Persist(1), Persist(2), Persist(3)]";
        assert_eq!(events.last().map(String::as_str), Some(held));
    });
}

#[test]
fn the_timer_fires_at_its_deadline_and_not_before() {
    in_a_world(async |world| {
        let (events, _) = world.run(Duration::from_millis(35)).await;
        assert_eq!(events[6..], ["n3: told"; 3]);
    });
}

#[test]
fn a_flood_of_messages_does_not_keep_the_timer_from_firing() {
    in_a_world(async |world| {
        // A hundred messages take as long as the timer waits.
        world.send_takes.set(Duration::from_micros(100));
        (0..2_000).for_each(|_| world.order(&[Do::Tell(2)]));
        let (events, _) = world.run(A_MOMENT).await;
        let told = events.iter().filter(|event| *event == "n2: told").count();
        assert_eq!(told, 2_000, "nothing is lost");
        let timer = events.iter().position(|event| event == "n3: told").expect("it fires");
        assert!(timer < 600, "the timer fired after {timer} events");
    });
}

#[test]
fn a_status_is_shown_when_it_changes() {
    check(&[&[Do::Lead(3), Do::Tell(2)]], &["n2: told", "Leader 3"]);
    in_a_world(async |world| {
        let (events, _) = world.run(Duration::from_millis(35)).await;
        assert_eq!(events.iter().filter(|event| event.starts_with("Follower")).count(), 1);
    });
}
