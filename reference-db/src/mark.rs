//! Rare states that protocols get into, so that whoever tests them sees whether a test ever did.
//!
//! A protocol [notes](Mark::note) that it is in such a state, and the shell shows to whom it may concern
//! what was noted. Nothing ever asks what was noted in order to decide anything: a protocol remains a
//! function of its inputs. FoundationDB calls these code probes.

use std::cell::Cell;

use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::mode::Mode;

/// A rare state.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, EnumString, IntoStaticStr, VariantArray,
)]
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
    /// A leader answers a read without asking anybody, because its lease runs. Where reads are under a lease that is not
    /// rare; but no other clock says so, and whoever looks into such a read has to know on what it counts.
    LeaseTrusted,
}

use Mark::{
    AppliedTooMuch, BeforeItsPast, CameTwice, ChangeTooLate, ChangesDropped, GaveWay, HintTaken,
    ImageInstalled, ImageTooLate, LeaderAlone, LeaderDeposed, LeaseTrusted, LeftoversCommitted,
    NobodyElected, OfficeTooLate, PartnerReplaced, ReadRepaired, RemovalForgotten, StoodIn,
    SuffixCut, TreesDiffer, VoteRefused, WroteBack,
};

/// Those of elections and logs.
const LEADERS: [Mark; 6] =
    [LeaderDeposed, LeaderAlone, NobodyElected, VoteRefused, LeftoversCommitted, GaveWay];

thread_local! {
    /// What was noted on this thread and not shown yet: a bit for each mark.
    static NOTED: Cell<u32> = const { Cell::new(0) };
}

impl Mark {
    /// What a node does, or what happens to it, in words that follow its name.
    pub fn words(self) -> &'static str {
        match self {
            SuffixCut => "cuts entries that its leader does not have",
            ImageInstalled => "takes over a whole state from its leader",
            ImageTooLate => "gets a whole state that is no newer than what it has",
            LeaderDeposed => "hears of a later term, and leads no more",
            LeaderAlone => "gives up leading, because it hears from no majority",
            NobodyElected => "asks for votes again, because nobody was elected",
            VoteRefused => "refuses its vote to a candidate whose log is behind",
            LeftoversCommitted => "commits what was left from an earlier term",
            GaveWay => "gives way to another candidate that could be elected as well",
            PartnerReplaced => "proposes another partner",
            OfficeTooLate => "learns that it was appointed when it leads no more",
            ChangesDropped => "drops changes that its primary does not have",
            AppliedTooMuch => "has applied what its primary does not have, and needs its state",
            ReadRepaired => "brings a replica up to date by what it has read",
            WroteBack => "writes back what it has read, because not all have it that answered",
            StoodIn => "has a stand-in for a replica that does not answer",
            HintTaken => "forgets a change that it had kept for another node, which has it",
            ChangeTooLate => "gets a change that is older than what it holds",
            TreesDiffer => "compares itself with another replica, which holds something else",
            BeforeItsPast => "gets a change of another region before one that this depends on",
            CameTwice => "gets a change of another region a second time",
            RemovalForgotten => "forgets a removal that every region has",
            LeaseTrusted => "answers a read at once, because by its own clock its lease still runs",
        }
    }

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
            Mode::Raft => &[SuffixCut, ImageInstalled, ImageTooLate, LeaseTrusted],
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
