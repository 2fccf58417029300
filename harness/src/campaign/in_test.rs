//! Campaigns as tests of a crate of your own.
//!
//! ```
//! use stormglass::Campaign;
//! # mod mine {
//! #     use std::{collections::BTreeMap, time::Duration};
//! #     use stormglass::prelude::*;
//! #     pub struct MyStore;
//! #     impl System for MyStore {
//! #         fn manifest(&self) -> Manifest {
//! #             Manifest {
//! #                 name: "my-store".to_owned(),
//! #                 about: "the first node holds the only copy, in memory".to_owned(),
//! #                 nodes: (3, 3),
//! #                 ops: vec![OpKind::Read, OpKind::Write],
//! #                 claims: vec![(Guarantee::Linearizable, Claim::Holds)],
//! #                 replica_claims: vec![],
//! #                 timing: Timing {
//! #                     failover: Duration::from_secs(1),
//! #                     converge: Duration::from_millis(100),
//! #                     operation: Duration::from_millis(500),
//! #                 },
//! #             }
//! #         }
//! #         fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
//! #             Box::pin(async move {
//! #                 let mut held: BTreeMap<Key, Value> = BTreeMap::new();
//! #                 loop {
//! #                     let message = cx.recv_within(Duration::from_millis(20)).await;
//! #                     let Some(message) = message else {
//! #                         for node in cx.nodes() {
//! #                             cx.send(Address::Node(node), b"hello");
//! #                         }
//! #                         continue;
//! #                     };
//! #                     let outcome = match serde_json::from_slice(&message.bytes) {
//! #                         Err(_) => continue,
//! #                         Ok(Op::Write { key, value }) => {
//! #                             held.insert(key, value);
//! #                             Outcome::Ok(Ret::Done)
//! #                         }
//! #                         Ok(op) => {
//! #                             let now = held.get(op.key()).cloned().unwrap_or_default();
//! #                             Outcome::Ok(Ret::Value(now))
//! #                         }
//! #                     };
//! #                     cx.reply(&message, &serde_json::to_vec(&outcome).unwrap());
//! #                 }
//! #             })
//! #         }
//! #         fn client(&self, cx: ClientCx) -> Box<dyn Client> {
//! #             Box::new(Session(cx))
//! #         }
//! #     }
//! #     struct Session(ClientCx);
//! #     impl Client for Session {
//! #         fn invoke<'a>(&'a mut self, op: &'a Op) -> LocalBoxFuture<'a, Outcome> {
//! #             Box::pin(async move {
//! #                 let (request, wait) = (serde_json::to_vec(op).unwrap(), Duration::from_millis(500));
//! #                 match self.0.request(NodeId(1), &request, wait).await {
//! #                     Some(answer) => serde_json::from_slice(&answer).unwrap(),
//! #                     None => Outcome::Info(Reason::Timeout),
//! #                 }
//! #             })
//! #         }
//! #     }
//! # }
//! # use std::sync::Arc;
//! # use mine::MyStore;
//!
//! // #[test]
//! fn my_store_is_linearizable_while_the_network_is_cut() {
//!     let store = Arc::new(MyStore);
//!     Campaign::new(store)
//!         .workload("register")
//!         .nemesis("partition")
//!         .nodes([3])
//!         .seeds(0..5)
//!         .run()
//!         .assert_valid();
//! }
//! # my_store_is_linearizable_while_the_network_is_cut();
//! ```
//!
//! Where a verdict is not as the system says, [`assert_valid`](super::Findings::assert_valid) ends the test, and
//! so it does where runs prove nothing. It keeps the first failing run, all that clients asked included, makes it
//! smaller, and says what happened in the smaller one.
//!
//! Three variables of the environment change what a test does:
//!
//! | variable | |
//! |---|---|
//! | `STORMGLASS_SEED=17` | every campaign runs this seed alone |
//! | `STORMGLASS_RUN=FOLDER` | every campaign plays this stored run alone, and passes where nothing claimed is broken in it |
//! | `STORMGLASS_RESULTS=FOLDER` | failing runs are kept there instead of in `stormglass` in the target folder, where the test does not say where |

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Campaign, Entry};
use crate::plan::{self, Plan};
use crate::run::Options;
use crate::store;
use crate::system::Registration;

/// The variable that names the one seed to be run.
const SEED: &str = "STORMGLASS_SEED";
/// The variable that names the one stored run to be played.
const RUN: &str = "STORMGLASS_RUN";
/// The variable that names the folder in which failing runs are kept.
const RESULTS: &str = "STORMGLASS_RESULTS";

/// A plan that is put together setting by setting.
pub(super) struct Draft {
    plan: Plan,
    /// Whether it names its nemeses; until then it has the usual ones.
    names_nemeses: bool,
}

/// What a failing test does with what was found.
#[derive(Clone)]
pub(super) struct Aftermath {
    /// What ran.
    pub(super) entries: Vec<Entry>,
    /// Where failing runs are kept, where the test says so.
    pub(super) folder: Option<PathBuf>,
    /// Whether the first failing run is made smaller.
    pub(super) shrinks: bool,
    /// Where what ran was one stored run: what it was played with.
    pub(super) played: Option<Options>,
}

impl Default for Aftermath {
    fn default() -> Aftermath {
        Aftermath { entries: Vec::new(), folder: None, shrinks: true, played: None }
    }
}

/// Systems have nothing to show.
impl fmt::Debug for Aftermath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plans: Vec<&str> = self.entries.iter().map(|entry| entry.plan.name.as_str()).collect();
        f.debug_struct("Aftermath").field("plans", &plans).finish_non_exhaustive()
    }
}

impl Campaign {
    /// Makes a campaign over the plans of a file, each for the system of a table that it names.
    ///
    /// The table is the one that [`crate::cli::main`] takes, so that a plan is the same in tests and on the command
    /// line. A path that is not absolute is looked for in the package that is tested.
    ///
    /// # Panics
    /// If the file cannot be read, or a plan in it is wrong.
    pub fn of_plans(file: impl AsRef<Path>, systems: &[Registration]) -> Campaign {
        let plans = plan::load(file.as_ref(), systems).unwrap_or_else(|error| panic!("{error}"));
        let entry = |plan: Plan| {
            let named = systems.iter().find(|entry| entry.name == plan.system);
            let named = named.expect("a plan that was read names a system of the table");
            let system = named.configured(&plan.settings);
            let system = Arc::from(system.expect("the settings were checked with the plan"));
            Entry { plan, system }
        };
        Campaign::of(plans.into_iter().map(entry).collect())
    }

    /// Lets clients do this; at first, `register`.
    ///
    /// # Panics
    /// If the campaign was made without a system. So do the others that put a plan together; whether there is
    /// such a workload is asked when it runs.
    #[must_use]
    pub fn workload(mut self, name: &str) -> Campaign {
        name.clone_into(&mut self.draft().plan.workload);
        self
    }

    /// Lets this one plan faults, and whoever else is named so; at first, the usual ones plan them.
    #[must_use]
    pub fn nemesis(self, name: &str) -> Campaign {
        let mut campaign = if self.names_nemeses() { self } else { self.without_faults() };
        campaign.draft().plan.nemeses.push(name.to_owned());
        campaign
    }

    /// Lets nobody plan faults.
    #[must_use]
    pub fn without_faults(mut self) -> Campaign {
        let draft = self.draft();
        draft.plan.nemeses.clear();
        draft.names_nemeses = true;
        self
    }

    /// Runs with clusters of these sizes; each run draws one.
    #[must_use]
    pub fn nodes(mut self, sizes: impl IntoIterator<Item = u32>) -> Campaign {
        self.draft().plan.nodes = sizes.into_iter().collect();
        self
    }

    /// Keeps failing runs in this folder, whatever the environment says.
    #[must_use]
    pub fn keep_in(mut self, folder: impl Into<PathBuf>) -> Campaign {
        self.aftermath.folder = Some(folder.into());
        self
    }

    /// Says what happened in the first failing run as it is, which is faster than to make it smaller first.
    #[must_use]
    pub fn unshrunk(mut self) -> Campaign {
        self.aftermath.shrinks = false;
        self
    }

    fn names_nemeses(&self) -> bool {
        self.draft.as_ref().is_some_and(|draft| draft.names_nemeses)
    }

    fn draft(&mut self) -> &mut Draft {
        let system = &self.system;
        self.draft.get_or_insert_with(|| {
            let system = system.as_ref().expect("`Campaign::new` names the system of its plans");
            let name = system.manifest().name;
            Draft { plan: Plan::new(name.clone(), name), names_nemeses: false }
        })
    }

    /// Adds the plan that was put together, or the one with every default where there is none at all.
    pub(super) fn finish_draft(&mut self) {
        if self.system.is_none() || (self.draft.is_none() && !self.entries.is_empty()) {
            return;
        }
        self.draft();
        let draft = self.draft.take().expect("there is one now");
        self.add(draft.plan);
    }

    /// Leaves of the campaign what the environment asks for.
    pub(super) fn heed_environment(&mut self) {
        self.finish_draft();
        let of = |name| env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(folder) = of(RUN) {
            self.only_run(Path::new(&folder));
        } else if let Some(seed) = of(SEED) {
            let number = seed.parse().ok().filter(|seed| *seed < u64::MAX);
            let seed =
                number.unwrap_or_else(|| panic!("{SEED}={seed} is no seed: 17 would be one"));
            self.seeds = seed..seed + 1;
        }
    }

    /// Leaves of the campaign one stored run, with the system that it has now.
    fn only_run(&mut self, folder: &Path) {
        let record = store::load_record(folder).unwrap_or_else(|error| panic!("{RUN}: {error}"));
        self.entries.retain(|entry| entry.plan.name == record.plan.name);
        for entry in &mut self.entries {
            entry.plan = record.plan.clone();
            let checked = entry.plan.check_for(&*entry.system, &[]);
            checked.unwrap_or_else(|error| panic!("{RUN}: {error}"));
        }
        self.seeds = record.seed.0..record.seed.0.saturating_add(1);
        self.options = Options::of_data(&record.config, &record.schedule, record.calls.as_ref());
        self.aftermath.played = Some(self.options.clone());
    }
}

impl Aftermath {
    /// Where failing runs are kept: where the environment or the test says, or in the target folder of what is
    /// tested.
    pub(super) fn results(&self) -> PathBuf {
        let asked = env::var_os(RESULTS).filter(|folder| !folder.is_empty()).map(PathBuf::from);
        let target = || {
            // A test is `target/PROFILE/deps/NAME-HASH`.
            let program = env::current_exe().ok()?;
            let deps = program.parent().filter(|folder| folder.ends_with("deps"))?;
            Some(deps.parent()?.parent()?.join("stormglass"))
        };
        let told = self.folder.clone().or(asked).or_else(target);
        told.unwrap_or_else(|| Path::new("target").join("stormglass"))
    }
}

/// The command that runs this test again with a variable of the environment.
pub(super) fn again(variable: &str, value: &str) -> String {
    let value = crate::report::summary::shell_word(value);
    let thread = std::thread::current();
    // Tests run on threads that have their names, unless there is only one thread.
    let test = thread.name().filter(|name| *name != "main");
    let test = test.map_or_else(String::new, |name| format!(" {name} -- --exact"));
    format!("{variable}={value} cargo test{test}")
}

/// The command that runs one seed of this test again.
pub(super) fn replay_of_seed(seed: crate::seed::Seed) -> String {
    again(SEED, &seed.to_string())
}

/// The command that plays a stored run again in this test.
pub(super) fn replay_of_run(folder: &Path) -> String {
    again(RUN, &folder.display().to_string())
}
