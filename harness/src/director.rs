//! Begins and ends the faults and phases of a run, and watches what comes of them.

use checkers::history::{NodeId, Phase, Time};

use crate::available::Stretch;
use crate::nemesis::{Defect, Fault, Planned, Schedule, Shape};
use crate::play::Timeline;
use crate::record::Recorder;
use crate::run::Effect;
use crate::sim::{Failure, NOBODY, World};

/// See the module.
pub(crate) struct Director {
    timeline: Timeline,
    recorder: Recorder,
    /// Faults that have not begun, the next one last.
    to_begin: Vec<Planned>,
    /// Faults that wait for a message.
    waiting: Vec<Planned>,
    /// Faults that are on. Their ends have a lane of their own: nothing that begins delays them.
    on: Vec<Begun>,
    ended: Vec<Ended>,
    phase: Phase,
    /// How many changes of the members there were when the stretch began, and of nodes that disks have
    /// stopped.
    members_changed: u64,
    /// The stretch that lasts, while a quorum is connected.
    calm: Option<Stretch>,
    /// Those that are over.
    stretches: Vec<Stretch>,
    /// How nodes went wrong by themselves: when, which, how.
    pub(crate) failures: Vec<(Time, NodeId, Failure)>,
}

/// Whether the system may take longer than it says, because messages, clocks, nodes or disks do, or messages
/// have to be said again. Where they arrive again, followers hear a leader that is dead.
fn slows(fault: &Fault) -> bool {
    impairs(fault)
        || slows_disks(fault)
        || matches!(fault, Fault::Flap { .. } | Fault::ClockDrift { .. } | Fault::Slow { .. })
}

/// Whether a disk is slow.
fn slows_disks(fault: &Fault) -> bool {
    matches!(fault, Fault::Disk { defect: Defect::Slow { .. }, .. })
}

/// Whether it does something to messages on links that are whole.
fn impairs(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::Delay { .. }
            | Fault::Reorder { .. }
            | Fault::DelaySpike { .. }
            | Fault::Loss { .. }
            | Fault::Duplicate { .. }
            | Fault::Bandwidth { .. }
    )
}

/// Whether it may keep messages from whoever waits for them, so that less is said meanwhile, and `other`
/// finds nothing to do.
fn hushes(fault: &Fault, other: &Fault) -> bool {
    let flaps = |fault: &Fault| matches!(fault, Fault::Flap { .. });
    let cuts = |fault: &Fault| matches!(fault, Fault::Partition { .. });
    let holds = flaps(fault) || impairs(fault) && !matches!(fault, Fault::Duplicate { .. });
    if cuts(other) {
        // It outlasts the silence of those who wait for what is merely late.
        return holds && !matches!(fault, Fault::Delay { .. });
    }
    (flaps(other) || impairs(other)) && (holds || cuts(fault))
}

/// Whether nodes may neither speak nor listen meanwhile.
fn halts(fault: &Fault) -> bool {
    !slows_disks(fault)
        && matches!(
            fault,
            Fault::Crash { .. }
                | Fault::Restart { .. }
                | Fault::Wipe { .. }
                | Fault::Pause { .. }
                | Fault::Kill { .. }
                | Fault::RollingRestart { .. }
                | Fault::Disk { .. }
        )
}

/// Whether disks forget what they have said they keep. Whoever counts on it may get nothing done any more.
fn forgets(fault: &Fault) -> bool {
    let Fault::Disk { defect, .. } = fault else { return false };
    matches!(defect, Defect::LostWrites | Defect::Rollback)
}

/// Whether it is something at a node that it takes messages to notice.
fn holds_up(fault: &Fault) -> bool {
    matches!(fault, Fault::Pause { .. } | Fault::Slow { .. } | Fault::Disk { .. })
}

fn falsifies_walls(fault: &Fault) -> bool {
    matches!(fault, Fault::ClockJump { .. } | Fault::ClockStrobe { .. })
}

/// Whether each node still hears some of the others: where not everybody talks with everybody, as leaders of regions do with each
/// other, those links may be the ones that nobody uses.
fn leaves_links(fault: &Fault) -> bool {
    let shape = match fault {
        Fault::Partition { shape } | Fault::Flap { shape, .. } => shape,
        _ => return false,
    };
    matches!(shape, Shape::MajoritiesRing {} | Shape::Bridge {})
}

/// Whether what a fault did names nobody whom it hit.
fn is_nobody(what: &str) -> bool {
    what.is_empty() || what.starts_with(NOBODY)
}

fn cuts_clients_off(fault: &Fault) -> bool {
    matches!(fault, Fault::Partition { shape } if shape.is_of_clients())
}

/// A fault that is on.
struct Begun {
    planned: Planned,
    at: Time,
    what: String,
}

/// A fault that is over.
struct Ended {
    planned: Planned,
    from: Time,
    to: Time,
    what: String,
    ok_during: u64,
}

impl Director {
    /// The director of a run that begins with so many nodes, all connected.
    pub(crate) fn new(
        schedule: &Schedule,
        timeline: Timeline,
        recorder: Recorder,
        nodes: u32,
    ) -> Director {
        let quorum = (1..=nodes).map(NodeId).collect();
        let all = schedule.0.iter().copied();
        let (waiting, mut to_begin): (Vec<Planned>, Vec<Planned>) =
            all.partition(|planned| planned.after.is_some());
        to_begin.sort_by_key(|planned| planned.at);
        to_begin.reverse();
        recorder.phase(Time::ZERO, Phase::Safety);
        Director {
            timeline,
            recorder,
            to_begin,
            waiting,
            on: Vec::new(),
            ended: Vec::new(),
            phase: Phase::Safety,
            members_changed: 0,
            calm: Some(Stretch { from: Time::ZERO, to: Time::ZERO, faults: Vec::new(), quorum }),
            stretches: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Does all that is due before the next step.
    pub(crate) fn direct(&mut self, world: &mut World) {
        let now = world.now();
        let mut changed = self.end_faults(world, now);
        changed |= world.proceed();
        if self.phase == Phase::Safety && now >= self.timeline.recovery.began {
            world.start_all();
            self.enter(Phase::Liveness, now);
            changed = true;
        }
        if self.phase == Phase::Liveness && now >= self.timeline.final_reads {
            self.enter(Phase::Final, now);
        }
        changed |= self.begin_faults(world, now);
        if changed {
            self.note_change(world, now);
        }
    }

    /// When there is something to do next, if nothing happens before; the run ends at `end` at the latest.
    pub(crate) fn next(&self, end: Time) -> Time {
        let begin = self.to_begin.last().map(|planned| planned.at);
        let liveness = self.timeline.recovery.began;
        let ends = self.on.iter().filter(|begun| !begun.planned.stays(liveness));
        let ends = ends.map(|begun| begun.planned.until);
        let phase = match self.phase {
            Phase::Safety => self.timeline.recovery.began,
            Phase::Liveness => self.timeline.final_reads,
            Phase::Final => end,
        };
        ends.chain(begin).fold(phase, Time::min)
    }

    fn enter(&mut self, phase: Phase, now: Time) {
        self.phase = phase;
        self.recorder.phase(now, phase);
    }

    fn end_faults(&mut self, world: &mut World, now: Time) -> bool {
        let liveness = self.timeline.recovery.began;
        let due = |begun: &mut Begun| {
            !begun.planned.stays(liveness) && (begun.planned.until <= now || liveness <= now)
        };
        let over: Vec<Begun> = self.on.extract_if(.., due).collect();
        let any = !over.is_empty();
        for Begun { planned, at, .. } in over {
            let what = world.end(&planned).what.clone();
            let ok_during = self.recorder.fault_ends(now, &planned, &what);
            self.ended.push(Ended { planned, from: at, to: now, what, ok_during });
        }
        any
    }

    fn begin_faults(&mut self, world: &mut World, now: Time) -> bool {
        let due = world.due();
        let pop = || self.to_begin.pop_if(|planned| planned.at <= now);
        let mut begins: Vec<Planned> = std::iter::from_fn(pop).collect();
        let liveness = self.timeline.recovery.began;
        if liveness <= now {
            begins.retain(|planned| planned.stays(liveness));
        }
        let is_reached = |planned: &mut Planned| now < liveness && due.contains(&planned.id);
        let reached = self.waiting.extract_if(.., is_reached);
        begins.extend(reached.map(|planned| {
            let lasts = planned.until.since(planned.at);
            Planned { at: now, until: now + lasts, ..planned }
        }));
        let any = !begins.is_empty();
        for planned in begins {
            let stays = planned.stays(liveness);
            let effect = if stays { world.begin_for_good(&planned) } else { world.begin(&planned) };
            let what = effect.what.clone();
            self.recorder.fault_begins(now, &planned, &what);
            self.on.push(Begun { planned, at: now, what });
        }
        any
    }

    /// Takes note of nodes that went wrong by themselves in the last step, and of members that changed.
    pub(crate) fn watch(&mut self, world: &mut World) {
        let failures = world.failures();
        let members_changed = world.members_changed() + world.stopped_by_disks();
        if !failures.is_empty() || members_changed != self.members_changed {
            let now = world.now();
            self.members_changed = members_changed;
            self.failures.extend(failures.into_iter().map(|(node, how)| (now, node, how)));
            self.note_change(world, now);
        }
    }

    /// Something has changed: a stretch of time ends, and another begins if a quorum is connected by
    /// links that are not slow.
    fn note_change(&mut self, world: &World, now: Time) {
        self.stretches.extend(self.calm.take().map(|calm| Stretch { to: now, ..calm }));
        let slow = self.on.iter().any(|on| slows(&on.planned.fault));
        let quorum = world.quorum();
        if self.phase == Phase::Safety && !slow && !quorum.is_empty() {
            let named =
                |on: &Begun| (on.planned.id, format!("{} {}", on.planned.fault.kind(), on.what));
            let faults = self.on.iter().map(named).collect();
            self.calm = Some(Stretch { from: now, to: now, faults, quorum });
        }
    }

    /// The stretches of the safety phase in which nothing changed and a quorum was connected.
    pub(crate) fn stretches(&mut self) -> Vec<Stretch> {
        std::mem::take(&mut self.stretches)
    }

    /// Why the faults of the run prove nothing; a sentence each.
    ///
    /// Every fault must have made a difference, unless another one had silenced its nodes before it
    /// could, or it falsifies a wall clock or cuts clients off: of a node that nobody asks for anything
    /// meanwhile, nobody reads the clock or misses the answers. Nor need a node have had anything to do while its process
    /// stood still or its disk failed, or links have been used that were cut while every node still heard some of
    /// the others. That the nemesis as a whole has an effect is asked of every run.
    pub(crate) fn vacuous(&self, effects: &[Effect]) -> Vec<String> {
        let mut reasons = Vec::new();
        for planned in &self.to_begin {
            reasons.push(format!("fault {} ({}) never began", planned.id, planned.fault));
        }
        for planned in &self.waiting {
            let message = planned.after.map_or_else(String::new, |message| message.to_string());
            let (id, fault) = (planned.id, planned.fault);
            reasons.push(format!("fault {id} ({fault}) never began: it waits for {message}"));
        }
        for ended in &self.ended {
            let Planned { id, fault, .. } = ended.planned;
            let took_effect = effects.get(id.index()).is_some_and(Effect::took_effect);
            let left_open = falsifies_walls(&fault)
                || cuts_clients_off(&fault)
                || leaves_links(&fault)
                || holds_up(&fault) && !is_nobody(&ended.what);
            if !took_effect && !self.silenced(ended) && !left_open {
                let whom = Some(&ended.what).filter(|what| !what.is_empty());
                let whom = whom.map_or_else(String::new, |what| format!(": {what}"));
                reasons.push(format!("fault {id} ({fault}{whom}) made no difference"));
            }
        }
        reasons
    }

    /// Whether nodes were halted while this fault lasted, or another one kept the messages from it that it
    /// could have met, so that it may have found nothing to do.
    fn silenced(&self, fault: &Ended) -> bool {
        if matches!(fault.planned.fault, Fault::Wipe { .. }) {
            // It has waited in vain for a node that lost its disk before.
            return true;
        }
        // The same of a disk that was to be damaged.
        if matches!(fault.planned.fault, Fault::Disk { .. }) && fault.what.starts_with(NOBODY) {
            return true;
        }
        // To agree takes longer under any other fault, and the change before may take that long, too.
        let agrees = matches!(fault.planned.fault, Fault::Membership { .. });
        if agrees && fault.what.starts_with(NOBODY) {
            return true;
        }
        self.ended.iter().any(|other| {
            let lasts = fault.from <= other.to || forgets(&other.planned.fault);
            let overlaps = other.from <= fault.to && lasts;
            let hushed = hushes(&other.planned.fault, &fault.planned.fault);
            let cuts = matches!(other.planned.fault, Fault::Partition { .. })
                && holds_up(&fault.planned.fault);
            (halts(&other.planned.fault) || hushed || cuts || agrees)
                && overlaps
                && other.planned.id != fault.planned.id
        })
    }

    /// Completes what the world knows of each fault.
    pub(crate) fn complete(&self, effects: &mut [Effect]) {
        for ended in &self.ended {
            effects[ended.planned.id.index()].ok_during = ended.ok_during;
        }
    }
}
