//! The formats of histories, by name.

use std::io::BufRead;

use super::jepsen_edn::{self, Keys};
use super::jsonl::{self, ReadError, ReadLimits};
use super::{History, etcd_log};

/// A format that histories are read in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Our own lines of JSON.
    Jsonl,
    /// Jepsen's and Knossos' EDN.
    JepsenEdn,
    /// The etcd logs of Porcupine's tests.
    EtcdLog,
    /// The key-value logs of Porcupine's tests: EDN with keys, of texts that are appended to.
    PorcupineKv,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 4] =
        [Format::Jsonl, Format::JepsenEdn, Format::EtcdLog, Format::PorcupineKv];

    /// The name in flags and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Jsonl => "jsonl",
            Format::JepsenEdn => "jepsen-edn",
            Format::EtcdLog => "etcd-log",
            Format::PorcupineKv => "porcupine-kv",
        }
    }

    /// The format that a file is in, from its first bytes (some hundreds will do); none where it
    /// looks like none of them.
    pub fn detect(start: &[u8]) -> Option<Format> {
        if jepsen_edn::is_ours(start) {
            return Some(Format::JepsenEdn);
        }
        let text = String::from_utf8_lossy(start);
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let first = lines.find(|line| !line.starts_with(';'))?;
        if first.starts_with("{\"") {
            Some(Format::Jsonl)
        } else if first.split_whitespace().take(3).eq(etcd_log::START) {
            Some(Format::EtcdLog)
        } else if first.starts_with(['{', '[', '(', '#']) {
            let appends = text.contains(":key ")
                && [":f :put", ":f :append", ":f :get"].iter().any(|f| text.contains(f));
            Some(if appends { Format::PorcupineKv } else { Format::JepsenEdn })
        } else {
            None
        }
    }

    /// Reads a history. Only EDN makes a difference between [`Keys`].
    ///
    /// # Errors
    /// Names the first line that is not what belongs there.
    pub fn read(
        self,
        reader: impl BufRead,
        limits: &ReadLimits,
        keys: Keys,
    ) -> Result<History, ReadError> {
        match self {
            Format::Jsonl => jsonl::read(reader, limits),
            Format::EtcdLog => etcd_log::read(reader, limits),
            Format::JepsenEdn | Format::PorcupineKv => jepsen_edn::read(reader, limits, keys),
        }
    }
}
