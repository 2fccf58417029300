//! What a plan can tell every one of the stores: to make a mistake.

use std::path::PathBuf;

use stormglass::system;

/// The settings of a store: the mistake that it makes, if any, by which a campaign shows that it finds one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The name of the mistake.
    pub mistake: Option<&'static str>,
}

impl Settings {
    /// Reads `settings = { mistake = "NAME" }`.
    ///
    /// # Errors
    /// Says what would do.
    pub fn read(settings: &system::Settings, known: &[&'static str]) -> Result<Settings, String> {
        let mut read = Settings::default();
        for (name, value) in settings {
            if name != "mistake" {
                return Err(format!("`{name}` is no setting of this system; there is `mistake`"));
            }
            let named = known.iter().find(|mistake| value.as_str() == Some(mistake));
            let there_are = known.join(", ");
            read.mistake = Some(named.ok_or_else(|| {
                format!(
                    "mistake = {value} is none that this system can make; there are {there_are}"
                )
            })?);
        }
        Ok(read)
    }

    /// Whether it is this mistake that is made.
    pub fn makes(&self, mistake: &str) -> bool {
        self.mistake == Some(mistake)
    }
}

/// Who plays the runs of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Player {
    /// Processes of this program.
    #[default]
    ThisProgram,
    /// Processes of another one, as tests need it: they are no program with the command line of the store.
    Program(PathBuf),
    /// This process itself.
    Here,
}

impl Player {
    /// What [`System::program`](stormglass::system::System::program) answers.
    pub fn program(&self) -> Option<PathBuf> {
        match self {
            Player::ThisProgram => std::env::current_exe().ok(),
            Player::Program(program) => Some(program.clone()),
            Player::Here => None,
        }
    }
}
