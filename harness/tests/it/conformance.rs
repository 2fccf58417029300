//! Adapters with one mistake each, and what the doctor says about them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use checkers::Guarantee;
use checkers::history::{Key, NodeId, Op, OpKind, Outcome, Reason, Ret, Value};
use stormglass::conformance::{About, Finding, examine};
use stormglass::sim::Address;
use stormglass::system::{
    Claim, Client, ClientCx, LocalBoxFuture, Manifest, NodeCx, SYSTEMS, System, Timing,
};

use crate::cli::{refused, stormglass};

/// What an adapter does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wrong {
    Nothing,
    /// It calls what had no answer failed.
    CallsSilenceFailure,
    /// It waits for answers for ever.
    WaitsForever,
    /// It answers writes with what they wrote.
    AnswersNonsense,
    /// Its client ends the run where it has no answer.
    ClientPanics,
    /// It offers compare-and-sets and refuses them.
    RefusesCas,
    /// Its nodes take longer than they say until they serve.
    NeverReady,
    /// A node that starts again serves nobody.
    NotReadyAgain,
    /// A node that starts again stops because of what it finds.
    StopsAtStart,
    /// Its nodes give up.
    Panics,
    /// One node does not serve what it holds.
    OneNodeIsSilent,
    /// It counts in a variable of the process.
    CountsForEver,
    /// What it holds is held by all nodes of all runs.
    HoldsInTheSystem,
}

/// All nodes send what they take in to all others, and one of them, the first, is asked.
struct Adapter {
    wrong: Wrong,
    manifest: Manifest,
    held: Arc<Mutex<BTreeMap<Key, Value>>>,
}

static COUNT: AtomicI64 = AtomicI64::new(1_000_000);

fn manifest() -> Manifest {
    Manifest {
        name: "adapter".to_owned(),
        about: "the first node is asked".to_owned(),
        nodes: (3, 3),
        ops: vec![OpKind::Read, OpKind::Write],
        claims: vec![(Guarantee::Live, Claim::Holds)],
        replica_claims: Vec::new(),
        timing: Timing {
            failover: Duration::from_millis(500),
            converge: Duration::from_millis(500),
            operation: Duration::from_millis(300),
        },
    }
}

fn adapter(wrong: Wrong) -> Adapter {
    Adapter { wrong, manifest: manifest(), held: Arc::default() }
}

/// What is found about an adapter.
fn found(adapter: Adapter) -> Vec<Finding> {
    let system: Arc<dyn System> = Arc::new(adapter);
    examine(&system)
}

/// Asserts that this is found, in these words, and nothing else.
fn finds(adapter: Adapter, about: About, words: &[&str]) {
    let found = found(adapter);
    assert!(!found.is_empty(), "nothing was found");
    for finding in &found {
        assert_eq!(finding.about, about, "{found:#?}");
        assert!(!finding.remedy.is_empty());
    }
    for words in words {
        assert!(found[0].seen.contains(words), "no {words:?} in {found:#?}");
    }
}

impl System for Adapter {
    fn manifest(&self) -> Manifest {
        self.manifest.clone()
    }

    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
        let (wrong, shared) = (self.wrong, self.held.clone());
        Box::pin(async move {
            let mut held = BTreeMap::new();
            let again = cx.incarnation() > 0;
            match wrong {
                Wrong::NeverReady => std::future::pending().await,
                Wrong::NotReadyAgain if again => std::future::pending().await,
                Wrong::StopsAtStart if again => return "the log is torn".to_owned(),
                Wrong::HoldsInTheSystem => held = shared.lock().unwrap().clone(),
                _ => {}
            }
            loop {
                let message = cx.recv().await;
                let op: Op = serde_json::from_slice(&message.bytes).unwrap();
                if wrong == Wrong::Panics {
                    panic!("no request can be read");
                }
                if let Address::Client(_) = message.from {
                    for other in cx.nodes().into_iter().filter(|other| *other != cx.id()) {
                        cx.send(Address::Node(other), &message.bytes);
                    }
                }
                let value = held.get(op.key()).cloned().unwrap_or_default();
                let outcome = match op {
                    Op::Write { key, value } => {
                        if wrong == Wrong::HoldsInTheSystem {
                            shared.lock().unwrap().insert(key.clone(), value.clone());
                        }
                        held.insert(key, value);
                        Outcome::Ok(Ret::Done)
                    }
                    Op::Read { .. } if wrong == Wrong::CountsForEver => {
                        Outcome::Ok(Ret::Value(Value::Int(COUNT.fetch_add(1, Ordering::Relaxed))))
                    }
                    Op::Read { .. } => Outcome::Ok(Ret::Value(value)),
                    _ => Outcome::Fail(Reason::Unsupported),
                };
                let is_silent = wrong == Wrong::OneNodeIsSilent && cx.id() == NodeId(2);
                if matches!(message.from, Address::Client(_)) && !is_silent {
                    cx.reply(&message, &serde_json::to_vec(&outcome).unwrap());
                }
            }
        })
    }

    fn client(&self, cx: ClientCx) -> Box<dyn Client> {
        Box::new(Asking(cx, self.wrong))
    }
}

struct Asking(ClientCx, Wrong);

impl Client for Asking {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> LocalBoxFuture<'a, Outcome> {
        Box::pin(async move {
            let Asking(cx, wrong) = self;
            let to = if cx.inspects() { cx.home() } else { NodeId(1) };
            let wait = match wrong {
                Wrong::WaitsForever => Duration::from_secs(100),
                _ => Duration::from_millis(250),
            };
            if *wrong == Wrong::WaitsForever && matches!(op, Op::Write { .. }) {
                cx.sleep(wait).await;
            }
            match (cx.request(to, &serde_json::to_vec(op).unwrap(), wait).await, wrong) {
                (Some(_), Wrong::AnswersNonsense) if matches!(op, Op::Write { .. }) => {
                    Outcome::Ok(Ret::Value(Value::Int(1)))
                }
                (Some(answer), _) => serde_json::from_slice(&answer).unwrap(),
                (None, Wrong::CallsSilenceFailure) => Outcome::Fail(Reason::Timeout),
                (None, Wrong::ClientPanics) => panic!("no answer to `{op}`"),
                (None, _) => Outcome::Info(Reason::Timeout),
            }
        })
    }
}

#[test]
fn nothing_is_found_about_an_adapter_that_is_as_it_should_be() {
    assert_eq!(found(adapter(Wrong::Nothing)), []);
}

#[test]
fn a_failure_that_took_effect_is_found() {
    let words =
        ["while answers to clients were lost, `write ", "` ended `fail: timeout` at ", "`read"];
    finds(adapter(Wrong::CallsSilenceFailure), About::Fail, &words);
}

#[test]
fn a_client_that_takes_longer_than_its_manifest_says_is_found() {
    let words =
        ["the client was cut off in ", "the first of them `write ", "longer than the 300ms"];
    finds(adapter(Wrong::WaitsForever), About::Client, &words);
}

#[test]
fn an_answer_that_cannot_be_is_found() {
    finds(adapter(Wrong::AnswersNonsense), About::Client, &["to `write ", "the client answered"]);
}

#[test]
fn a_client_that_panics_is_found() {
    let words = ["at `", "` the client panicked: no answer to `"];
    finds(adapter(Wrong::ClientPanics), About::Client, &words);
}

#[test]
fn an_operation_that_is_offered_and_refused_is_found() {
    let mut adapter = adapter(Wrong::RefusesCas);
    adapter.manifest.ops.push(OpKind::Cas);
    let words =
        ["of the kind `cas` succeeded, which `Manifest::ops` offers", "ended `fail: unsupported`"];
    finds(adapter, About::Operation, &words);
}

#[test]
fn a_system_that_never_becomes_ready_is_found() {
    let words = ["without any fault", "not one of ", "ended `info: timeout`"];
    finds(adapter(Wrong::NeverReady), About::Readiness, &words);
}

#[test]
fn a_node_that_never_becomes_ready_again_is_found() {
    let words = ["after a loss of power of one node after the other", "node n1 answered no read"];
    finds(adapter(Wrong::NotReadyAgain), About::Readiness, &words);
}

#[test]
fn a_node_that_stops_at_what_it_finds_is_found() {
    let words = ["after a loss of power", "node n1 dropped out: the log is torn"];
    finds(adapter(Wrong::StopsAtStart), About::Node, &words);
}

#[test]
fn a_node_that_panics_is_found() {
    let words = ["without any fault", "node n1 panicked: no request can be read"];
    finds(adapter(Wrong::Panics), About::Node, &words);
}

#[test]
fn a_node_that_never_answers_is_found() {
    finds(
        adapter(Wrong::OneNodeIsSilent),
        About::Readiness,
        &["node n2 answered no read of what it"],
    );
}

#[test]
fn entropy_that_no_seed_decides_is_found_with_the_first_operation_that_differs() {
    let words = ["two runs of seed 0", "the first ended `read", "and the second ended `read"];
    finds(adapter(Wrong::CountsForEver), About::Entropy, &words);
}

#[test]
fn state_that_survives_what_it_should_not_is_found() {
    let found = found(adapter(Wrong::HoldsInTheSystem));
    let state = found.iter().find(|finding| finding.about == About::State);
    let seen = &state.unwrap_or_else(|| panic!("{found:#?}")).seen;
    assert!(
        seen.contains("started again at ") && seen.contains("with empty disks, and yet `read"),
        "{seen}"
    );
    // What one run leaves behind is there in the next one, too.
    let others = found.iter().filter(|finding| finding.about != About::State);
    assert!(others.clone().all(|finding| finding.about == About::Entropy), "{found:#?}");
}

/// Asserts what is found about a manifest.
fn finds_in_manifest(change: impl FnOnce(&mut Manifest), about: About, words: &str) {
    let mut adapter = adapter(Wrong::Nothing);
    change(&mut adapter.manifest);
    finds(adapter, about, &[words]);
}

#[test]
fn a_manifest_whose_numbers_contradict_is_found() {
    let about = About::Manifest;
    finds_in_manifest(|it| it.nodes = (5, 3), about, "(5, 3): the fewest are more than the most");
    finds_in_manifest(|it| it.nodes = (0, 3), about, "plans list sizes from 1 to 9");
    finds_in_manifest(
        |it| it.timing.operation = Duration::ZERO,
        about,
        "`Timing::operation` is zero",
    );
    finds_in_manifest(
        |it| it.timing.failover = Duration::ZERO,
        about,
        "`Timing::failover` is zero",
    );
    finds_in_manifest(|it| it.ops.clear(), about, "has nothing that any workload does");
    let twice = (Guarantee::Live, Claim::Breaks);
    finds_in_manifest(|it| it.claims.push(twice), about, "two different things about live");
    let replicas = |it: &mut Manifest| it.replica_claims.push(Guarantee::MonotonicReads);
    finds_in_manifest(
        replicas,
        about,
        "has monotonic-reads, which `Manifest::claims` does not claim",
    );
}

#[test]
fn a_claim_that_no_workload_can_judge_is_found() {
    let bank = |it: &mut Manifest| it.claims.push((Guarantee::Bank, Claim::Holds));
    finds_in_manifest(bank, About::Claim, "has bank, which no workload can show");
    finds_in_manifest(|it| it.claims.clear(), About::Claim, "says nothing about any guarantee");
}

#[test]
fn a_claim_that_is_broken_without_any_fault_is_found() {
    let mut adapter = adapter(Wrong::CountsForEver);
    adapter.manifest.claims.push((Guarantee::Linearizable, Claim::Holds));
    let found = found(adapter);
    let claim = found.iter().find(|finding| finding.about == About::Claim);
    let seen = &claim.unwrap_or_else(|| panic!("{found:#?}")).seen;
    assert!(
        seen.contains("without any fault, under the workload `register`, linearizable is broken"),
        "{seen}"
    );
}

#[test]
fn nothing_is_found_about_the_systems_of_this_repository() {
    // Of `leaderless`, the command says so.
    for name in ["raft", "multi-leader"] {
        let entry = SYSTEMS.iter().find(|entry| entry.name == name).unwrap();
        let system: Arc<dyn System> = Arc::from((entry.build)());
        assert_eq!(examine(&system), [], "{name}");
    }
}

#[test]
fn the_doctor_examines_an_adapter_by_the_name_of_its_system() {
    let folder = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) = stormglass(folder.path(), &["doctor", "--system", "leaderless"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.starts_with("leaderless: nothing is wrong with the adapter"), "{stdout}");
    let words = ["no system is called `rafd`; there are raft, primary-sync"];
    refused(folder.path(), &["doctor", "--system", "rafd"], &words);
    refused(
        folder.path(),
        &["doctor", "--system", "raft", "--only", "raft"],
        &["cannot be used with"],
    );
}
