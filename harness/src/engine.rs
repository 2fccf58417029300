//! The engines that simulate a run, and how a plan chooses between them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::nemesis::{NEMESES, Registration};

/// What schedules the nodes and clients of a run and carries their messages.
///
/// The seed decides the same in both that simulate: workload, faults, disks. Latencies are drawn anew, so that the
/// histories differ; what a system keeps and breaks does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// A simulation of turmoil's: time goes in ticks of some milliseconds, and everybody has a turn in each.
    #[default]
    Turmoil,
    /// Our own: time goes on to whatever is due next, by the nanosecond.
    Event,
    /// None: real processes on a real network, in wall-clock time. No plan can ask for it: `stormglass real` does.
    Real,
}

impl Engine {
    /// Both that simulate, the usual one first.
    pub const ALL: [Engine; 2] = [Engine::Turmoil, Engine::Event];
    /// The same, and what can be done to real processes as well.
    pub const AND_REAL: [Engine; 3] = [Engine::Turmoil, Engine::Event, Engine::Real];

    /// Its name in plans, flags and reports.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Turmoil => "turmoil",
            Engine::Event => "event",
            Engine::Real => "real",
        }
    }

    /// What time it is that passes.
    pub(crate) fn time(self) -> &'static str {
        match self {
            Engine::Turmoil | Engine::Event => "virtual time",
            Engine::Real => "wall-clock time",
        }
    }

    /// The first of these nemeses that plans faults which the engine cannot do.
    fn cannot<'a>(self, nemeses: &[String], table: &'a [Registration]) -> Option<&'a Registration> {
        let mut named = table.iter().filter(|entry| nemeses.iter().any(|name| name == entry.name));
        named.find(|entry| !entry.engines.contains(&self))
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The engine that a plan asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// [`Engine::Turmoil`].
    #[default]
    Turmoil,
    /// [`Engine::Event`].
    Event,
    /// The first engine that can do all faults of the plan.
    Auto,
}

impl Choice {
    /// Every choice, with its name in plans and flags.
    pub const ALL: [(&'static str, Choice); 3] =
        [("turmoil", Choice::Turmoil), ("event", Choice::Event), ("auto", Choice::Auto)];

    /// Its name.
    pub fn name(self) -> &'static str {
        let known = Choice::ALL.iter().find(|(_, choice)| *choice == self);
        known.expect("every choice has a name").0
    }

    /// The engine of a run with these nemeses.
    ///
    /// # Errors
    /// Where it cannot do the faults of one of them; the error names those that can.
    pub fn engine(self, nemeses: &[String]) -> Result<Engine, String> {
        self.of(nemeses, NEMESES)
    }

    fn of(self, nemeses: &[String], table: &[Registration]) -> Result<Engine, String> {
        let engine = match self {
            Choice::Turmoil => Engine::Turmoil,
            Choice::Event => Engine::Event,
            Choice::Auto => {
                let mut all = Engine::ALL.into_iter();
                all.find(|engine| engine.cannot(nemeses, table).is_none()).unwrap_or_default()
            }
        };
        match engine.cannot(nemeses, table) {
            None => Ok(engine),
            Some(nemesis) => Err(format!(
                "engine = \"{engine}\" cannot do the faults of `{}`; there is {}",
                nemesis.name,
                names(nemesis.engines)
            )),
        }
    }
}

/// The names of some engines, in words.
pub fn names(engines: &[Engine]) -> String {
    engines.iter().map(|engine| engine.name()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_takes_the_engine_that_can_do_all_faults_and_no_other_is_taken_for_one_that_cannot() {
        let entry = |name, engines| Registration { name, engines, ..NEMESES[0] };
        let table = [entry("any", &Engine::ALL[..]), entry("exact", &[Engine::Event])];
        let of = |choice: Choice, nemeses: &[&str]| {
            choice.of(&nemeses.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), &table)
        };
        assert_eq!(of(Choice::Auto, &[]), Ok(Engine::Turmoil));
        assert_eq!(of(Choice::Auto, &["any"]), Ok(Engine::Turmoil));
        assert_eq!(of(Choice::Auto, &["any", "exact"]), Ok(Engine::Event));
        assert_eq!(of(Choice::Event, &["any"]), Ok(Engine::Event));
        let refused = of(Choice::Turmoil, &["any", "exact"]).unwrap_err();
        assert_eq!(refused, "engine = \"turmoil\" cannot do the faults of `exact`; there is event");
    }
}
