//! Keeps one node's misbehaviour from becoming the harness's: panics are caught, and a task that
//! spins at one instant is stopped.

use std::any::Any;
use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Once;
use std::task::{Context, Poll};

use super::Failure;

/// Polls that the tasks of one node may take within one step of the simulation. A busy node takes
/// some hundred.
const POLLS_A_STEP_MAX: u32 = 200_000;

/// Counts the polls of one node's tasks within a step.
#[derive(Clone, Debug, Default)]
pub(super) struct PollBudget(Rc<Cell<u32>>);

impl PollBudget {
    /// Starts the next step.
    pub(super) fn refill(&self) {
        self.0.set(0);
    }

    fn spend(&self) -> bool {
        self.0.set(self.0.get() + 1);
        self.0.get() <= POLLS_A_STEP_MAX
    }
}

/// What a client does, whose panics are caught.
pub(crate) struct Caught<'a, T>(Pin<Box<dyn Future<Output = T> + 'a>>);

impl<'a, T> Caught<'a, T> {
    /// Catches what a future of a client panics with.
    pub(crate) fn new(future: Pin<Box<dyn Future<Output = T> + 'a>>) -> Caught<'a, T> {
        catch_quietly();
        Caught(future)
    }
}

/// Ends with what the future comes to, or with what it panicked with.
impl<T> Future for Caught<'_, T> {
    type Output = Result<T, String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, String>> {
        let future = self.0.as_mut();
        match quietly(|| catch_unwind(AssertUnwindSafe(|| future.poll(cx)))) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(words_of(panic.as_ref()))),
        }
    }
}

/// A node's task. It never ends: turmoil cuts a step short when a host's software does.
pub(super) struct Guard<F, R> {
    task: Option<Pin<Box<F>>>,
    budget: PollBudget,
    report: R,
}

impl<F, R> Guard<F, R>
where
    F: Future<Output = String>,
    R: Fn(Failure) + Unpin,
{
    /// Guards a task; `report` hears how it ended.
    pub(super) fn new(task: F, budget: PollBudget, report: R) -> Guard<F, R> {
        catch_quietly();
        Guard { task: Some(Box::pin(task)), budget, report }
    }

    /// Ends the task; destructors that panic are the node's misbehaviour too.
    fn end(&mut self, failure: Failure) {
        let task = self.task.take();
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(task)));
        (self.report)(failure);
        if let Err(panic) = dropped {
            (self.report)(Failure::Panic(words_of(panic.as_ref())));
        }
    }
}

impl<F, R> Future for Guard<F, R>
where
    F: Future<Output = String>,
    R: Fn(Failure) + Unpin,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let within_budget = self.budget.spend();
        let Some(task) = self.task.as_mut() else { return Poll::Pending };
        if !within_budget {
            self.end(Failure::Livelock);
            return Poll::Pending;
        }
        let inside = InNode::enter();
        let polled = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx)));
        drop(inside);
        match polled {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(reason)) => self.end(Failure::Stopped(reason)),
            Err(panic) => {
                let words = words_of(panic.as_ref());
                self.end(Failure::Panic(words));
            }
        }
        Poll::Pending
    }
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let place = LAST_PANIC.take().unwrap_or_default();
    let words = panic
        .downcast_ref::<&str>()
        .map(|words| (*words).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned());
    format!("{words}{place}")
}

thread_local! {
    /// Whether this thread is polling a node right now.
    static IN_NODE: Cell<bool> = const { Cell::new(false) };
    /// Where the last panic of a node on this thread was.
    static LAST_PANIC: Cell<Option<String>> = const { Cell::new(None) };
}

/// Marks that this thread is polling a node, until dropped.
struct InNode {
    before: bool,
}

impl InNode {
    fn enter() -> InNode {
        InNode { before: IN_NODE.replace(true) }
    }
}

impl Drop for InNode {
    fn drop(&mut self) {
        IN_NODE.set(self.before);
    }
}

/// Does what is done in a node's name, so that a panic in it is the node's.
pub(super) fn quietly<T>(act: impl FnOnce() -> T) -> T {
    let _inside = InNode::enter();
    act()
}

/// Keeps the panics of nodes off the standard error: they are findings, shown in the report.
fn catch_quietly() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if IN_NODE.get() {
                let place = info.location().map(|at| format!(" ({}:{})", at.file(), at.line()));
                LAST_PANIC.set(place);
            } else {
                hook(info);
            }
        }));
    });
}
