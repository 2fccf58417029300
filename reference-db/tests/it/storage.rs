//! What a disk still holds after the power was lost, at every moment at which it can be.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use stormglass_reference_db::env::Disk;
use stormglass_reference_db::protocol::Recovered;
use stormglass_reference_db::storage::{Storage, StorageError};

use crate::memory_disk::MemoryDisk;

/// What a node does: `a`dd a record, `s`ync, take a sna`p`shot of all so far.
const SCRIPT: &str = "a s aa s aaa p s a s a p p aa s a s aaaa s a p a s aa";

/// How many different power losses are tried at each place.
const SEEDS: u64 = 12;

/// A record with its place in the order of all records, and bytes that only this one has.
type Record = (u64, Vec<u8>);
/// How many records a snapshot stands for.
type Snapshot = u64;
type Open = (Storage<MemoryDisk>, Recovered<Snapshot, Record>);

fn record(number: u64) -> Record {
    (number, format!("{number}").repeat(usize::try_from(number * 7 % 23).unwrap()).into_bytes())
}

/// What a node has done, by the number of its records.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// Handed to the storage.
    added: u64,
    /// Reported durable.
    durable: u64,
}

/// Does what the script says until the disk fails.
async fn play(
    disk: &MemoryDisk,
    script: &str,
    progress: &mut Progress,
) -> Result<(), StorageError> {
    let (mut storage, _) = open(disk).await?;
    for step in script.chars() {
        match step {
            'a' => {
                storage.append(&record(progress.added));
                progress.added += 1;
            }
            's' => {
                storage.sync().await?;
                progress.durable = progress.added;
            }
            'p' => {
                storage.snapshot(&progress.added).await?;
                progress.durable = progress.added;
            }
            _ => {}
        }
    }
    Ok(())
}

async fn open(disk: &MemoryDisk) -> Result<Open, StorageError> {
    Storage::open(disk.clone()).await
}

/// Opens the storage, which must hold a beginning of what was written, with all that was durable.
/// Returns how many records that is.
async fn check(disk: &MemoryDisk, progress: Progress, context: &str) -> u64 {
    let (mut storage, recovered) = open(disk).await.unwrap_or_else(|error| {
        panic!("{context}: {error}");
    });
    let first = recovered.snapshot.unwrap_or(0);
    let end = first + recovered.records.len() as u64;
    let expected: Vec<Record> = (first..end).map(record).collect();
    assert_eq!(recovered.records, expected, "{context}: {progress:?}");
    assert!(end >= progress.durable, "{context}: {end} of {progress:?}");
    assert!(end <= progress.added, "{context}: {end} of {progress:?}");
    // What was found is durable from here on, and so is what is added to it.
    storage.append(&record(end));
    storage.sync().await.expect("the disk works");
    end + 1
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(work)
}

/// How many disk operations a script takes.
async fn length(script: &str) -> usize {
    let disk = MemoryDisk::default();
    play(&disk, script, &mut Progress::default()).await.expect("the disk works");
    disk.done().len()
}

#[test]
fn a_power_loss_after_any_operation_takes_nothing_that_was_durable() {
    block_on(async {
        let operations = length(SCRIPT).await;
        assert!(operations > 40, "the script has {operations} operations");
        for operation in 0..=operations {
            for seed in 0..SEEDS {
                let context = format!("power lost after {operation} operations, seed {seed}");
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                let disk = MemoryDisk::default();
                let mut progress = Progress::default();
                disk.fail_after(operation);
                let ended = play(&disk, SCRIPT, &mut progress).await;
                assert_eq!(ended.is_ok(), operation == operations, "{context}");
                disk.lose_power(&mut random);
                let end = check(&disk, progress, &context).await;
                disk.lose_power(&mut random);
                check(&disk, Progress { added: end, durable: end }, &context).await;
            }
        }
    });
}

#[test]
fn a_power_loss_during_a_recovery_takes_nothing_that_was_durable() {
    block_on(async {
        let operations = length(SCRIPT).await;
        let mut interrupted = 0;
        for (operation, seed) in (0..=operations).flat_map(|op| (0..SEEDS).map(move |s| (op, s))) {
            // A recovery has no more than this many operations.
            for later in 0..8 {
                let context = format!("{operation} operations, then {later}, seed {seed}");
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                let disk = MemoryDisk::default();
                let mut progress = Progress::default();
                disk.fail_after(operation);
                let _ = play(&disk, SCRIPT, &mut progress).await;
                // Where only the process dies, what it did not sync is there, and still not durable.
                if seed % 2 == 0 {
                    disk.kill()
                } else {
                    disk.lose_power(&mut random)
                }
                disk.fail_after(later);
                interrupted += u32::from(open(&disk).await.is_err());
                disk.lose_power(&mut random);
                check(&disk, progress, &context).await;
            }
        }
        assert!(interrupted > 1_000, "only {interrupted} recoveries were interrupted");
    });
}

#[test]
fn what_a_killed_process_had_written_is_durable_once_it_was_recovered() {
    block_on(async {
        for (operation, seed) in
            (0..=length(SCRIPT).await).flat_map(|op| (0..4).map(move |s| (op, s)))
        {
            let disk = MemoryDisk::default();
            let mut progress = Progress::default();
            disk.fail_after(operation);
            let _ = play(&disk, SCRIPT, &mut progress).await;
            disk.kill();
            let (_, recovered) = open(&disk).await.expect("nothing is damaged");
            let end = recovered.snapshot.unwrap_or(0) + recovered.records.len() as u64;
            disk.lose_power(&mut ChaCha8Rng::seed_from_u64(seed));
            let seen = Progress { added: end, durable: end };
            check(&disk, seen, &format!("killed after {operation} operations, seed {seed}")).await;
        }
    });
}

/// A disk on which a script was played to its end.
async fn written(script: &str) -> MemoryDisk {
    let disk = MemoryDisk::default();
    play(&disk, script, &mut Progress::default()).await.expect("the disk works");
    disk
}

/// How long a mark is.
const MARK: usize = 16;

#[test]
fn a_torn_tail_is_cut_off() {
    block_on(async {
        // The last record is written but not synced, and only half of it arrives.
        let disk = written("aa s").await;
        let before = disk.content("log-0").len();
        let mut longer = written("aa s a s").await.content("log-0");
        longer.truncate(longer.len() - MARK - 3);
        disk.append("log-0", &longer[before..]).await.unwrap();
        assert_eq!(open(&disk).await.unwrap().1.records, [record(0), record(1)]);
        assert_eq!(disk.content("log-0").len(), before + MARK, "whoever recovers marks it");
    });
}

/// Where a damage is found once a byte of a file was changed, unless it is taken for a torn write.
async fn damage_at(script: &str, file: &str, offset: usize) -> Option<(String, usize)> {
    let disk = written(script).await;
    disk.damage(file, offset);
    match open(&disk).await {
        Ok(_) => None,
        Err(StorageError::Damaged { file, offset, .. }) => Some((file, offset)),
        Err(StorageError::Disk(error)) => panic!("the disk works: {error}"),
    }
}

#[test]
fn a_damaged_record_that_a_later_one_knows_to_be_durable_is_found_at_any_byte() {
    block_on(async {
        let header = written("").await.content("log-0").len();
        let first = written("a s").await.content("log-0").len();
        let second = written("a s a s").await.content("log-0").len();
        let frames = [second - MARK, first, first - MARK, header];
        for offset in header..second {
            let frame = *frames.iter().find(|frame| **frame <= offset).unwrap();
            let found = damage_at("a s a s a s", "log-0", offset).await;
            assert_eq!(found, Some(("log-0".to_owned(), frame)), "byte {offset}");
        }
    });
}

#[test]
fn a_damaged_last_record_is_found_unless_a_power_loss_has_taken_the_mark_after_it() {
    block_on(async {
        let first = written("a s").await.content("log-0").len();
        let end = written("a s a s").await.content("log-0").len() - MARK;
        for offset in first..end {
            let found = damage_at("a s a s", "log-0", offset).await;
            assert_eq!(found, Some(("log-0".to_owned(), first)), "byte {offset}");
        }
        // Without it, it cannot be told from a torn write.
        let disk = written("a s a s").await;
        disk.truncate("log-0", end as u64).await.unwrap();
        disk.damage("log-0", end - 1);
        assert_eq!(open(&disk).await.unwrap().1.records, [record(0)]);
    });
}

#[test]
fn a_damaged_snapshot_is_found_at_any_byte() {
    block_on(async {
        let content = written("aa p").await.content("snapshot-1");
        for offset in 0..content.len() {
            let place = if offset < 8 { 0 } else { 12 };
            let found = damage_at("aa p", "snapshot-1", offset).await;
            assert_eq!(found, Some(("snapshot-1".to_owned(), place)), "byte {offset}");
        }
    });
}

#[test]
fn a_log_that_the_disk_lost_is_no_empty_one() {
    block_on(async {
        for (lost, what) in [(true, "it is missing"), (false, "it was cut to nothing")] {
            let disk = written("aa p a s").await;
            if lost {
                disk.remove("log-1").await.unwrap();
            } else {
                disk.truncate("log-1", 0).await.unwrap();
            }
            let error = open(&disk).await.map(|_| ()).unwrap_err().to_string();
            let expected =
                format!("log-1 is damaged at byte 0: {what}; restore the node from its peers");
            assert_eq!(error, expected);
        }
    });
}

#[test]
fn files_of_another_version_are_refused() {
    block_on(async {
        // The last byte of the first eight is the version.
        assert_eq!(damage_at("a s", "log-0", 7).await, Some(("log-0".to_owned(), 0)));
        assert_eq!(damage_at("a p", "snapshot-1", 7).await, Some(("snapshot-1".to_owned(), 0)));
        let disk = written("a s").await;
        let other = Storage::open::<Snapshot, (u64, Vec<u8>, u64)>(disk.clone()).await;
        assert_eq!(
            other.map(|_| ()).unwrap_err().to_string(),
            "log-0 is damaged at byte 8: a record of another version; restore the node from its \
             peers"
        );
    });
}

#[test]
fn a_disk_that_fails_is_an_error_at_every_operation() {
    block_on(async {
        for operation in 0..length(SCRIPT).await {
            let disk = MemoryDisk::default();
            disk.fail_after(operation);
            let ended = play(&disk, SCRIPT, &mut Progress::default()).await;
            assert!(matches!(ended, Err(StorageError::Disk(_))), "operation {operation}");
        }
    });
}
