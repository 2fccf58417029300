//! The bank.

use expect_test::expect;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stormglass_checkers::checker::{Bank, Checker};
use stormglass_checkers::history::Value;

use super::{Recorder, Step, check, reason, said, sentences, step};

const STRICT: Bank = Bank { negative_allowed: false };

const OPENED: &str = "
    0 invoke txn db [[w,a,10],[w,b,5]]
    0 ok [[w,a,10],[w,b,5]]
    0 invoke txn db [[inc,a,-3],[inc,b,3]]
    0 ok [[inc,a,-3],[inc,b,3]]
";

fn read_as(balances: &str) -> String {
    format!("1 invoke txn db [[r,b,nil],[r,a,nil]]\n1 ok {balances}\n")
}

#[test]
fn a_transfer_keeps_the_total() {
    check(&STRICT, &(OPENED.to_owned() + &read_as("[[r,b,8],[r,a,7]]")), "valid");
    check(&STRICT, &(OPENED.to_owned() + &read_as("[[r,b,5],[r,a,10]]")), "valid");
}

#[test]
fn half_a_transfer_shows_in_the_total() {
    let text = OPENED.to_owned() + &read_as("[[r,b,5],[r,a,7]]");
    check(&STRICT, &text, "wrong-total");
    expect![[r#"
        process 0 did w a 10, w b 5 (from 0.000 s to 0.001 s)
        process 1 did r b 5, r a 7 (from 0.004 s to 0.005 s)
        accounts a = 7, b = 5 sum to 12, but all were filled with 15"#]]
    .assert_eq(&sentences(&STRICT, &text));
}

#[test]
fn without_writes_the_first_read_of_all_tells_the_total() {
    let transfer = "0 invoke txn db [[inc,a,-3],[inc,b,3]]\n0 ok [[inc,a,-3],[inc,b,3]]\n";
    let text = |then: &str| read_as("[[r,b,5],[r,a,10]]") + transfer + &read_as(then);
    check(&STRICT, &text("[[r,b,8],[r,a,7]]"), "valid");
    check(&STRICT, &text("[[r,b,8],[r,a,10]]"), "wrong-total");
    // Nothing was put into an account that was never seen: it holds nothing.
    let empty = read_as("[[r,b,15],[r,a,nil]]") + transfer + &read_as("[[r,b,18],[r,a,-3]]");
    check(&STRICT, &empty, "negative-balance");
    check(&Bank { negative_allowed: true }, &empty, "valid");
}

#[test]
fn an_account_that_was_filled_is_never_nil() {
    check(&STRICT, &(OPENED.to_owned() + &read_as("[[r,b,15],[r,a,nil]]")), "nil-balance");
    check(&STRICT, &(OPENED.to_owned() + &read_as("[[r,b,nil],[r,a,nil]]")), "nil-balance");
}

#[test]
fn nobody_overdraws_unless_it_was_so_from_the_start() {
    let overdrawn = OPENED.to_owned() + &read_as("[[r,b,18],[r,a,-3]]");
    check(&STRICT, &overdrawn, "negative-balance");
    check(&Bank { negative_allowed: true }, &overdrawn, "valid");
    check(&STRICT, &overdrawn.replace("w,a,10", "w,a,-10").replace("r,b,18", "r,b,-2"), "valid");
}

#[test]
fn what_the_first_read_of_all_shows_below_zero_was_so_from_the_start() {
    let transfer = "0 invoke txn db [[inc,a,-3],[inc,b,3]]\n0 ok [[inc,a,-3],[inc,b,3]]\n";
    let text = |first: &str, then: &str| read_as(first) + transfer + &read_as(then);
    check(&STRICT, &text("[[r,b,15],[r,a,-1]]", "[[r,b,18],[r,a,-4]]"), "valid");
    check(&STRICT, &text("[[r,b,15],[r,a,0]]", "[[r,b,18],[r,a,-3]]"), "negative-balance");
    let empty = OPENED.replace("w,a,10", "w,a,0") + &read_as("[[r,b,8],[r,a,-3]]");
    check(&STRICT, &empty, "negative-balance");
}

#[test]
fn a_read_of_all_is_one_with_an_answer_and_may_read_an_account_twice() {
    let asked = "7 invoke txn db [[r,b,nil],[r,a,nil],[r,b,nil]]\n";
    let twice = |last: &str| format!("{OPENED}{asked}7 ok [[r,b,8],[r,a,7],[r,b,{last}]]");
    check(&STRICT, &twice("8"), "valid");
    let unanswered = format!("{OPENED}{asked}7 info timeout\n");
    check(&STRICT, &unanswered, "unknown");
    check(&STRICT, &(unanswered + &read_as("[[r,b,5],[r,a,7]]")), "wrong-total");
}

#[test]
fn a_balance_that_is_no_number_is_no_answer() {
    check(&STRICT, &(OPENED.to_owned() + &read_as("[[r,b,[15]],[r,a,0]]")), "malformed-answer");
    check(&STRICT, &(OPENED.to_owned() + &read_as("[[r,b,15],[r,c,0]]")), "malformed-answer");
    check(&STRICT, &(OPENED.to_owned() + &read_as("[[r,b,15]]")), "malformed-answer");
    check(&STRICT, &(OPENED.to_owned() + &read_as("15")), "malformed-answer");
}

#[test]
fn without_whole_reads_or_transfers_nothing_shows() {
    check(&STRICT, "", "unknown");
    check(&STRICT, OPENED, "unknown");
    check(
        &STRICT,
        &(OPENED.to_owned() + "1 invoke txn db [[r,a,nil]]\n1 ok [[r,a,99]]"),
        "unknown",
    );
    let failed = OPENED.replace("0 ok [[inc", "0 fail [[inc");
    check(&STRICT, &(failed + &read_as("[[r,b,5],[r,a,10]]")), "unknown");
}

#[test]
fn who_changes_the_total_runs_no_bank() {
    let read = read_as("[[r,b,5],[r,a,10]]");
    let deposit = OPENED.to_owned() + "7 invoke txn db [[inc,a,1]]\n7 info timeout\n" + &read;
    let told = |text: &str, did: &str, why: &str| {
        let words = reason(&STRICT, text);
        assert!(words.starts_with(&format!("process 7 did {did} (from ")), "{words}");
        assert!(words.ends_with(why), "{words}");
    };
    told(&deposit, "inc a 1", ": it changes the total by 1");
    check(&STRICT, &deposit.replace("info timeout", "fail refused"), "valid");
    let write = OPENED.to_owned() + "7 invoke txn db [[w,a,1]]\n7 ok [[w,a,1]]\n" + &read;
    told(&write, "w a 1", ": it is no transfer, it has a w");
}

#[test]
fn what_only_a_failed_transaction_names_is_no_account() {
    let failed = "7 invoke txn db [[inc,a,-3],[inc,zz,3]]\n7 fail unavailable\n";
    let text = |balances: &str| OPENED.to_owned() + failed + &read_as(balances);
    check(&STRICT, &text("[[r,b,8],[r,a,7]]"), "valid");
    check(&STRICT, &text("[[r,b,8],[r,a,10]]"), "wrong-total");
    // A first try that failed fills nothing, and is in nobody's way.
    let again = "7 invoke txn db [[w,a,1],[w,b,1]]\n7 fail refused\n".to_owned() + OPENED;
    check(&STRICT, &(again + &read_as("[[r,b,8],[r,a,7]]")), "valid");
}

#[test]
fn why_the_first_writes_do_not_tell_the_total_is_said() {
    let told = |text: &str, expected: expect_test::Expect| {
        expected.assert_eq(&reason(&STRICT, text));
    };
    let early = "
        0 invoke txn db [[w,a,10],[w,b,5]]
        1 invoke txn db [[r,b,nil],[r,a,nil]]
        1 ok [[r,b,nil],[r,a,nil]]
        0 ok [[w,a,10],[w,b,5]]
    ";
    told(
        early,
        expect![
            "process 1 did r b nil, r a nil (from 0.001 s to 0.002 s): it began before the accounts were filled, for process 0 did w a 10, w b 5 (from 0.000 s to 0.003 s)"
        ],
    );
    let unfilled = OPENED.replace("inc,b,3", "inc,c,3");
    told(
        &unfilled,
        expect![
            "process 0 did w a 10, w b 5 (from 0.000 s to 0.001 s): these writes, which came first, do not tell the total, for nobody filled c"
        ],
    );
    let twice = OPENED.replace("[w,b,5]", "[w,b,5],[w,a,1]");
    told(
        &twice,
        expect![
            "process 0 did w a 10, w b 5, w a 1 (from 0.000 s to 0.001 s): that fills no account, a had been filled before"
        ],
    );
    told(
        &OPENED.replace("w,b,5", "w,b,many"),
        expect![[
            r#"process 0 did w a 10, w b "many" (from 0.000 s to 0.001 s): that fills no account, b gets no number"#
        ]],
    );
}

#[test]
fn who_reads_an_account_twice_finds_the_same() {
    let text = OPENED.to_owned()
        + "7 invoke txn db [[r,a,nil],[r,b,nil],[r,a,nil]]\n7 ok [[r,a,7],[r,b,8],[r,a,6]]\n";
    check(&STRICT, &text, "internal");
    assert!(sentences(&STRICT, &text).ends_with("a was read as 7 and as 6 in one transaction"));
}

/// A bank on one thread, which refuses overdrafts; and the sums that its reads have.
fn play(random: &mut ChaCha8Rng, torn: bool) -> (super::History, bool) {
    let mut recorder = Recorder::new();
    let mut accounts = [20_i64, 20, 20];
    let (mut odd, mut count) = (false, 0);
    let fill: Vec<Step> = (0..3).map(|key| step("w", key, Value::Int(20))).collect();
    recorder.invoke(0, &fill);
    recorder.ok(0, &fill);
    for process in 1..12 {
        let (from, to) = (random.random_range(0..3), random.random_range(0..3));
        let amount = random.random_range(1..9);
        let transfer =
            [step("inc", from, Value::Int(-amount)), step("inc", to, Value::Int(amount))];
        recorder.invoke(process, &transfer);
        let before = accounts;
        accounts[from] -= amount;
        let half = accounts;
        accounts[to] += amount;
        if before[from] < amount || random.random_bool(0.2) {
            accounts = before;
            recorder.fail(process);
        } else if random.random_bool(0.2) {
            if random.random_bool(0.5) {
                accounts = before;
            }
            recorder.info(process);
        } else {
            recorder.ok(process, &transfer);
        }
        let seen = if torn && random.random_bool(0.2) { half } else { accounts };
        let read: Vec<Step> = (0..3).map(|key| step("r", key, Value::Int(seen[key]))).collect();
        recorder.invoke(process + 100, &read);
        recorder.ok(process + 100, &read);
        odd |= seen.iter().sum::<i64>() != 60 || seen.iter().any(|held| *held < 0);
        count += 1;
    }
    assert_eq!(count, 11);
    (recorder.finish(), odd)
}

#[test]
fn random_banks_are_judged_as_their_reads_add_up() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let (mut valid, mut invalid) = (0, 0);
    for round in 0..2_000 {
        let (history, odd) = play(&mut random, round % 2 == 0);
        let verdict = STRICT.check(&history);
        assert_eq!(verdict.is_invalid(), odd, "{}: {verdict:#?}", said(&verdict));
        valid += u32::from(verdict.is_valid());
        invalid += u32::from(verdict.is_invalid());
    }
    assert!(valid > 900 && invalid > 500, "{valid} valid, {invalid} invalid");
}
