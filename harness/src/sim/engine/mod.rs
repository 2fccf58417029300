//! The inner seam: what the world asks of whatever schedules its hosts and carries its messages.
//!
//! There are two engines, and nothing else in the world asks which one a run has. In `turmoil` time
//! goes in ticks: every host gets its turn in each of them, and messages arrive between them. In `event`
//! there are no ticks: time goes on to the next thing that is due, by the nanosecond. What becomes of a
//! message, whom a fault hits and what a disk holds is decided above, and is the same in both.

mod event;
mod latency;
mod turmoil;

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use checkers::history::Time;

use super::context::{Address, Message, Parcel};
use super::shared::{Place, Shared};
use crate::config::Config;
use crate::engine::Engine;
use crate::system::LocalBoxFuture;

/// What runs on a host, made anew for every start of it. It never ends by itself.
pub(super) type Software = Box<dyn Fn() -> LocalBoxFuture<'static, ()>>;

/// The hosts of a run.
pub(super) enum Hosts {
    /// All in turn, tick after tick.
    Turmoil(Box<turmoil::Hosts>),
    /// Whoever has something to do.
    Event(event::Hosts),
}

impl Hosts {
    /// Makes the network of a run, with nobody in it. `waits_by_tokio`: whether anybody will ask tokio for a
    /// timer.
    pub(super) fn new(config: &Config, shared: &Rc<Shared>, waits_by_tokio: bool) -> Hosts {
        match config.engine {
            Engine::Turmoil => Hosts::Turmoil(Box::new(turmoil::Hosts::new(config, shared))),
            Engine::Event => Hosts::Event(event::Hosts::new(config, shared, waits_by_tokio)),
            Engine::Real => {
                unreachable!("what is read of a real run is refused before it is simulated")
            }
        }
    }

    /// The network, for the software of a host.
    pub(super) fn network(&self) -> Network {
        match self {
            Hosts::Turmoil(hosts) => Network::Turmoil(hosts.network()),
            Hosts::Event(hosts) => Network::Event(hosts.network()),
        }
    }

    /// Adds a host, and starts it. They come in the order of their places, that of the clients last.
    pub(super) fn add(&mut self, place: Place, software: Software) {
        match self {
            Hosts::Turmoil(hosts) => hosts.add(place, software),
            Hosts::Event(hosts) => hosts.add(place, software),
        }
    }

    /// Ends all that runs on a host, at once.
    pub(super) fn stop(&mut self, place: Place) {
        match self {
            Hosts::Turmoil(hosts) => hosts.stop(place),
            Hosts::Event(hosts) => hosts.stop(place),
        }
    }

    /// Starts a host that was stopped.
    pub(super) fn start(&mut self, place: Place) {
        match self {
            Hosts::Turmoil(hosts) => hosts.start(place),
            Hosts::Event(hosts) => hosts.start(place),
        }
    }

    /// Lets all that runs on a host stand still: whatever is to be done there waits.
    pub(super) fn pause(&mut self, place: Place) {
        match self {
            Hosts::Turmoil(hosts) => hosts.pause(place),
            Hosts::Event(hosts) => hosts.pause(place),
        }
    }

    /// Lets a host go on.
    pub(super) fn resume(&mut self, place: Place) {
        match self {
            Hosts::Turmoil(hosts) => hosts.resume(place),
            Hosts::Event(hosts) => hosts.resume(place),
        }
    }

    /// The run has gone over to another seed: messages that are sent from now on take their time by that.
    pub(super) fn go_over(&mut self, config: &Config) {
        match self {
            Hosts::Turmoil(hosts) => hosts.go_over(config),
            // All that it draws comes from a stream that goes over by itself.
            Hosts::Event(_) => {}
        }
    }

    /// Lets time pass: at most until `until`, before what is due then; less where `pauses` says that
    /// somebody has to look at what has come of it. With ticks, it is one tick whatever they say.
    pub(super) fn run(&mut self, until: Time, pauses: &dyn Fn() -> bool) {
        match self {
            Hosts::Turmoil(hosts) => hosts.tick(),
            Hosts::Event(hosts) => hosts.run(until, pauses),
        }
    }
}

/// The network of a run, as its hosts find it.
#[derive(Clone)]
pub(super) enum Network {
    /// turmoil's own.
    Turmoil(Rc<turmoil::Network>),
    /// Our own.
    Event(Rc<event::Network>),
}

impl Network {
    /// Opens the socket of somebody who lives on the host that this is called on.
    pub(super) async fn bind(&self, owner: Address) -> Socket {
        match self {
            Network::Turmoil(network) => {
                Socket::Turmoil(Box::new(turmoil::Socket::bind(network.clone(), owner).await))
            }
            Network::Event(network) => Socket::Event(event::Socket::bind(network.clone(), owner)),
        }
    }

    /// Runs a task beside what runs on the host that this is called on, which is at `place`.
    pub(super) fn spawn(&self, place: Place, task: impl Future<Output = ()> + 'static) {
        match self {
            Network::Turmoil(_) => turmoil::spawn(task),
            Network::Event(network) => network.spawn(place, task),
        }
    }
}

/// Where somebody sends and receives.
pub(super) enum Socket {
    /// One of turmoil's.
    Turmoil(Box<turmoil::Socket>),
    /// One of our own.
    Event(event::Socket),
}

impl Socket {
    /// The world's clock, as its owner may read it and wait by it.
    pub(super) fn clock(&self) -> Clock {
        match self {
            Socket::Turmoil(socket) => Clock(Source::Turmoil(socket.clock())),
            Socket::Event(socket) => Clock(Source::Event(socket.clock())),
        }
    }

    /// Sends a message, which arrives `delay` later than it would otherwise.
    pub(super) fn send(&self, parcel: Parcel, bytes: &[u8], ticket: u64, delay: Duration) {
        match self {
            Socket::Turmoil(socket) => socket.send(parcel, bytes, ticket, delay),
            Socket::Event(socket) => socket.send(parcel, bytes, ticket, delay),
        }
    }

    /// The next of the messages that have arrived.
    pub(super) fn next(&self) -> Option<Message> {
        match self {
            Socket::Turmoil(socket) => socket.next(),
            Socket::Event(socket) => socket.next(),
        }
    }

    /// Ends when a message may have arrived.
    pub(super) async fn arrival(&self) {
        match self {
            Socket::Turmoil(socket) => socket.arrival().await,
            Socket::Event(socket) => socket.arrival().await,
        }
    }
}

/// The clock of the simulated world.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    Turmoil(turmoil::Clock),
    Event(event::Clock),
}

impl Clock {
    /// Virtual time since the run began.
    pub fn now(&self) -> Time {
        match &self.0 {
            Source::Turmoil(clock) => clock.now(),
            Source::Event(clock) => clock.now(),
        }
    }

    /// Waits.
    pub async fn sleep(&self, time: Duration) {
        match &self.0 {
            Source::Turmoil(clock) => clock.sleep(time).await,
            Source::Event(clock) => clock.sleep(time).await,
        }
    }

    /// Waits for something, but not longer than `time`: nothing if it has not come by then.
    pub async fn timeout<F: Future>(&self, time: Duration, awaited: F) -> Option<F::Output> {
        match &self.0 {
            Source::Turmoil(clock) => clock.timeout(time, awaited).await,
            Source::Event(clock) => clock.timeout(time, awaited).await,
        }
    }

    /// The grain of its timers: who waits may be told so much too late.
    pub(super) fn grain(&self) -> Duration {
        match &self.0 {
            Source::Turmoil(_) => turmoil::GRAIN,
            Source::Event(_) => Duration::ZERO,
        }
    }

    /// The clock of a world that stands still, for tests of what waits for no time.
    #[cfg(test)]
    pub(super) fn standing() -> Clock {
        Clock(Source::Turmoil(turmoil::Clock::starting(Time::ZERO)))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}
