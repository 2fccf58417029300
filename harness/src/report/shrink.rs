//! How much smaller a run became, in the terminal.

use std::time::Duration;

use tabled::builder::Builder;
use tabled::settings::Style;

use crate::shrink::{Failure, Size};

/// A sentence and a table.
pub(crate) fn terminal(failure: &Failure, before: Size, after: Size) -> String {
    let mut table = Builder::default();
    table.push_record(["", "before", "after"]);
    let mut row = |name: &str, of: &dyn Fn(&Size) -> String| {
        table.push_record([name.to_owned(), of(&before), of(&after)]);
    };
    row("faults", &|size| size.faults.to_string());
    row("operations of clients", &|size| size.operations.to_string());
    row("clients", &|size| size.clients.to_string());
    row("nodes", &|size| size.nodes.to_string());
    row("simulated", &|size| {
        let time = Duration::from_nanos(size.simulated_ns);
        format!("{:.3} s", time.as_secs_f64())
    });
    let table = table.build().with(Style::rounded()).to_string();
    format!(
        "{} of {} remains\n{table}\nthe reads of all replicas at the end are not among the operations\n",
        failure.anomaly, failure.guarantee
    )
}
