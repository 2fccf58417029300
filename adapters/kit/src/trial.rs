//! What the tests of all adapters do: run a store as it is, and with a mistake, which must be found.

use std::ops::Range;
use std::sync::Arc;

use stormglass::plan::Plan;
use stormglass::prelude::*;
use stormglass::run::{Conclusion, Options, Report, run};
use stormglass::seed::Seed;

/// A store with the settings of a plan for it.
pub struct Trial {
    system: Arc<dyn System>,
    plan: Plan,
}

impl Trial {
    /// Makes the trial of a store with these settings, under partitions, losses of power and pauses.
    ///
    /// # Panics
    /// If the store does not take the settings.
    pub fn new(mut system: impl System + 'static, settings: &str) -> Trial {
        let name = system.manifest().name;
        let mut plan = Plan::new(name.clone(), name);
        plan.nemeses = ["partition", "crash", "pause"].map(str::to_owned).to_vec();
        plan.settings = settings.parse().expect("settings are written as in a plan");
        system.configure(&plan.settings).expect("the store takes its own settings");
        Trial { system: Arc::new(system), plan }
    }

    /// Lets clients do something else than read and write registers.
    #[must_use]
    pub fn workload(mut self, workload: &str) -> Trial {
        workload.clone_into(&mut self.plan.workload);
        self
    }

    /// Lets one more nemesis plan faults.
    #[must_use]
    pub fn nemesis(mut self, nemesis: &str) -> Trial {
        self.plan.nemeses.push(nemesis.to_owned());
        self
    }

    /// Ends the test where something that is claimed is broken in one of these runs.
    pub fn holds(&self, seeds: Range<u64>) {
        Campaign::new(self.system.clone())
            .plan(self.plan.clone())
            .seeds(seeds)
            .run()
            .assert_valid();
    }

    /// The report of one run.
    pub fn run(&self, seed: u64) -> Report {
        run(&self.system, &self.plan, Seed(seed), Options::default())
    }

    /// The first of these runs in which something that is claimed is broken, or said to be broken; it was run
    /// twice, and was the same.
    ///
    /// # Panics
    /// If there is none, or it was not the same.
    pub fn breaks(&self, seeds: Range<u64>) -> Report {
        let is_broken = |report: &Report| {
            let mut said = report.judged.iter().filter(|judged| judged.claim != Claim::Silent);
            report.conclusion() == Conclusion::Invalid
                || said.any(|judged| judged.verdict.is_invalid())
        };
        let found = seeds.clone().map(|seed| self.run(seed)).find(is_broken);
        let found = found.unwrap_or_else(|| panic!("nothing is broken in the seeds {seeds:?}"));
        let again = self.run(found.seed.0);
        assert_eq!(found.fingerprint, again.fingerprint, "seed {} differs", found.seed);
        found
    }
}
