//! The tasks of all hosts, and which of them have something to do.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};

use tokio::task::LocalSet;

use crate::sim::guard;
use crate::sim::shared::Place;

/// Polls that the tasks of all hosts may take at one instant. The guard of a node stops it long before;
/// this is for what no guard is around: clients, and what a node spawns without its context.
const POLLS_MAX: u32 = 5_000_000;

/// See the module.
pub(super) struct Tasks {
    /// Places that are free have none.
    tasks: RefCell<Vec<Option<Task>>>,
    free: RefCell<Vec<usize>>,
    ready: Arc<Ready>,
    /// By place, where a host stands still: its tasks that have something to do, in order.
    paused: RefCell<Vec<Option<Vec<usize>>>>,
    /// One a host that is up, by its place: where `tokio::task::spawn_local` puts what it is given there.
    strays: RefCell<Vec<Option<Rc<RefCell<LocalSet>>>>>,
}

struct Task {
    place: Place,
    future: Pin<Box<dyn Future<Output = ()>>>,
    alarm: Arc<Alarm>,
    waker: Waker,
    /// Kept until the task is polled: its host is where it is polled.
    strays: Rc<RefCell<LocalSet>>,
}

/// The tasks that have something to do, first come, first served.
#[derive(Default)]
struct Ready(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    tasks: VecDeque<usize>,
    /// Whoever waits for one to come, while time passes.
    waiting: Option<Waker>,
}

impl Ready {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().expect("nobody panics while holding it")
    }
}

/// Wakes a task.
struct Alarm {
    task: usize,
    /// Whether it is in the queue already, or gone for ever.
    is_rung: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_rung.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut queue = self.ready.lock();
        queue.tasks.push_back(self.task);
        if let Some(waiting) = queue.waiting.take() {
            waiting.wake();
        }
    }
}

impl Tasks {
    pub(super) fn new(places: usize) -> Tasks {
        Tasks {
            tasks: RefCell::default(),
            free: RefCell::default(),
            ready: Arc::default(),
            paused: RefCell::new(vec![None; places]),
            strays: RefCell::new(vec![None; places]),
        }
    }

    /// Lets tasks be spawned on a host.
    pub(super) fn open(&self, place: Place) {
        let strays = Rc::new(RefCell::new(LocalSet::new()));
        self.strays.borrow_mut()[place.0] = Some(strays.clone());
        self.spawn(place, async move {
            // It never ends: what it has to do may come later.
            std::future::poll_fn(|cx| {
                let _ = Pin::new(&mut *strays.borrow_mut()).poll(cx);
                Poll::Pending
            })
            .await
        });
    }

    /// Drops all tasks of a host; none is spawned there until it is opened again.
    pub(super) fn close(&self, place: Place) {
        let strays = self.strays.borrow_mut()[place.0].take();
        self.paused.borrow_mut()[place.0] = None;
        let mut dropped = Vec::new();
        for (index, slot) in self.tasks.borrow_mut().iter_mut().enumerate() {
            if let Some(task) = slot.take_if(|task| task.place == place) {
                task.alarm.is_rung.store(true, Ordering::Relaxed);
                self.free.borrow_mut().push(index);
                dropped.push(task);
            }
        }
        for task in dropped {
            // What its destructors do reaches nobody, and neither do their panics.
            let _ = guard::quietly(|| catch_unwind(AssertUnwindSafe(|| drop(task))));
        }
        drop(strays);
    }

    /// Polls no task of a host until it goes on.
    pub(super) fn pause(&self, place: Place) {
        self.paused.borrow_mut()[place.0].get_or_insert_default();
    }

    /// Lets a host go on with all that it has to do by now.
    pub(super) fn resume(&self, place: Place) {
        let waiting = self.paused.borrow_mut()[place.0].take();
        self.ready.lock().tasks.extend(waiting.into_iter().flatten());
    }

    /// Runs a task on a host, unless that is down.
    pub(super) fn spawn(&self, place: Place, task: impl Future<Output = ()> + 'static) {
        let Some(strays) = self.strays.borrow()[place.0].clone() else { return };
        let mut tasks = self.tasks.borrow_mut();
        let index = self.free.borrow_mut().pop().unwrap_or(tasks.len());
        if index == tasks.len() {
            tasks.push(None);
        }
        let is_rung = AtomicBool::new(true);
        let alarm = Arc::new(Alarm { task: index, is_rung, ready: self.ready.clone() });
        let waker = Waker::from(alarm.clone());
        tasks[index] = Some(Task { place, future: Box::pin(task), alarm, waker, strays });
        self.ready.lock().tasks.push_back(index);
    }

    /// Polls until no task has anything to do at this instant.
    ///
    /// # Panics
    /// If that never comes to an end, because a client spins.
    pub(super) fn settle(&self) {
        for polls in 1.. {
            let Some(index) = self.ready.lock().tasks.pop_front() else { return };
            assert!(polls < POLLS_MAX, "a client spins without time moving on");
            self.poll(index);
        }
    }

    fn poll(&self, index: usize) {
        let Some(mut task) = self.tasks.borrow_mut()[index].take() else { return };
        if let Some(waiting) = &mut self.paused.borrow_mut()[task.place.0] {
            // It counts as woken, so that it waits here once only.
            waiting.push(index);
            self.tasks.borrow_mut()[index] = Some(task);
            return;
        }
        task.alarm.is_rung.store(false, Ordering::Relaxed);
        let polled = {
            let _on_the_host = task.strays.borrow().enter();
            task.future.as_mut().poll(&mut Context::from_waker(&task.waker))
        };
        if polled.is_pending() {
            self.tasks.borrow_mut()[index] = Some(task);
        } else {
            task.alarm.is_rung.store(true, Ordering::Relaxed);
            self.free.borrow_mut().push(index);
        }
    }

    /// Ends when a task has something to do.
    pub(super) fn poll_ready(&self, cx: &Context<'_>) -> Poll<()> {
        let mut queue = self.ready.lock();
        if !queue.tasks.is_empty() {
            return Poll::Ready(());
        }
        queue.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether no task has anything to do.
    pub(super) fn are_idle(&self) -> bool {
        self.ready.lock().tasks.is_empty()
    }
}
