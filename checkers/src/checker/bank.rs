//! Bank: transfers between accounts keep the total, in whatever snapshot it is read (the bank
//! workload of Jepsen, `jepsen.tests.bank`).
//!
//! A transfer is a transaction of steps `inc` that sum to zero. Judged is each acknowledged
//! transaction that only reads, and reads every account; an account is a key that a transaction of
//! the history reads or changes, those apart that failed. Where transactions that only write (`w`) ran
//! alone at the start and filled every account once, they tell the total, and every account must exist
//! afterwards; where none did, the first read of all accounts tells it, and an account that holds
//! `nil` holds nothing. A history in which another transaction changes the total by itself is not
//! judged. Who reads an account twice in one transaction finds the same (`internal`, as Elle calls it).

use super::Checker;
use super::txn::{Action, Fate, Step, Txn, Txns, in_order};
use crate::brief::value_in_short;
use crate::history::{History, OperationId, Value};
use crate::verdict::{self, Anomaly, Contrast, Coverage, Guarantee, Legal, Verdict};

/// Of more accounts than these, the words do not say what each held.
const ACCOUNTS_NAMED_MAX: usize = 8;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bank {
    /// Whether the store lets an account go below zero. Where it does not, which is what Jepsen
    /// expects too, a negative balance is a `negative-balance`, unless one is negative from the
    /// start: in the writes, or the read, that tell the total.
    pub negative_allowed: bool,
}

/// What tells the total.
struct Opening {
    total: i128,
    /// The transactions that tell it: writes, or one read.
    told_by: Vec<OperationId>,
    /// Whether these are writes, so that every account exists.
    written: bool,
    /// Whether a balance was negative already.
    negative: bool,
}

impl Checker for Bank {
    fn check(&self, history: &History) -> Verdict {
        let mut coverage =
            Coverage { method: "totals of whole reads".into(), ..Coverage::default() };
        let txns = match Txns::read(history) {
            Ok(txns) => txns,
            Err(reason) => return Verdict::Unknown { reason, coverage },
        };
        let accounts = accounts(&txns);
        coverage.keys = accounts.len();
        let opening = by_writes(&txns, &accounts)
            .and_then(|opening| not_a_bank(&txns, opening.as_ref()).map_or(Ok(opening), Err));
        let mut opening = match opening {
            Ok(opening) => opening,
            Err(reason) => return Verdict::Unknown { reason, coverage },
        };
        let mut anomalies = txns.malformed_answers(Guarantee::Bank);
        for txn in txns.list().iter().filter(|txn| reads_all(&txns, txn, &accounts)) {
            let balances = match balances(&txns, txn, &accounts) {
                Ok(balances) => balances,
                Err(anomaly) => {
                    anomalies.push(*anomaly);
                    continue;
                }
            };
            if let Some(opening) = &opening {
                coverage.operations += 1;
                anomalies.extend(self.judge(&txns, txn, &accounts, &balances, opening));
            } else {
                // Whatever it says is the total, but a store without overdrafts has none here.
                opening = Some(Opening {
                    total: sum(&balances),
                    told_by: vec![txn.id],
                    written: false,
                    negative: balances.iter().flatten().any(|balance| *balance < 0),
                });
            }
        }
        let moved = |txn: &Txn| txn.fate == Fate::Committed && has(&txns, txn, Action::Inc);
        if !anomalies.is_empty() {
            Verdict::Invalid { anomalies: in_order(anomalies), coverage }
        } else if coverage.operations == 0 {
            let reason = "no two transactions tell the total of all accounts".to_owned();
            Verdict::Unknown { reason, coverage }
        } else if !txns.list().iter().any(moved) {
            let reason = "no transfer was acknowledged".to_owned();
            Verdict::Unknown { reason, coverage }
        } else {
            Verdict::Valid(coverage)
        }
    }
}

impl Bank {
    fn judge(
        &self,
        txns: &Txns<'_>,
        txn: &Txn,
        accounts: &[u32],
        balances: &[Option<i64>],
        opening: &Opening,
    ) -> Option<Anomaly> {
        let missing = balances.iter().position(Option::is_none).filter(|_| opening.written);
        let negative = balances.iter().position(|balance| balance.is_some_and(|held| held < 0));
        let negative = negative.filter(|_| !self.negative_allowed && !opening.negative);
        let (sums, told) = (sum(balances), *opening.told_by.last()?);
        let shows = |legal| Some(Contrast::new(txn.id, legal).due_to(told));
        let (name, account, contrast, words) = if let Some(account) = missing {
            let account = accounts[account];
            let words = format!("account {} was filled before, and holds nil", txns.key(account));
            let filled = |step: &&Step<'_>| step.key == account && step.action == Action::Write;
            let mut told = opening.told_by.iter().flat_map(|id| txns.steps(txns.of(*id)));
            let legal = told.rfind(filled).map(|step| Legal::NotOlder(step.value.clone()));
            let contrast = legal.and_then(shows).map(|shown| shown.observed(Value::Nil));
            ("nil-balance", Some(account), contrast, words)
        } else if sums != opening.total {
            let how = if opening.written { "were filled with" } else { "were first seen to hold" };
            let legal = Legal::within(opening.total, opening.total);
            let held = held(txns, accounts, balances);
            let words = format!("{held} sum to {sums}, but all {how} {legal}");
            let contrast = shows(legal).map(|shown| shown.observed(verdict::sum(sums)));
            ("wrong-total", None, contrast, words)
        } else if let Some(account) = negative {
            let held = balances[account].unwrap_or_default();
            let account = accounts[account];
            let words = format!("account {} holds {held}, below zero", txns.key(account));
            // With none below zero, none holds more than all.
            let contrast = Contrast::new(txn.id, Legal::within(0, opening.total));
            ("negative-balance", Some(account), Some(contrast.observed(Value::Int(held))), words)
        } else {
            return None;
        };
        let mut explanation = vec![txns.sentence(txn)];
        let mut witness = vec![txn.id];
        if name != "negative-balance" {
            let told = |txn: &&Txn| opening.told_by.binary_search(&txn.id).is_ok();
            let sentences = txns.list().iter().filter(told).map(|txn| txns.sentence(txn));
            explanation.splice(0..0, sentences);
            witness.extend(&opening.told_by);
        }
        explanation.push(words);
        let found = txns.anomaly(name, Guarantee::Bank, account, &witness, explanation);
        Some(Anomaly { contrast, ..found })
    }
}

/// The transactions that did not certainly fail.
fn that_count<'t>(txns: &'t Txns<'_>) -> impl Iterator<Item = &'t Txn> {
    txns.list().iter().filter(|txn| txn.fate != Fate::Aborted)
}

/// The accounts, in order: what was read or changed by whoever did not certainly fail.
fn accounts(txns: &Txns<'_>) -> Vec<u32> {
    let mut accounts: Vec<u32> =
        that_count(txns).flat_map(|txn| txns.steps(txn)).map(|step| step.key).collect();
    accounts.sort_unstable();
    accounts.dedup();
    accounts
}

/// The total, if transactions that only write ran before all others and filled each account once; none
/// where nobody began with writes. Or why these do not tell it.
fn by_writes(txns: &Txns<'_>, accounts: &[u32]) -> Result<Option<Opening>, String> {
    let only_writes = |txn: &&Txn| {
        txn.fate == Fate::Committed
            && txns.steps(txn).iter().all(|step| step.action == Action::Write)
    };
    let first: Vec<&Txn> = that_count(txns).take_while(only_writes).collect();
    if first.is_empty() {
        return Ok(None);
    }
    let mut balances = vec![None; accounts.len()];
    for txn in &first {
        for step in txns.steps(txn) {
            let not_told = |why: &str| {
                let name = txns.key(step.key);
                format!("{}: that fills no account, {name} {why}", txns.sentence(txn))
            };
            let Value::Int(amount) = step.value else {
                return Err(not_told("gets no number"));
            };
            let place = accounts.binary_search(&step.key).expect("what was written is an account");
            if balances[place].replace(*amount).is_some() {
                return Err(not_told("had been filled before"));
            }
        }
    }
    if let Some(place) = balances.iter().position(Option::is_none) {
        let (name, last) = (txns.key(accounts[place]), txns.sentence(first[first.len() - 1]));
        return Err(format!(
            "{last}: these writes, which came first, do not tell the total, for nobody filled {name}"
        ));
    }
    if let Some(next) = that_count(txns).nth(first.len())
        && let Some(open) = first.iter().find(|txn| txn.over.is_none_or(|over| over > next.invoked))
    {
        return Err(format!(
            "{}: it began before the accounts were filled, for {}",
            txns.sentence(next),
            txns.sentence(open),
        ));
    }
    Ok(Some(Opening {
        total: sum(&balances),
        told_by: first.iter().map(|txn| txn.id).collect(),
        written: true,
        negative: balances.iter().flatten().any(|balance| *balance < 0),
    }))
}

/// Why the history is none of a bank: a transaction, past those that fill the accounts, that may
/// change the total by itself.
fn not_a_bank(txns: &Txns<'_>, opening: Option<&Opening>) -> Option<String> {
    let fills =
        |txn: &Txn| opening.is_some_and(|opening| opening.told_by.binary_search(&txn.id).is_ok());
    for txn in that_count(txns).filter(|txn| !fills(txn)) {
        let mut change = 0;
        for step in txns.steps(txn) {
            match (step.action, step.value) {
                (Action::Read, _) => {}
                (Action::Inc, Value::Int(by)) => change += i128::from(*by),
                (Action::Inc, _) => {
                    return Some(format!("{}: it adds no number", txns.sentence(txn)));
                }
                (Action::Write | Action::Append, _) => {
                    let name = step.action.name();
                    let sentence = txns.sentence(txn);
                    return Some(format!("{sentence}: it is no transfer, it has a {name}"));
                }
            }
        }
        if change != 0 {
            return Some(format!("{}: it changes the total by {change}", txns.sentence(txn)));
        }
    }
    None
}

/// Whether a transaction only reads, and all accounts.
fn reads_all(txns: &Txns<'_>, txn: &Txn, accounts: &[u32]) -> bool {
    let steps = txns.steps(txn);
    if !txn.answered || steps.is_empty() {
        return false;
    }
    let mut keys: Vec<u32> = steps.iter().map(|step| step.key).collect();
    keys.sort_unstable();
    keys.dedup();
    keys == accounts && steps.iter().all(|step| step.action == Action::Read)
}

fn has(txns: &Txns<'_>, txn: &Txn, action: Action) -> bool {
    txns.steps(txn).iter().any(|step| step.action == action)
}

/// What each account held in a read; or that it held no number, or two of them.
fn balances(
    txns: &Txns<'_>,
    txn: &Txn,
    accounts: &[u32],
) -> Result<Vec<Option<i64>>, Box<Anomaly>> {
    let mut read: Vec<Option<&Value>> = vec![None; accounts.len()];
    let mut balances = vec![None; accounts.len()];
    let wrong = |name: &str, key: u32, words: String| {
        let explanation = vec![txns.sentence(txn), words];
        Box::new(txns.anomaly(name, Guarantee::Bank, Some(key), &[txn.id], explanation))
    };
    for Step { key, value, .. } in txns.steps(txn) {
        let place = accounts.binary_search(key).expect("what was read is an account");
        let name = txns.key(*key);
        balances[place] = match value {
            Value::Int(amount) => Some(*amount),
            Value::Nil => None,
            Value::Text(_) | Value::List(_) => {
                let words = format!("the account {name} holds no number");
                return Err(wrong("malformed-answer", *key, words));
            }
        };
        if let Some(before) = read[place].replace(value).filter(|before| before != value) {
            let [before, value] = [before, value].map(value_in_short);
            let words = format!("{name} was read as {before} and as {value} in one transaction");
            return Err(wrong("internal", *key, words));
        }
    }
    Ok(balances)
}

/// What each account held, in words; of many, not by name.
fn held(txns: &Txns<'_>, accounts: &[u32], balances: &[Option<i64>]) -> String {
    if accounts.len() > ACCOUNTS_NAMED_MAX {
        return "the balances of all accounts".to_owned();
    }
    let each = accounts.iter().zip(balances).map(|(account, balance)| {
        let balance = balance.map_or_else(|| "nil".to_owned(), |held| held.to_string());
        format!("{} = {balance}", txns.key(*account))
    });
    format!("accounts {}", each.collect::<Vec<_>>().join(", "))
}

fn sum(balances: &[Option<i64>]) -> i128 {
    balances.iter().flatten().map(|balance| i128::from(*balance)).sum()
}
