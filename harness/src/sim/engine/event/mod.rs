//! The engine `event`: no ticks, time goes on to whatever is due next.
//!
//! At each instant all that is due happens: messages arrive, timers end. Then the tasks that have
//! something to do are polled until none has. Then time goes on. Faults come between two instants, at
//! their time to the nanosecond.

mod agenda;
mod stray;
mod tasks;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use checkers::history::Time;

use self::agenda::{Agenda, Ticket};
use self::stray::StrayTime;
use self::tasks::Tasks;
use super::Software;
use super::latency::Latency;
use crate::config::Config;
use crate::sim::context::{Address, Message, Parcel};
use crate::sim::process::{self, Process};
use crate::sim::shared::{Place, Shared};

/// How many waits for no time may end at once, at one instant, before others have their turn.
const ENDED_AT_ONCE_MAX: u32 = 100;

/// See the module.
pub(in crate::sim) struct Hosts {
    network: Rc<Network>,
    /// By place.
    software: Vec<Option<Software>>,
    stray_time: StrayTime,
}

impl Hosts {
    pub(super) fn new(config: &Config, shared: &Rc<Shared>, waits_by_tokio: bool) -> Hosts {
        let places = config.all_nodes() as usize + 1;
        let network = Network {
            shared: shared.clone(),
            agenda: RefCell::new(Agenda::new()),
            tasks: Tasks::new(places),
            of_nodes: RefCell::new(vec![None; places]),
            of_clients: RefCell::default(),
            latency: RefCell::new(Latency::new(config, &shared.seeds)),
            ended_at_once: Cell::new(0),
        };
        let software = (0..places).map(|_| None).collect();
        let stray_time = StrayTime::new(waits_by_tokio);
        Hosts { network: Rc::new(network), software, stray_time }
    }

    pub(super) fn network(&self) -> Rc<Network> {
        self.network.clone()
    }

    pub(super) fn add(&mut self, place: Place, software: Software) {
        self.software[place.0] = Some(software);
        self.start(place);
    }

    pub(super) fn start(&mut self, place: Place) {
        let software = self.software[place.0].as_ref().expect("only hosts are started");
        self.network.tasks.open(place);
        self.network.tasks.spawn(place, software());
    }

    pub(super) fn stop(&mut self, place: Place) {
        let _here = self.stray_time.enter();
        self.network.of_nodes.borrow_mut()[place.0] = None;
        self.network.tasks.close(place);
    }

    pub(super) fn pause(&mut self, place: Place) {
        self.network.tasks.pause(place);
    }

    pub(super) fn resume(&mut self, place: Place) {
        self.network.tasks.resume(place);
    }

    /// Goes from instant to instant. What is due at `until` is left for the next time, after the faults
    /// of that moment.
    pub(super) fn run(&mut self, until: Time, pauses: &dyn Fn() -> bool) {
        let network = &*self.network;
        let now = &network.shared.now;
        let _here = self.stray_time.enter();
        loop {
            network.tasks.settle();
            if pauses() || until <= now.get() {
                return;
            }
            let next = network.agenda.borrow_mut().next().unwrap_or(until);
            let reached = self.stray_time.pass(now.get(), next.min(until), &network.tasks);
            now.set(reached);
            network.shared.refill_budgets();
            network.ended_at_once.set(0);
            if reached < until {
                network.happen(reached);
            }
        }
    }
}

impl Drop for Hosts {
    /// Tasks know the network that they are in, and nothing else ends that circle.
    fn drop(&mut self) {
        let _here = self.stray_time.enter();
        (0..self.software.len()).map(Place).for_each(|place| self.network.tasks.close(place));
    }
}

/// What all hosts have in common.
pub(in crate::sim) struct Network {
    shared: Rc<Shared>,
    agenda: RefCell<Agenda<Due>>,
    tasks: Tasks,
    /// Where the nodes that are up receive, by place.
    of_nodes: RefCell<Vec<Option<Rc<Inbox>>>>,
    /// Where clients receive, by session.
    of_clients: RefCell<Vec<Option<Rc<Inbox>>>>,
    latency: RefCell<Latency>,
    /// How many timers ended at this instant.
    ended_at_once: Cell<u32>,
}

/// What is due at some time.
enum Due {
    /// A message arrives.
    Message { to: Address, message: Message },
    /// Somebody has waited for long enough.
    Timer(Waker),
}

impl Network {
    pub(super) fn spawn(&self, place: Place, task: impl Future<Output = ()> + 'static) {
        self.tasks.spawn(place, task);
    }

    /// Lets all happen that is due by now.
    fn happen(&self, now: Time) {
        loop {
            // The agenda must not be borrowed while something happens: a waker may be the last to hold
            // what takes back a timer when it is dropped.
            let Some(due) = self.agenda.borrow_mut().take_due(now) else { return };
            match due {
                Due::Message { to, message } => self.arrive(now, to, message),
                Due::Timer(waker) => waker.wake(),
            }
        }
    }

    fn arrive(&self, now: Time, to: Address, message: Message) {
        let parcel = Parcel { number: message.number, from: message.from, to };
        let inbox = match to {
            Address::Node(node) => self.of_nodes.borrow()[node.index()].clone(),
            Address::Client(client) => {
                self.of_clients.borrow().get(client.0 as usize).cloned().flatten()
            }
        };
        match inbox {
            None => self.shared.drop_at_the_dead(now, parcel),
            Some(inbox) if self.shared.may_deliver(now, parcel) => {
                if self.can_wait(now, parcel, &inbox) {
                    inbox.put(message);
                }
            }
            Some(_) => {}
        }
    }

    /// Whether there is room for what has arrived, where a fault makes it wait.
    fn can_wait(&self, now: Time, parcel: Parcel, inbox: &Inbox) -> bool {
        let hindering =
            self.shared.process(Place::of(parcel.to)).map(Process::hindering).unwrap_or_default();
        hindering.is_empty() || self.shared.has_room(now, parcel, inbox.bytes(), &hindering)
    }

    /// Waits until some time has come.
    fn wait_until(self: &Rc<Self>, at: Time) -> Timer {
        Timer { network: self.clone(), at, ticket: None, has_waited: false }
    }
}

/// What has arrived for somebody.
#[derive(Default)]
struct Inbox {
    messages: RefCell<VecDeque<Message>>,
    /// Whoever waits for the next one.
    waiting: RefCell<Option<Waker>>,
}

impl Inbox {
    fn put(&self, message: Message) {
        self.messages.borrow_mut().push_back(message);
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }

    /// How much of the buffer is full.
    fn bytes(&self) -> usize {
        process::bytes_of(self.messages.borrow().iter().map(|message| message.bytes.len()))
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.messages.borrow().is_empty() {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waiting = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// A place to send from and to receive at.
pub(in crate::sim) struct Socket {
    network: Rc<Network>,
    inbox: Rc<Inbox>,
}

impl Socket {
    pub(super) fn bind(network: Rc<Network>, owner: Address) -> Socket {
        let inbox = Rc::new(Inbox::default());
        let (mut boxes, index) = match owner {
            Address::Node(node) => (network.of_nodes.borrow_mut(), node.index()),
            Address::Client(client) => (network.of_clients.borrow_mut(), client.0 as usize),
        };
        if boxes.len() <= index {
            boxes.resize(index + 1, None);
        }
        boxes[index] = Some(inbox.clone());
        drop(boxes);
        Socket { network, inbox }
    }

    pub(super) fn clock(&self) -> Clock {
        Clock(self.network.clone())
    }

    pub(super) fn send(&self, parcel: Parcel, bytes: &[u8], ticket: u64, delay: Duration) {
        let Parcel { number, from, to } = parcel;
        let message = Message { from, bytes: bytes.to_vec(), ticket, number };
        let takes = self.network.latency.borrow_mut().draw() + delay;
        let at = self.network.shared.now.get() + takes;
        self.network.agenda.borrow_mut().add(at, Due::Message { to, message });
    }

    pub(super) fn next(&self) -> Option<Message> {
        self.inbox.messages.borrow_mut().pop_front()
    }

    pub(super) async fn arrival(&self) {
        std::future::poll_fn(|cx| self.inbox.poll(cx)).await;
    }
}

/// The clock that all hosts share.
#[derive(Clone)]
pub(super) struct Clock(Rc<Network>);

impl Clock {
    pub(super) fn now(&self) -> Time {
        self.0.shared.now.get()
    }

    pub(super) async fn sleep(&self, time: Duration) {
        self.0.wait_until(self.now() + time).await;
    }

    pub(super) async fn timeout<F: Future>(&self, time: Duration, awaited: F) -> Option<F::Output> {
        let mut awaited = pin!(awaited);
        let mut timer = self.0.wait_until(self.now() + time);
        std::future::poll_fn(|cx| match awaited.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => Pin::new(&mut timer).poll(cx).map(|()| None),
        })
        .await
    }
}

/// Somebody who waits.
struct Timer {
    network: Rc<Network>,
    at: Time,
    /// Its entry in the agenda, once it has been waited for.
    ticket: Option<Ticket>,
    /// Whether others had their turn before it ended.
    has_waited: bool,
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.at <= self.network.shared.now.get() {
            // Whoever waits for no time again and again spins: it must be polled again to be found out.
            let at_once = self.network.ended_at_once.get();
            if self.has_waited || at_once < ENDED_AT_ONCE_MAX {
                self.network.ended_at_once.set(at_once + 1);
                return Poll::Ready(());
            }
            self.has_waited = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.has_waited = true;
        let network = self.network.clone();
        let mut agenda = network.agenda.borrow_mut();
        match self.ticket.and_then(|ticket| agenda.get_mut(ticket)) {
            Some(Due::Timer(waker)) if waker.will_wake(cx.waker()) => {}
            Some(due) => {
                let before = std::mem::replace(due, Due::Timer(cx.waker().clone()));
                drop(agenda);
                drop(before);
            }
            None => self.ticket = Some(agenda.add(self.at, Due::Timer(cx.waker().clone()))),
        }
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let taken = self.network.agenda.borrow_mut().take(ticket);
            drop(taken);
        }
    }
}
