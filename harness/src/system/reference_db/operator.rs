//! The operator of the reference store: who lets nodes in and go.

use std::time::Duration;

use checkers::history::NodeId;
use reference_db::client::{Answer, Policy};
use reference_db::env::ClientEnv as _;
use reference_db::kv::{Command, Reply};

use super::{ClientCx, LocalBoxFuture, OPERATION, Operator, StoreClient, store_client, to_env};

/// Makes an operator, who turns to one node after the other.
pub(super) fn of_store(cx: ClientCx) -> Box<dyn Operator> {
    Box::new(StoreOperator(store_client(cx, |policy| Policy { roam: true, ..policy })))
}

struct StoreOperator(StoreClient);

impl StoreOperator {
    /// Wants something until it is so, but no longer than a client waits.
    async fn want(&mut self, command: Command) -> bool {
        let deadline = self.0.env.now() + (OPERATION - Duration::from_millis(10));
        self.0.client.call(command, deadline).await == Answer::Reply(Reply::Done)
    }
}

impl Operator for StoreOperator {
    fn admit(&mut self, node: NodeId) -> LocalBoxFuture<'_, bool> {
        Box::pin(self.want(Command::Admit { node: to_env(node) }))
    }

    fn dismiss(&mut self, node: NodeId) -> LocalBoxFuture<'_, bool> {
        Box::pin(self.want(Command::Dismiss { node: to_env(node) }))
    }
}
