//! The operator's part of the client library: who takes part.

use super::{Answer, Attempt, Client};
use crate::env::{ClientEnv, Time};
use crate::kv::{Command, Reply};
use crate::protocol::raft::wishes::FOUNDED;
use crate::wire::{self, Frame, Request};

impl<C: ClientEnv> Client<C> {
    /// Lets a node in or go, and tries again until `deadline`. It needs no session, because one could not
    /// be opened just where a node has to go that everybody waits for; instead each copy says how far
    /// the client has seen the members change, so that one that is late does nothing.
    pub(super) async fn change_members(&mut self, command: Command, deadline: Time) -> Answer {
        let mut unanswered = false;
        while self.env.now() < deadline {
            self.sequence += 1;
            let (sequence, command) = (self.sequence, command.clone());
            let seen = self.members_seen.max(FOUNDED);
            let request = Request { session: 0, sequence, seen, command };
            let frame = wire::encode(&Frame::<()>::Request(request));
            // The positions of these answers count the members' changes, and those of others do not.
            let seen = std::mem::take(&mut self.seen);
            let attempt = self.attempt(&frame, deadline).await;
            self.members_seen = self.members_seen.max(std::mem::replace(&mut self.seen, seen));
            match attempt {
                Attempt::Silence => {
                    unanswered = true;
                    self.move_on(false);
                }
                Attempt::Reply(Reply::NotLeader) => {
                    let pause = (self.env.now() + self.policy.pause).min(deadline);
                    self.move_on(false);
                    self.env.sleep_until(pause).await;
                }
                Attempt::Reply(reply) => return Answer::Reply(reply),
            }
        }
        if unanswered { Answer::Unknown } else { Answer::NotDone }
    }
}
