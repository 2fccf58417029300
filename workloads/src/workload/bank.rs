//! Bank: transactions move amounts between accounts, and others read all accounts at once (the bank
//! workload of Jepsen, `jepsen.tests.bank`).
//!
//! One transaction fills the accounts before anything else happens. A transfer takes from one account
//! and gives to another; the store is asked to refuse what would overdraw an account.

use checkers::Guarantee;
use checkers::history::{Key, Op, OpKind, Value};
use rand_chacha::ChaCha8Rng;

use super::{Generator, Options, Share, Workload, step, txn};
use crate::draw::Draw;

/// What the accounts belong to.
const STORE: &str = "accounts";
/// What every account holds at the beginning.
const BALANCE: i64 = 100;
/// The most that is moved at once.
const AMOUNT_MAX: u32 = 30;
/// Of ten transactions, how many read.
const READS_OF_TEN: u32 = 4;

/// See the module.
pub(super) struct Bank;

impl Workload for Bank {
    fn generator(&self, options: &Options, client: u32, random: ChaCha8Rng) -> Box<dyn Generator> {
        Box::new(Client { draw: Draw::new(options, client, random) })
    }

    fn opening(&self, options: &Options) -> Option<Op> {
        Some(txn(
            STORE,
            (0..accounts(options)).map(|account| step("w", account, Value::Int(BALANCE))),
        ))
    }

    fn mix(&self) -> &'static [Share] {
        const MIX: [Share; 1] = [Share { kind: OpKind::Txn, least: 1, most: 1, optional: false }];
        &MIX
    }

    fn value_bytes_max(&self) -> u32 {
        0
    }

    fn guarantees(&self) -> &'static [Guarantee] {
        const JUDGED: [Guarantee; 3] = [Guarantee::Live, Guarantee::Available, Guarantee::Bank];
        &JUDGED
    }

    fn final_reads(&self, _key: Key) -> Vec<Op> {
        Vec::new()
    }
}

/// One transfer needs two accounts.
fn accounts(options: &Options) -> u32 {
    options.keys.max(2)
}

/// One client's operations.
struct Client {
    draw: Draw,
}

impl Generator for Client {
    fn next(&mut self, _wanted: &[OpKind]) -> Op {
        self.draw.begin();
        let accounts = accounts(&self.draw.options);
        if self.draw.below(10) < READS_OF_TEN {
            return txn(STORE, (0..accounts).map(|account| step("r", account, Value::Nil)));
        }
        let from = self.draw.below(accounts);
        let to = (from + 1 + self.draw.below(accounts - 1)) % accounts;
        let amount = i64::from(self.draw.below(AMOUNT_MAX)) + 1;
        let take = step("inc", from, Value::Int(-amount));
        let give = step("inc", to, Value::Int(amount));
        txn(STORE, [take, give].into_iter())
    }
}
