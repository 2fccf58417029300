//! The failures of a campaign by what they are, and two campaigns compared.

use std::fmt::Write as _;

use tabled::builder::Builder;
use tabled::settings::{Modify, Style, Width, object::Columns};

use super::brief::counted;
use super::escape;
use super::summary::{Replay, shell_word};
use crate::budget::Beyond;
use crate::system::Claim;
use crate::triage::{Change, Compared, Comparison, Entry, Group, PlanDifference, ShrunkTo};

/// What was broken with this claim, in a terminal: what each failure is, in how many runs, what it was shrunk
/// to, and how to see it again.
pub(super) fn terminal(out: &mut String, groups: &[Group], replay: &Replay, claim: Claim) {
    let listed: Vec<&Group> = groups.iter().filter(|group| group.claim == claim).collect();
    if listed.is_empty() {
        return;
    }
    out.push_str(match claim {
        Claim::Holds => "\nBroken although claimed:\n",
        Claim::Waived => "\nAllowed losses, by faults beyond what the claims are made for:\n",
        Claim::Breaks => "\nWitnesses for what is not claimed (the first of each kind):\n",
        Claim::Silent => "\nBroken where the system says nothing:\n",
    });
    for group in listed {
        let known = known(group).map(|known| format!(" ({known})")).unwrap_or_default();
        let signature = escape::line(&group.signature.to_string());
        let _ = writeln!(out, "  {}{known}  {signature}", group.id);
        let _ = writeln!(out, "    {}", escape::line(&frequency(group)));
        let _ = writeln!(out, "    {}", escape::line(&group.sentence));
        for words in beyond(&group.beyond) {
            let _ = writeln!(out, "    {words}");
        }
        if let Some(other) = &group.other_shape {
            let _ = writeln!(out, "    the baseline has this kind in another shape: {other}");
        }
        if let Some(shrunk) = &group.shrunk {
            let _ = writeln!(out, "    {}", sizes(shrunk));
        }
        let _ = writeln!(out, "    {}", command(group, replay));
    }
}

/// How a failure stands to the baseline, where it matters.
fn known(group: &Group) -> Option<&'static str> {
    let known = group.known.filter(|_| group.is_failure())?;
    Some(if known { "known" } else { "new" })
}

/// What goes beyond a claim, a sentence for each fault.
pub(crate) fn beyond(beyond: &[Beyond]) -> impl Iterator<Item = String> + '_ {
    beyond.iter().map(|Beyond { fault, words }| {
        escape::line(&format!("allowed loss, beyond the claim by fault {fault}: {words}"))
    })
}

/// In how many runs, of which plans.
pub(super) fn frequency(group: &Group) -> String {
    let Group { runs, of, plan, seed, plans, .. } = group;
    let first = match &plans[..] {
        [_] => format!("first seed {seed}"),
        _ => format!("first {plan}, seed {seed}"),
    };
    format!("in {runs} of {of} runs of {}, {first}", plans.join(", "))
}

/// How much smaller a run became.
pub(crate) fn sizes(shrunk: &ShrunkTo) -> String {
    let ShrunkTo { before, after, is_done, .. } = shrunk;
    let cut = if *is_done { "" } else { "; it was ended before it was done" };
    format!(
        "shrunk: faults {} → {}, operations {} → {}, clients {} → {}{cut}",
        before.faults,
        after.faults,
        before.operations,
        after.operations,
        before.clients,
        after.clients,
    )
}

/// The command that shows a failure again: as small as it is.
pub(super) fn command(group: &Group, replay: &Replay) -> String {
    match group.folder() {
        Some(folder) => {
            format!("{} replay {}", replay.program, shell_word(&folder.display().to_string()))
        }
        None => replay.of_seed(&group.plan, group.seed),
    }
}

/// A failure in Markdown.
pub(super) fn details(group: &Group, replay: &Replay) -> String {
    let mut out = String::new();
    let words = match (known(group), group.claim) {
        (Some("known"), _) => "broken although claimed, as is known",
        (Some(_), _) => "broken although claimed, and new",
        (None, Claim::Holds) => "broken although claimed",
        (None, Claim::Waived) => "allowed loss",
        (None, Claim::Breaks) => "witness for what is not claimed",
        (None, Claim::Silent) => "broken where the system says nothing",
    };
    let signature = escape::markdown(&group.signature.to_string());
    let id = &group.id;
    let _ = writeln!(out, "<details><summary>{id}, {signature}: {words}</summary>\n");
    let _ = writeln!(out, "- {}", escape::markdown(&frequency(group)));
    let _ = writeln!(out, "- {}", escape::markdown(&group.sentence));
    for words in beyond(&group.beyond) {
        let _ = writeln!(out, "- {}", escape::markdown(&words));
    }
    if let Some(shrunk) = &group.shrunk {
        let _ = writeln!(out, "- {}", sizes(shrunk));
    }
    let command = escape::markdown(&command(group, replay));
    let _ = writeln!(out, "\n<pre>{command}</pre>\n</details>\n");
    out
}

/// Two campaigns compared: a table of what changed, and in a line each what did not.
pub fn comparison(comparison: &Comparison<'_>) -> String {
    let mut out = String::new();
    // A witness that is still there is as it should be.
    let is_shown =
        |one: &&Compared<'_>| one.failure.claim == Claim::Holds || one.change != Change::Ongoing;
    let shown: Vec<&Compared<'_>> = comparison.failures.iter().filter(is_shown).collect();
    if shown.is_empty() {
        out.push_str("nothing claimed was broken in either campaign\n");
    } else {
        let mut table = Builder::default();
        table.push_record(["", "failure", "what it is", "before", "after", "first seen"]);
        for one in &shown {
            table.push_record(record(one));
        }
        let mut table = table.build();
        let what = Modify::new(Columns::one(2)).with(Width::wrap(48).keep_words(true));
        table.with(Style::rounded()).with(what);
        let _ = writeln!(out, "{table}");
    }
    let _ = writeln!(out, "{}", counts(comparison));
    for one in comparison.failures.iter().filter(|one| one.change == Change::Unseen) {
        let (id, runs, enough) = (&one.failure.id, one.after.1, one.failure.clean_runs());
        let _ = writeln!(
            out,
            "{id} did not turn up in {}; {enough} clean ones would show that it is gone",
            counted(runs, "run")
        );
    }
    for PlanDifference { plan, is_new } in &comparison.plans {
        let plan = escape::line(plan);
        let only = if *is_new { "later" } else { "earlier" };
        let _ = writeln!(out, "only the {only} campaign ran {plan}");
    }
    out
}

fn record(one: &Compared<'_>) -> [String; 6] {
    let Compared { change, failure, before, after, other_shape } = one;
    let Entry { id, signature, claim, plan, seed, about, .. } = failure;
    let mut is = change.name().to_owned();
    if (*change, *before) == (Change::New, None) {
        is.push_str(", as is its plan");
    }
    match claim {
        Claim::Holds => {}
        Claim::Waived => is.push_str(", allowed loss"),
        Claim::Breaks | Claim::Silent => is.push_str(", not claimed"),
    }
    let mut what = format!("{}; {}", escape::line(&signature.to_string()), escape::line(about));
    if let Some(other) = other_shape {
        let _ = write!(what, "; before, this kind had another shape: {other}");
    }
    let ratio = |(runs, of): (u64, u64)| format!("{runs} of {of}");
    let not_run = || "not run".to_owned();
    let before = before.map_or_else(not_run, ratio);
    let after = if *change == Change::NotRun { not_run() } else { ratio(*after) };
    [is, id.clone(), what, before, after, format!("{}, seed {seed}", escape::line(plan))]
}

/// How many failures there are of each change, in one line.
fn counts(comparison: &Comparison<'_>) -> String {
    let changes = [
        Change::New,
        Change::Regressed,
        Change::Ongoing,
        Change::Resolved,
        Change::Unseen,
        Change::NotRun,
    ];
    let count = |change: Change, is_claimed: bool| {
        let mut count = 0;
        for one in &comparison.failures {
            let is_of = (one.failure.claim == Claim::Holds) == is_claimed;
            count += usize::from(is_of && one.change == change);
        }
        format!("{count} {}", change.name())
    };
    let all = changes.map(|change| count(change, true)).join(", ");
    let not_claimed = changes.map(|change| count(change, false)).join(", ");
    if comparison.failures.iter().all(|one| one.failure.claim == Claim::Holds) {
        return all;
    }
    format!("{all}; not claimed: {not_claimed}")
}
