//! What the store promises, under faults.

use std::sync::Arc;

use chain::Chain;
use stormglass::Campaign;

fn campaign(chain: Chain) -> Campaign {
    Campaign::new(Arc::new(chain))
        .workload("register")
        .nemesis("partition")
        .nemesis("crash")
        .nodes([3])
        .seeds(0..20)
}

#[test]
fn a_chain_keeps_what_it_promises() {
    campaign(Chain::AnswersWhenLastHasIt).run().assert_valid();
}

/// Take the next line away to see what Stormglass says about a mistake.
#[test]
#[should_panic(expected = "linearizable")]
fn a_chain_that_answers_at_once_is_caught() {
    campaign(Chain::AnswersAtOnce).run().assert_valid();
}
