//! Rare states that protocols get into, so that whoever tests them sees whether a test ever did.
//!
//! A protocol [notes](Mark::note) that it is in such a state, and the shell shows to whom it may concern
//! what was noted. Nothing ever asks what was noted in order to decide anything: a protocol remains a
//! function of its inputs. FoundationDB calls these code probes.

use std::cell::Cell;

use strum::{IntoStaticStr, VariantArray};

use crate::mode::Mode;

/// A rare state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum Mark {
    /// A follower cuts entries that its leader does not have.
    SuffixCut,
    /// A follower that is behind the log's start takes over a whole state.
    ImageInstalled,
    /// A whole state arrives that is older than what the follower has.
    ImageTooLate,
    /// A leader hears of a later term.
    LeaderDeposed,
    /// A leader gives up because no majority answers.
    LeaderAlone,
    /// Nobody was elected, and the candidate stands again.
    NobodyElected,
    /// A vote is refused because the candidate's log is behind.
    VoteRefused,
    /// A new leader commits what leaders of earlier terms left behind.
    LeftoversCommitted,
    /// Of two that both could be elected, one gives way.
    GaveWay,
    /// A primary proposes another partner.
    PartnerReplaced,
    /// A primary was appointed and leads no more when it hears of it.
    OfficeTooLate,
    /// A replica drops changes that the new primary does not have.
    ChangesDropped,
    /// A replica had applied what the new primary does not have, and needs its state.
    AppliedTooMuch,
    /// A replica is brought up to date by a read.
    ReadRepaired,
    /// A read writes back what not every replica had that answered.
    WroteBack,
    /// Another node stands in for a replica that does not answer.
    StoodIn,
    /// A change that was kept for a node is forgotten because that node has it.
    HintTaken,
    /// A change arrives at a replica that has a later one already.
    ChangeTooLate,
    /// Replicas compare what they hold, and it differs.
    TreesDiffer,
    /// A change of another region arrives before one that it depends on.
    BeforeItsPast,
    /// A change of another region arrives a second time.
    CameTwice,
    /// A removal is forgotten because every region has it.
    RemovalForgotten,
}

use Mark::{
    AppliedTooMuch, BeforeItsPast, CameTwice, ChangeTooLate, ChangesDropped, GaveWay, HintTaken,
    ImageInstalled, ImageTooLate, LeaderAlone, LeaderDeposed, LeftoversCommitted, NobodyElected,
    OfficeTooLate, PartnerReplaced, ReadRepaired, RemovalForgotten, StoodIn, SuffixCut,
    TreesDiffer, VoteRefused, WroteBack,
};

/// Those of elections and logs.
const LEADERS: [Mark; 6] =
    [LeaderDeposed, LeaderAlone, NobodyElected, VoteRefused, LeftoversCommitted, GaveWay];

thread_local! {
    /// What was noted on this thread and not shown yet: a bit for each mark.
    static NOTED: Cell<u32> = const { Cell::new(0) };
}

impl Mark {
    /// Notes that a protocol is in this state.
    pub(crate) fn note(self) {
        NOTED.set(NOTED.get() | 1 << self as u32);
    }

    /// The same, where it is.
    pub(crate) fn note_if(self, is_so: bool) {
        if is_so {
            self.note();
        }
    }

    /// Takes what was noted on this thread since the last time.
    pub(crate) fn take_noted() -> impl Iterator<Item = Mark> {
        let noted = NOTED.take();
        Mark::VARIANTS.iter().copied().filter(move |mark| noted & (1 << *mark as u32) > 0)
    }

    /// The name by which it is shown: `suffix-cut`.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Those that nodes of a mode can get to, with its usual settings or others.
    pub fn of(mode: Mode) -> Vec<Mark> {
        let own: &[Mark] = match mode {
            Mode::Raft => &[SuffixCut, ImageInstalled, ImageTooLate],
            Mode::PrimarySync => &[OfficeTooLate, ChangesDropped],
            Mode::PrimarySemiSync => &[OfficeTooLate, ChangesDropped, PartnerReplaced],
            Mode::PrimaryAsync => &[OfficeTooLate, ChangesDropped, AppliedTooMuch],
            Mode::MultiLeader => &[BeforeItsPast, CameTwice, RemovalForgotten],
            Mode::Leaderless => &[ReadRepaired, StoodIn, HintTaken, ChangeTooLate, TreesDiffer],
            Mode::LeaderlessAbd => {
                &[ReadRepaired, WroteBack, HintTaken, ChangeTooLate, TreesDiffer]
            }
        };
        let leads = !matches!(mode, Mode::Leaderless | Mode::LeaderlessAbd);
        let leaders = if leads { &LEADERS[..] } else { &[] };
        own.iter().chain(leaders).copied().collect()
    }
}
