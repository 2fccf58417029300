//! The inputs that fuzzing found worth keeping, held against the same promises without a fuzzer.

use std::fs;
use std::path::Path;

#[expect(unreachable_pub, reason = "the fuzz targets use the same functions from outside")]
#[path = "../../../fuzz/src/readers.rs"]
mod readers;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        run(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0, "no inputs in {}", folder.display());
}

#[test]
fn lines_of_json_are_read_and_written_without_a_change() {
    replay("jsonl", readers::jsonl);
}

#[test]
fn histories_of_jepsen_are_read_and_exported() {
    replay("jepsen_edn", readers::jepsen_edn);
}

#[test]
fn logs_of_etcd_are_read_or_refused() {
    replay("etcd_log", readers::etcd_log);
}

#[test]
fn logs_of_porcupine_are_read_or_refused() {
    replay("porcupine_kv", readers::porcupine_kv);
}

#[test]
fn whatever_is_read_is_judged() {
    replay("judge", readers::judge);
}
