//! A bank as Jepsen writes it down: transfers between accounts, and reads of all balances.
//!
//! `{:f :transfer, :value {:from 0, :to 1, :amount 5}}` is a transaction that takes the amount from one
//! account and gives it to the other one. A read of such a key shows a map of accounts and balances, or
//! balances by the number of their account, `[10 10]`; it is a transaction that reads these. What a read was
//! asked for is not in the file before its answer, so that reads become transactions in the end.

use std::collections::{BTreeMap, BTreeSet};

use clojure_reader::edn::Edn;
use rustc_hash::FxHashMap;

use super::edn_value::{Texts, value_of};
use super::jsonl::ReadError;
use super::{History, Key, KeyId, Op, OperationId, Outcome, Ret, Value, ValueId};

/// The steps of a transfer.
///
/// # Errors
/// Says what a transfer is, where this is none.
pub(super) fn transfer(value: &Edn<'_>, texts: Texts) -> Result<Value, String> {
    let wrong = || {
        format!(
            "the value of a :transfer is a map {{:from account, :to account, :amount number}}, not \
             {value}"
        )
    };
    let Edn::Map(fields) = value else { return Err(wrong()) };
    let account = |name: &'static str| {
        let account = value_of(fields.get(&Edn::key(name)).ok_or_else(wrong)?, texts)?;
        let is_account = matches!(account, Value::Int(_) | Value::Text(_));
        is_account.then_some(account).ok_or_else(wrong)
    };
    let (from, to) = (account("from")?, account("to")?);
    let amount = match fields.get(&Edn::key("amount")) {
        Some(Edn::Int(amount)) if fields.len() == 3 => *amount,
        _ => return Err(wrong()),
    };
    let taken = amount.checked_neg().ok_or_else(wrong)?;
    let step = |account: Value, by: i64| {
        Value::List([Value::Text("inc".into()), account, Value::Int(by)].into())
    };
    Ok(Value::List([step(from, taken), step(to, amount)].into()))
}

/// Takes reads of the keys that are banks for transactions that read all that they show.
///
/// # Errors
/// Names the line of a read that shows no balances.
pub(super) fn read_banks(
    history: &mut History,
    is_bank: impl Fn(&Key) -> bool,
) -> Result<(), ReadError> {
    let banks: Vec<bool> = history.keys.iter().map(is_bank).collect();
    if !banks.contains(&true) {
        return Ok(());
    }
    let mut reads: Vec<(OperationId, KeyId, Option<Vec<Balance>>)> = Vec::new();
    let mut accounts: BTreeMap<KeyId, BTreeSet<Value>> = BTreeMap::new();
    for read in history.operations() {
        let Op::Read { key, .. } = read.op else { continue };
        if !banks[key.index()] {
            continue;
        }
        let shown = match read.outcome {
            Some(Outcome::Ok(Ret::Value(shown))) => Some(history.value(*shown)),
            _ => None,
        };
        let balances = shown.map(|shown| balances(shown).ok_or(shown)).transpose();
        let balances = balances.map_err(|shown| {
            let line = read.completed.and_then(|event| history.line(event)).unwrap_or(1);
            let what = format!(
                "a :read of a bank shows a map of accounts and balances, {{0 10, 1 10}}, or balances by \
                 account, [10 10], not {shown}"
            );
            ReadError::at(line.into(), what)
        })?;
        let seen = balances.iter().flatten().map(|(account, _)| account.clone());
        accounts.entry(key).or_default().extend(seen);
        reads.push((read.id, key, balances));
    }
    let known = history.values.iter().cloned().zip((0..).map(ValueId));
    let mut numbers: FxHashMap<Value, ValueId> = known.collect();
    let step = |account: &Value, balance: &Value| {
        Value::List([Value::Text("r".into()), account.clone(), balance.clone()].into())
    };
    for (id, key, balances) in reads {
        let mut number = |value: Value| {
            let next = ValueId(history.values.len() as u32);
            *numbers.entry(value).or_insert_with_key(|value| {
                history.values.push(value.clone());
                next
            })
        };
        // Nobody knows what was asked for without an answer: all accounts that anybody saw.
        let asked: Vec<&Value> = match &balances {
            Some(balances) => balances.iter().map(|(account, _)| account).collect(),
            None => accounts[&key].iter().collect(),
        };
        let body = asked.iter().map(|account| step(account, &Value::Nil));
        let body = number(Value::List(body.collect()));
        if let Some(balances) = &balances {
            let steps = balances.iter().map(|(account, balance)| step(account, balance));
            let answer = number(Value::List(steps.collect()));
            history.operations.outcomes[id.index()] = Some(Outcome::Ok(Ret::Value(answer)));
        }
        history.operations.ops[id.index()] = Op::Txn { key, body };
    }
    history.count_kinds();
    Ok(())
}

/// An account and what it holds.
type Balance = (Value, Value);

/// What a read of a bank shows; nothing where it is `nil`. None where it shows no balances.
fn balances(shown: &Value) -> Option<Vec<Balance>> {
    let list = match shown {
        Value::Nil => return Some(Vec::new()),
        Value::List(list) => list,
        Value::Int(_) | Value::Text(_) => return None,
    };
    let is_balance = |value: &Value| matches!(value, Value::Int(_) | Value::Nil);
    if list.iter().all(is_balance) {
        return Some((0..).map(Value::Int).zip(list.iter().cloned()).collect());
    }
    let pair = |pair: &Value| match pair {
        Value::List(parts) => match &parts[..] {
            [account @ (Value::Int(_) | Value::Text(_)), balance] if is_balance(balance) => {
                Some((account.clone(), balance.clone()))
            }
            _ => None,
        },
        _ => None,
    };
    list.iter().map(pair).collect()
}
