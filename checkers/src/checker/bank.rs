//! Bank: transfers between accounts keep the total, in whatever snapshot it is read (the bank
//! workload of Jepsen, `jepsen.tests.bank`).
//!
//! A transfer is a transaction of steps `inc` that sum to zero. Judged is each acknowledged
//! transaction that only reads, and reads every account; an account is a key that a transaction of
//! the history reads or changes. Where transactions that only write (`w`) ran alone at the start
//! and filled every account once, they tell the total, and every account must exist afterwards;
//! otherwise the first read of all accounts tells it, and an account that holds `nil` holds
//! nothing. A history in which another transaction changes the total by itself is not judged.

use super::Checker;
use super::txn::{Action, Fate, Step, Txn, Txns, in_order};
use crate::history::{History, OperationId, Value};
use crate::verdict::{Anomaly, Coverage, Guarantee, Verdict};

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
        coverage.keys = txns.key_count();
        let opening = by_writes(&txns);
        let written = opening.as_ref().map_or(0, |opening| opening.told_by.len());
        if let Some(reason) = not_a_bank(&txns, written) {
            return Verdict::Unknown { reason, coverage };
        }
        let mut anomalies = txns.malformed_answers(Guarantee::Bank);
        let mut opening = opening;
        for txn in txns.list().iter().filter(|txn| reads_all(&txns, txn)) {
            let balances = match balances(&txns, txn) {
                Ok(balances) => balances,
                Err(anomaly) => {
                    anomalies.push(*anomaly);
                    continue;
                }
            };
            if let Some(opening) = &opening {
                coverage.operations += 1;
                anomalies.extend(self.judge(&txns, txn, &balances, opening));
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
        balances: &[Option<i64>],
        opening: &Opening,
    ) -> Option<Anomaly> {
        let missing = balances.iter().position(Option::is_none).filter(|_| opening.written);
        let negative = balances.iter().position(|balance| balance.is_some_and(|held| held < 0));
        let negative = negative.filter(|_| !self.negative_allowed && !opening.negative);
        let (name, account, words) = if let Some(account) = missing {
            let words = format!("{} was filled before, and holds nil", txns.key(account as u32));
            ("nil-balance", Some(account as u32), words)
        } else if sum(balances) != opening.total {
            let how = if opening.written { "were filled with" } else { "were first seen to hold" };
            let (read, total) = (sum(balances), opening.total);
            let words = format!("the balances read sum to {read}, but all accounts {how} {total}");
            ("wrong-total", None, words)
        } else if let Some(account) = negative {
            let held = balances[account].unwrap_or_default();
            let words = format!("{} holds {held}, below zero", txns.key(account as u32));
            ("negative-balance", Some(account as u32), words)
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
        Some(txns.anomaly(name, Guarantee::Bank, account, &witness, explanation))
    }
}

/// The total, if transactions that only write ran before all others and filled each account once.
fn by_writes(txns: &Txns<'_>) -> Option<Opening> {
    let only_writes = |txn: &&Txn| {
        txn.fate == Fate::Committed
            && txns.steps(txn).iter().all(|step| step.action == Action::Write)
    };
    let first: Vec<&Txn> = txns.list().iter().take_while(only_writes).collect();
    let next = txns.list().get(first.len()).map(|txn| txn.invoked);
    let is_over = |txn: &&Txn| txn.over.is_some_and(|over| next.is_none_or(|next| over < next));
    let mut balances = vec![None; txns.key_count()];
    for step in first.iter().flat_map(|txn| txns.steps(txn)) {
        let Value::Int(amount) = step.value else { return None };
        if balances[step.key as usize].replace(*amount).is_some() {
            return None;
        }
    }
    let complete = !balances.is_empty() && balances.iter().all(Option::is_some);
    (complete && first.iter().all(is_over)).then(|| Opening {
        total: sum(&balances),
        told_by: first.iter().map(|txn| txn.id).collect(),
        written: true,
        negative: balances.iter().flatten().any(|balance| *balance < 0),
    })
}

/// Why the history is none of a bank: a transaction, past those that fill the accounts, that may
/// change the total by itself.
fn not_a_bank(txns: &Txns<'_>, written: usize) -> Option<String> {
    for txn in txns.list().iter().skip(written).filter(|txn| txn.fate != Fate::Aborted) {
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
fn reads_all(txns: &Txns<'_>, txn: &Txn) -> bool {
    let steps = txns.steps(txn);
    if !txn.answered || steps.is_empty() {
        return false;
    }
    let mut keys: Vec<u32> = steps.iter().map(|step| step.key).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.len() == txns.key_count() && steps.iter().all(|step| step.action == Action::Read)
}

fn has(txns: &Txns<'_>, txn: &Txn, action: Action) -> bool {
    txns.steps(txn).iter().any(|step| step.action == action)
}

/// What each account held in a read; or that it held no number.
fn balances(txns: &Txns<'_>, txn: &Txn) -> Result<Vec<Option<i64>>, Box<Anomaly>> {
    let mut balances = vec![None; txns.key_count()];
    for Step { key, value, .. } in txns.steps(txn) {
        balances[*key as usize] = match value {
            Value::Int(amount) => Some(*amount),
            Value::Nil => None,
            Value::Text(_) | Value::List(_) => {
                let words = format!("the account {} holds no number", txns.key(*key));
                let explanation = vec![txns.sentence(txn), words];
                let name = "malformed-answer";
                let anomaly =
                    txns.anomaly(name, Guarantee::Bank, Some(*key), &[txn.id], explanation);
                return Err(Box::new(anomaly));
            }
        };
    }
    Ok(balances)
}

fn sum(balances: &[Option<i64>]) -> i128 {
    balances.iter().flatten().map(|balance| i128::from(*balance)).sum()
}
