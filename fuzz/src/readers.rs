//! Reads whatever bytes as a history, and holds the reader to what it promises of one.

use stormglass_checkers::checker::{CHECKERS, Limits};
use stormglass_checkers::facts::Facts;
use stormglass_checkers::history::format::Format;
use stormglass_checkers::history::jepsen_edn::{self, Keys};
use stormglass_checkers::history::jsonl::{self, ReadError, ReadLimits};
use stormglass_checkers::{History, Verdict};

/// Bounds small enough for their own messages to be met.
const LIMITS: ReadLimits = ReadLimits { line_bytes_max: 4096, events_max: 2000 };

/// Our own lines of JSON: what was read is written and read again without a change.
pub fn jsonl(bytes: &[u8]) {
    let Some(history) = read(Format::Jsonl, Keys::Single, bytes) else { return };
    let write = |history: &History| {
        let mut text = Vec::new();
        jsonl::write(history, &mut text).expect("memory takes whatever is written to it");
        text
    };
    let text = write(&history);
    let again = jsonl::read(&text[..], &ReadLimits::default()).expect("what was written is read");
    assert_eq!(text, write(&again), "a history changes when it is written and read");
}

/// Jepsen's EDN, with one key and with many: what was read is exported and read again.
pub fn jepsen_edn(bytes: &[u8]) {
    for keys in [Keys::Single, Keys::Independent] {
        let Some(history) = read(Format::JepsenEdn, keys, bytes) else { continue };
        if history.operation_count() == 0 {
            // Only a nemesis acted: there is nothing that the reader would take for a history.
            continue;
        }
        let mut text = Vec::new();
        jepsen_edn::write(&history, &mut text).expect("memory takes whatever is written to it");
        let keys = if history.key_count() > 1 { Keys::Independent } else { Keys::Single };
        let again = jepsen_edn::read(&text[..], &ReadLimits::default(), keys);
        let again = again.unwrap_or_else(|error| {
            panic!("{error} in an export: {}", String::from_utf8_lossy(&text))
        });
        assert_eq!(again.operation_count(), history.operation_count(), "operations were lost");
    }
}

/// The etcd logs of Porcupine's tests.
pub fn etcd_log(bytes: &[u8]) {
    read(Format::EtcdLog, Keys::Single, bytes);
}

/// The key-value logs of Porcupine's tests.
pub fn porcupine_kv(bytes: &[u8]) {
    read(Format::PorcupineKv, Keys::Single, bytes);
}

/// Any format: what was read is held against every guarantee.
pub fn judge(bytes: &[u8]) {
    let Some(format) = Format::detect(bytes) else { return };
    let Some(history) = read(format, Keys::Single, bytes) else { return };
    let limits = Limits { states_max: 2_000, ..Limits::default() };
    for entry in CHECKERS {
        if let Verdict::Invalid { anomalies, .. } = (entry.build)(&limits).check(&history) {
            assert!(!anomalies.is_empty(), "{}: invalid without an anomaly", entry.guarantee);
            for anomaly in anomalies {
                assert!(!anomaly.explanation.is_empty(), "{}: not explained", anomaly.name);
                let known = |id: &_| history.operation(*id).id == *id;
                assert!(anomaly.witness.operations.iter().all(known), "{}", anomaly.name);
            }
        }
    }
    let _ = Facts::of(&history).to_string();
}

fn read(format: Format, keys: Keys, bytes: &[u8]) -> Option<History> {
    match format.read(bytes, &LIMITS, keys) {
        Ok(history) => Some(history),
        Err(ReadError::Line { line, what }) => {
            assert!(line >= 1, "lines are counted from 1");
            assert!(!what.is_empty() && what.len() < 2000, "{line}: {what}");
            None
        }
        Err(ReadError::Io(error)) => panic!("memory cannot fail to be read: {error}"),
    }
}
