//! Runs in processes of their own.

use std::path::PathBuf;
use std::sync::Arc;

use stormglass::plan::Plan;
use stormglass::run::{Options, run};
use stormglass::seed::Seed;
use stormglass::system::{
    Client, ClientCx, LocalBoxFuture, Manifest, NodeCx, SYSTEMS, Settings, System,
};

/// A system as it is, whose runs are played by a program.
struct Apart {
    system: Box<dyn System>,
    program: &'static str,
}

impl System for Apart {
    fn configure(&mut self, settings: &Settings) -> Result<(), String> {
        self.system.configure(settings)
    }

    fn manifest(&self) -> Manifest {
        self.system.manifest()
    }

    fn manifest_under(&self, nemeses: &[String]) -> Manifest {
        self.system.manifest_under(nemeses)
    }

    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
        self.system.node(cx)
    }

    fn client(&self, cx: ClientCx) -> Box<dyn Client> {
        self.system.client(cx)
    }

    fn program(&self) -> Option<PathBuf> {
        Some(self.program.into())
    }
}

fn primary() -> Box<dyn System> {
    let entry = SYSTEMS.iter().find(|entry| entry.name == "primary-async").unwrap();
    (entry.build)()
}

fn plan() -> Plan {
    let mut plan = Plan::new("apart", "primary-async");
    plan.safety = std::time::Duration::from_secs(5);
    plan.liveness = std::time::Duration::from_secs(2);
    plan
}

#[test]
fn a_run_in_a_process_of_its_own_is_the_same_and_brings_everything_back() {
    let program = env!("CARGO_BIN_EXE_stormglass");
    let apart: Arc<dyn System> = Arc::new(Apart { system: primary(), program });
    let here: Arc<dyn System> = Arc::from(primary());
    let options = || Options { trace: true, keeps_calls: true, ..Options::default() };
    let [apart, here] = [apart, here].map(|system| run(&system, &plan(), Seed(3), options()));
    assert_eq!(apart.fingerprint, here.fingerprint);
    assert_eq!(format!("{apart:?}"), format!("{here:?}"));
    assert!(apart.trace.is_some() && apart.calls.is_some(), "both were asked for");
}

#[test]
#[should_panic(expected = "it is to play the runs of `primary-async`")]
fn a_program_that_is_no_command_line_of_ours_is_named() {
    let apart: Arc<dyn System> = Arc::new(Apart { system: primary(), program: "false" });
    run(&apart, &plan(), Seed(3), Options::default());
}
