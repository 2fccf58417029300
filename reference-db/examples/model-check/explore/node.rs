//! One node: the protocol that runs in production, its clock, and its disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use stormglass_reference_db::env::Time;
use stormglass_reference_db::protocol::{Input, Options, Output, Recovered};
use stormglass_reference_db::wire;

use super::digest::{Digest, digest, text};
use super::{Plant, Subject};

/// A timer that is due at once fires at once; more often in a row would be a loop.
const TIMERS_AT_ONCE_MAX: usize = 16;

/// A node between two inputs.
#[derive(Clone)]
pub(crate) struct Node<P: Subject> {
    options: Arc<Options>,
    /// The node itself.
    pub(crate) up: Arc<P>,
    /// What it would be if it lost its memory now, and all that may be lost of its disk.
    pub(crate) reborn: Arc<P>,
    /// The text of that.
    reborn_text: Arc<str>,
    /// Whether more has become durable since it was made.
    stale: bool,
    /// Its own clock. It stands still but for timers: nothing else tells how long anything takes.
    pub(crate) now: Time,
    snapshot: Option<P::Snapshot>,
    records: Vec<P::Record>,
    /// What was written and need not be durable yet, because nothing was sent since.
    unsynced: Vec<Written<P>>,
    /// How many disks it has lost.
    lost: u64,
    /// What tells it from other nodes.
    pub(crate) digest: Digest,
}

#[derive(Clone)]
enum Written<P: Subject> {
    Record(P::Record),
    Snapshot(P::Snapshot),
}

/// What a node does that others can see.
pub(crate) type Shown<P> = Vec<Output<P>>;

/// A step that ended in a panic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panicked;

impl<P: Subject> Node<P> {
    /// Starts with an empty disk.
    pub(crate) fn new(options: Options) -> Self {
        let now = Time(1 << 40);
        let up = Arc::new(start::<P>(&options, 0, Recovered::default(), now));
        let mut node = Node {
            options: Arc::new(options),
            reborn_text: text(up.as_ref(), now).into(),
            reborn: Arc::clone(&up),
            stale: false,
            up,
            now,
            snapshot: None,
            records: Vec::new(),
            unsynced: Vec::new(),
            lost: 0,
            digest: Digest::default(),
        };
        node.refresh();
        node
    }

    /// Takes an input, and lets every timer fire that is due then. Where the node is to crash within,
    /// `survives` says how many of its writes it still does; what it has sent before the next one is
    /// sent, and nothing else happens. `None` where there is no such place.
    pub(crate) fn step(
        &mut self,
        input: Input<P::Message>,
        survives: Option<usize>,
        plant: Option<Plant>,
    ) -> Result<Option<Shown<P>>, Panicked> {
        let mut up = P::clone(&self.up);
        let (now, mut out) = (self.now, Vec::new());
        let stepped = catch_unwind(AssertUnwindSafe(|| {
            up.step(now, input, &mut out);
            for _ in 0..TIMERS_AT_ONCE_MAX {
                if up.deadline() > now {
                    return;
                }
                up.step(now, Input::Timer, &mut out);
            }
            panic!("the timer fires for ever");
        }));
        stepped.map_err(|_| Panicked)?;
        // No disk forgets here what it keeps: to be told what cannot be is as wrong as a panic.
        if out.iter().any(|output| matches!(output, Output::Stop(_))) {
            return Err(Panicked);
        }
        if let Some(survives) = survives {
            let Some(done) = cut(&out, survives) else { return Ok(None) };
            out.truncate(done);
        }
        self.up = Arc::new(up);
        let shown = self.write(out, plant);
        if survives.is_some() {
            return self.crash(usize::MAX).map(|()| Some(shown));
        }
        if self.stale {
            self.rise()?;
        }
        self.refresh();
        Ok(Some(shown))
    }

    /// Loses its memory, and of what it wrote since it last sent something all but a beginning.
    pub(crate) fn crash(&mut self, survives: usize) -> Result<(), Panicked> {
        self.unsynced.truncate(survives);
        self.sync();
        self.rise()?;
        self.up = Arc::clone(&self.reborn);
        self.refresh();
        Ok(())
    }

    /// Loses its memory and its disk, and starts with an empty one in a cluster that exists.
    pub(crate) fn wipe(&mut self) -> Result<(), Panicked> {
        self.options = Arc::new(Options { restored: true, ..Options::clone(&self.options) });
        (self.snapshot, self.records) = (None, Vec::new());
        self.lost += 1;
        self.crash(0)
    }

    /// Whether nothing has happened to it since it started.
    pub(crate) fn is_untouched(&self) -> bool {
        Arc::ptr_eq(&self.up, &self.reborn)
    }

    /// How many writes may be lost.
    pub(crate) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// Sets the clock.
    pub(crate) fn wait(&mut self, until: Time) {
        self.now = self.now.max(until);
        self.refresh();
    }

    /// Writes what is to be written and returns the rest.
    fn write(&mut self, out: Vec<Output<P>>, plant: Option<Plant>) -> Shown<P> {
        let mut shown = Vec::new();
        for output in out {
            match output {
                Output::Persist(record) => {
                    if !plant.is_some_and(|plant| P::is_forgotten(plant, &record)) {
                        self.unsynced.push(Written::Record(record));
                    }
                }
                Output::Snapshot(snapshot) => self.unsynced.push(Written::Snapshot(snapshot)),
                Output::Send { .. } | Output::Reply { .. } => {
                    self.sync();
                    shown.push(output);
                }
                Output::Stop(_) => unreachable!("such a step has ended already"),
            }
        }
        shown
    }

    fn sync(&mut self) {
        self.stale |= !self.unsynced.is_empty();
        for written in self.unsynced.drain(..) {
            match written {
                Written::Record(record) => self.records.push(record),
                Written::Snapshot(snapshot) => {
                    self.snapshot = Some(snapshot);
                    self.records.clear();
                }
            }
        }
    }

    /// Reads the disk as a start would.
    fn rise(&mut self) -> Result<(), Panicked> {
        let (snapshot, records) = (self.snapshot.clone(), self.records.clone());
        let risen = catch_unwind(AssertUnwindSafe(|| {
            start(&self.options, self.lost, Recovered { snapshot, records }, self.now)
        }));
        let reborn = risen.map_err(|_| Panicked)?;
        self.reborn_text = text(&reborn, self.now).into();
        self.reborn = Arc::new(reborn);
        self.stale = false;
        Ok(())
    }

    /// The disk is told by what a start would make of it, since nothing else ever reads it.
    fn refresh(&mut self) {
        let mut full = text(self.up.as_ref(), self.now);
        full.push_str(&self.reborn_text);
        let mut bytes = full.into_bytes();
        for written in &self.unsynced {
            bytes.extend(match written {
                Written::Record(record) => wire::encode(record),
                Written::Snapshot(snapshot) => wire::encode(snapshot),
            });
        }
        self.digest = digest(&bytes);
    }
}

/// Starts a node. All draw the same random numbers: what differs from node to node, and from start to
/// start, is when timers fire, and that is explored. But no two disks of a node get the same number.
fn start<P: Subject>(
    options: &Options,
    lost: u64,
    recovered: Recovered<P::Snapshot, P::Record>,
    now: Time,
) -> P {
    P::recover(options.clone(), recovered, ChaCha8Rng::seed_from_u64(1 + lost), now)
}

/// How many outputs are done when so many writes are, and all that is sent before the next one.
/// `None` where nothing would be left to do, or nothing done.
fn cut<P: Subject>(out: &[Output<P>], writes: usize) -> Option<usize> {
    let is_write = |output: &Output<P>| match output {
        Output::Persist(_) | Output::Snapshot(_) => true,
        Output::Send { .. } | Output::Reply { .. } | Output::Stop(_) => false,
    };
    let mut places = out.iter().enumerate().filter(|(_, output)| is_write(output));
    let next = places.nth(writes).map(|(at, _)| at)?;
    (next > 0).then_some(next)
}
