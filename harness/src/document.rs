//! Files of JSON that say which version of their format they are, each whole in itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::json;

/// The greatest file that is read, in bytes.
const BYTES_MAX: u64 = 16 << 20;

/// Why a file is not what it should be, and where.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// A file or a folder cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A file is greater than any of its kind.
    #[error("{} has {bytes} bytes; at most {BYTES_MAX} are read{instead}", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// What makes a smaller one, in words that follow.
        instead: &'static str,
    },
    /// A file is of no kind that is read.
    #[error("{}:{line}: {message}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// The line, from 1 on.
        line: usize,
        /// What is wrong there.
        message: String,
    },
}

impl DocumentError {
    pub(crate) fn unreadable(path: &Path, cause: io::Error) -> DocumentError {
        DocumentError::Unreadable { path: path.to_owned(), cause }
    }
}

/// Reads a file with a function that takes its text, and says in which line something is wrong.
pub(crate) fn load<T>(
    path: &Path,
    instead: &'static str,
    parse: impl FnOnce(&str) -> Result<T, (usize, String)>,
) -> Result<T, DocumentError> {
    let unreadable = |cause| DocumentError::unreadable(path, cause);
    let bytes = fs::metadata(path).map_err(unreadable)?.len();
    if bytes > BYTES_MAX {
        return Err(DocumentError::TooLarge { path: path.to_owned(), bytes, instead });
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let malformed =
        |(line, message)| DocumentError::Malformed { path: path.to_owned(), line, message };
    parse(&text).map_err(malformed)
}

/// A kind of such files, in words for those who have another one.
#[derive(Clone, Copy)]
pub(crate) struct Nature {
    /// What such a file is: `a baseline`.
    pub(crate) is: &'static str,
    /// What makes one, in words that end a sentence.
    pub(crate) made_by: &'static str,
    /// The version of the format.
    pub(crate) format: u32,
}

/// Reads a text of a kind in its present format, and of no other; otherwise the line and what is wrong there.
pub(crate) fn parse<T: DeserializeOwned>(text: &str, nature: Nature) -> Result<T, (usize, String)> {
    /// What every format has.
    #[derive(Deserialize)]
    struct Head {
        format: Option<u64>,
    }
    let Nature { is, made_by, format } = nature;
    let malformed = |error: serde_json::Error| {
        // Where it is comes first already.
        let words = error.to_string();
        let words = words.split(" at line ").next().unwrap_or_default();
        let what = match error.classify() {
            Category::Eof => format!("the file ends too early ({words})"),
            Category::Syntax | Category::Io => format!("this is no JSON ({words})"),
            Category::Data => format!("this is not {is} ({words})"),
        };
        (error.line().max(1), format!("{what}; {made_by}"))
    };
    let Head { format: found } = json::read(text).map_err(malformed)?;
    match found {
        Some(found) if found == u64::from(format) => json::read(text).map_err(malformed),
        Some(found) => {
            let reads = format!("this program reads {is} in format {format}");
            Err((1, format!("format {found}, but {reads}; {made_by}")))
        }
        None => Err((1, format!("this is not {is}: it has no `format`; {made_by}"))),
    }
}
