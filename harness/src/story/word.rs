//! On whose word an operation was answered, and for whom one waited that was not.
//!
//! That a node had others agree before it answered cannot be seen from outside, but that it cannot have had
//! is: if no message came back to it between the request and the answer from a node that may have known of
//! the request, it answered on its own word. Who may have known is whoever a chain of messages leads to from the
//! request on (Lamport's "happened before").
//!
//! A client asks again and again, and is refused, or asks for something else first, such as a session. So chains begin
//! with those of its [`requests`] that asked what was answered in the end, and were not answered before. And the node that
//! answers may pass on what another one has decided: it is the word of that one then.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};

use checkers::history::{NodeId, SessionId, Time};

use super::list;
use crate::trace::{Happening, Later, Loss, Place, Question, Sent, TraceEvent};

/// On whose word an operation was answered.
pub(super) struct Word {
    /// Who answered.
    pub(super) by: NodeId,
    /// When it was asked, first of all since it last answered.
    asked: Time,
    /// What comes before that: the same question, or another of this kind.
    before: Option<Before>,
    /// When it was decided what the answer was.
    decided: Time,
    /// Where the same had been decided before, and that had not come to be known: when that was, and when the one that
    /// answered was asked again.
    repeats: Option<(Time, Option<Time>)>,
    /// How the node saw it that decided.
    course: Course,
}

/// The course that a request took, as one node saw it.
struct Course {
    /// The node.
    node: NodeId,
    /// Who had let it hear something by its decision, and may have known of the request; with the kinds of that, as they came.
    heard: BTreeMap<NodeId, Vec<String>>,
    /// To whom it sent something.
    told: BTreeSet<NodeId>,
    /// To whom it passed the request on.
    passed_to: BTreeSet<NodeId>,
    /// What became on its way of that which it sent until the client was answered, by whom that was to reach.
    sent: BTreeMap<NodeId, Way>,
    /// What became on its way of that which was sent to it by who may have known of the request.
    coming: BTreeMap<NodeId, Way>,
}

/// What a client asked before it asked what was answered.
enum Before {
    /// The same.
    Same,
    /// Something else, in words.
    Other(String),
}

/// What became of a message on its way, other than that it arrived.
#[derive(Clone, Copy)]
struct Way {
    late: Option<Later>,
    lost: Option<Loss>,
}

impl Display for Way {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self.late, self.lost) {
            (Some(late), Some(lost)) => {
                write!(f, "{late} late by fault {}, and then {lost}", late.fault)
            }
            (Some(late), None) => write!(f, "{late}, by fault {}", late.fault),
            (None, Some(lost)) => write!(f, "{lost}"),
            (None, None) => Ok(()),
        }
    }
}

impl Word {
    /// On whose word an operation was answered, in a clause. A client that learns nothing asks again.
    pub(super) fn to_words(&self) -> String {
        let Word { by, asked, before, decided, repeats, course } = self;
        let node = &course.node;
        let again = repeats.and_then(|(_, asked)| asked);
        let asked = match (before, again) {
            (None, None) => String::new(),
            (None, Some(again)) => format!(", asked again at {again},"),
            (Some(Before::Same), None) => format!(", asked again at {asked},"),
            (Some(Before::Same), Some(again)) => format!(", asked again at {asked} and {again},"),
            (Some(Before::Other(other)), None) => format!(", asked at {asked} after {other},"),
            (Some(Before::Other(other)), Some(again)) => {
                format!(", asked at {asked} after {other} and again at {again},")
            }
        };
        let first = repeats.map_or_else(String::new, |(first, _)| format!("{first} and again at "));
        let who = match by == node {
            true => format!("n{node}{asked}"),
            false => {
                format!("n{by}{asked} passed on what n{node} decided at {first}{decided}; n{node}")
            }
        };
        let words = if course.heard.is_empty() {
            format!(
                "; {who} answered on its own word: it had heard from no other node that can have known of that request"
            )
        } else {
            let heard = course.heard();
            format!("; {who} had heard from {heard} by then, which can have known of that request")
        };
        words + &course.ways()
    }
}

impl Course {
    /// For whom the node waits, in a clause, of a request that was not answered.
    fn to_wait(&self) -> String {
        if !self.passed_to.is_empty() {
            let others = list(self.passed_to.iter().map(|to| format!("n{to}")));
            let words =
                format!("; n{}, which it asked last, passed that on to {others}", self.node);
            return words + &self.ways();
        }
        let silent = self.told.iter().filter(|to| !self.heard.contains_key(to));
        let silent = list(silent.map(|to| format!("n{to}")));
        let heard = match self.heard.is_empty() {
            true => String::new(),
            false => format!(" had heard since from {} and", self.heard()),
        };
        let waited = match (silent.is_empty(), heard.is_empty()) {
            (false, _) => format!("waited for {silent}"),
            (true, false) => "waited for no other node".to_owned(),
            (true, true) => "told no other node of it".to_owned(),
        };
        let words = format!("; n{}, which it asked last,{heard} {waited}", self.node);
        words + &self.ways()
    }

    /// Notes what becomes of a message between two nodes, if it is from this one or to it.
    fn on_the_way(&mut self, from: Option<NodeId>, to: Option<NodeId>, way: Way) {
        let (Some(from), Some(to)) = (from, to) else { return };
        let kept = match (from == self.node, to == self.node) {
            (true, _) => self.sent.entry(to).or_insert(way),
            (_, true) => self.coming.entry(from).or_insert(way),
            (false, false) => return,
        };
        // Of several, one that was lost is told.
        if way.lost.is_some() {
            *kept = way;
        }
    }

    fn heard(&self) -> String {
        list(self.heard.iter().map(|(from, kinds)| match &kinds[..] {
            [] => format!("n{from}"),
            kinds => format!("n{from} ({})", kinds.join(", ")),
        }))
    }

    fn ways(&self) -> String {
        let named = |ways: &BTreeMap<NodeId, Way>, is_lost: bool| {
            let ways = ways.iter().filter(|(_, way)| way.lost.is_some() == is_lost);
            list(ways.map(|(node, way)| format!("n{node} ({way})")))
        };
        let clauses = [
            ("what it sent was lost on its way to", named(&self.sent, true)),
            ("what it sent came late to", named(&self.sent, false)),
            ("what was sent to it was lost on its way from", named(&self.coming, true)),
            ("what was sent to it came late from", named(&self.coming, false)),
        ];
        let clauses = clauses.into_iter().filter(|(_, nodes)| !nodes.is_empty());
        clauses.map(|(clause, nodes)| format!("; {clause} {nodes}")).collect()
    }
}

/// The node that answered a client between two moments; none where nobody answered.
pub(crate) fn answering(
    trace: &[TraceEvent],
    session: SessionId,
    from: Time,
    to: Time,
) -> Option<NodeId> {
    word(trace, session, from, to).map(|word| word.by)
}

/// What happened between two moments.
fn during(trace: &[TraceEvent], from: Time, to: Time) -> &[TraceEvent] {
    let begin = trace.partition_point(|event| event.at < from);
    let end = trace.partition_point(|event| event.at <= to);
    &trace[begin..end]
}

/// What a client asked a node.
struct Request<'a> {
    /// Its place among the events.
    place: usize,
    /// The number of its message.
    message: u64,
    /// Who was asked.
    node: NodeId,
    /// What kind of message it is.
    kind: Option<&'a str>,
    /// What it asks, by its number.
    question: Option<Question>,
    /// Where among the events its node took it up.
    taken: Option<usize>,
    /// Whether it was answered: then nothing that follows is about it.
    is_over: bool,
}

/// What a client asked nodes in an operation that ended `to` then. What it asks at that very moment belongs to its
/// next operation.
fn requests(events: &[TraceEvent], client: Place, to: Time) -> Vec<Request<'_>> {
    let mut requests: Vec<Request<'_>> = Vec::new();
    // When messages to the client left, and what they answer.
    let mut left: BTreeMap<u64, (usize, Question)> = BTreeMap::new();
    for (place, event) in events.iter().enumerate() {
        match &event.what {
            Happening::Sent(sent) if event.place == client && event.at < to => {
                let Some(node) = sent.to.node() else { continue };
                let (message, kind, question) = (sent.message, sent.kind.as_deref(), sent.question);
                let (taken, is_over) = (None, false);
                requests.push(Request { place, message, node, kind, question, taken, is_over });
            }
            Happening::Sent(sent) if sent.to == client => {
                left.extend(sent.question.map(|question| (sent.message, (place, question))));
            }
            Happening::Received { message, from } if event.place == client => {
                let Some((left, question)) = left.remove(message) else { continue };
                // Of several copies that a node has taken up, it answers the first one first.
                let answered = requests.iter_mut().find(|request| {
                    !request.is_over
                        && request.question == Some(question)
                        && from.node() == Some(request.node)
                        && request.taken.is_some_and(|taken| taken < left)
                });
                if let Some(request) = answered {
                    request.is_over = true;
                }
            }
            Happening::Received { message, .. } => {
                let of_it = requests.iter_mut().find(|request| request.message == *message);
                if let Some(request) = of_it {
                    request.taken.get_or_insert(place);
                }
            }
            _ => {}
        }
    }
    requests
}

/// The node that a client turned to first between two moments; none where that is not in the trace.
pub(super) fn first_asked(
    trace: &[TraceEvent],
    session: SessionId,
    from: Time,
    to: Time,
) -> Option<NodeId> {
    let requests = requests(during(trace, from, to), Place::Client(session), to);
    requests.first().map(|request| request.node)
}

/// Finds out on whose word a client was answered between two moments. Nothing where nobody answered.
pub(super) fn word(trace: &[TraceEvent], session: SessionId, from: Time, to: Time) -> Option<Word> {
    let client = Place::Client(session);
    let during = during(trace, from, to);
    let last = during.iter().rposition(|event| {
        event.place == client && matches!(event.what, Happening::Received { .. })
    })?;
    let Happening::Received { from: answering, message: answer } = during[last].what else {
        return None;
    };
    let by = answering.node()?;
    // What is on its way to the client after the answer has left says nothing of the answer.
    let (answered, question) =
        during.iter().enumerate().find_map(|(place, event)| match &event.what {
            Happening::Sent(sent) if sent.message == answer => Some((place, sent.question)),
            _ => None,
        })?;
    // Answers before the last one were refusals, such as that nobody leads yet.
    let asked = requests(&during[..last], client, to);
    let is_of_it = |request: &&Request<'_>| match question {
        Some(_) => request.question == question && !request.is_over,
        None => true,
    };
    let open: Vec<&Request<'_>> = asked.iter().filter(is_of_it).collect();
    let taken_up = open.iter().find(|request| {
        request.node == by && request.taken.is_some_and(|taken| taken < answered)
    })?;
    // What is taken up after the decision does not, either. It may be that of a node which others pass requests on to.
    let of_it = Happening::Decides { to: client, question: question.map(|asked| asked.number) };
    let decided = during[..answered].iter().enumerate().rev().find_map(|(place, event)| {
        let node = event.place.node().filter(|_| event.what == of_it)?;
        // What another node has sent the client itself, nobody has passed on.
        let may_count = node == by || hands_on(&during[place..answered], (node, by), question);
        may_count.then_some((place, node))
    });
    let (end, node) = decided.unwrap_or((answered, by));
    let mut earlier = asked.iter().rev().filter(|request| request.place < taken_up.place);
    let before = earlier.next().map(|before| {
        let same = |other: &&Request<'_>| other.question == before.question;
        let times = match 1 + earlier.take_while(same).count() {
            1 => String::new(),
            times => format!(" ({times} times)"),
        };
        match before.kind {
            _ if before.question == question => Before::Same,
            Some(kind) if Some(kind) != taken_up.kind => Before::Other(format!("`{kind}`{times}")),
            _ => Before::Other(format!("another request{times}")),
        }
    });
    // What it had decided before, about the same, did not reach the client.
    let mut earlier = during[..end].iter().filter(|_| question.is_some());
    let first = earlier.find(|event| event.place == Place::Node(node) && event.what == of_it);
    let repeats = first.map(|first| {
        let is_again = |request: &&&Request<'_>| {
            let taken = request.taken.is_some_and(|taken| taken < end);
            let later = request.place > taken_up.place && during[request.place].at > first.at;
            request.node == by && taken && later
        };
        (first.at, open.iter().rev().find(is_again).map(|request| during[request.place].at))
    });
    let asked = during[taken_up.place].at;
    let decided = during[end].at;
    let course = follow(during, end, &open, node);
    Some(Word { by, asked, before, decided, repeats, course })
}

/// Whether one node takes up what another one has sent it during this: an answer to this question, where that can be told.
fn hands_on(
    during: &[TraceEvent],
    (from, to): (NodeId, NodeId),
    question: Option<Question>,
) -> bool {
    let mut sent = BTreeSet::new();
    during.iter().any(|event| match &event.what {
        Happening::Sent(message) if event.place == Place::Node(from) => {
            let is_answer = question.is_none() || message.question == question;
            if is_answer {
                sent.insert(message.message);
            }
            false
        }
        Happening::Received { message, .. } => {
            event.place == Place::Node(to) && sent.contains(message)
        }
        _ => false,
    })
}

/// Finds out for what a client waited in vain between two moments: who did not answer, or whom the node that
/// it had asked last had turned to and not heard from since. Nothing where it asked nobody.
pub(super) fn wait(
    trace: &[TraceEvent],
    session: SessionId,
    from: Time,
    to: Time,
) -> Option<String> {
    let client = Place::Client(session);
    let during = during(trace, from, to);
    let requests = requests(during, client, to);
    let last = requests.last()?;
    let Request { message, node, taken, is_over, .. } = *last;
    let lost = during.iter().find_map(|event| match &event.what {
        Happening::Lost { message: lost, why, .. } if *lost == message => Some(*why),
        _ => None,
    });
    let words = match (taken, lost) {
        (Some(_), _) if is_over => {
            format!("; n{node}, which it asked last, answered, and could not tell")
        }
        (Some(_), _) => follow(during, during.len(), &[last], node).to_wait(),
        (None, Some(why)) => format!("; what it asked n{node} last was lost ({why})"),
        (None, None) => format!("; n{node}, which it asked last, did not take that up"),
    };
    Some(words)
}

/// Follows what was asked through events: what a node had heard of it when it decided, before the event with this
/// number, and what became of all that it sent.
fn follow(
    events: &[TraceEvent],
    decided: usize,
    requests: &[&Request<'_>],
    node: NodeId,
) -> Course {
    let mut course = Course {
        node,
        heard: BTreeMap::new(),
        told: BTreeSet::new(),
        passed_to: BTreeSet::new(),
        sent: BTreeMap::new(),
        coming: BTreeMap::new(),
    };
    let question = requests.first().and_then(|request| request.question);
    let passes_it_on = |sent: &Sent| question.is_some() && sent.question == question;
    let mut knowing: BTreeSet<NodeId> = BTreeSet::new();
    // Messages that tell of it.
    let mut telling: BTreeMap<u64, &Sent> = BTreeMap::new();
    for (number, TraceEvent { place, what, .. }) in events.iter().enumerate() {
        let of_node = place.node();
        if number >= decided && of_node != Some(node) {
            continue;
        }
        match what {
            Happening::Sent(sent)
                if of_node.is_some_and(|place| knowing.contains(&place) || passes_it_on(sent))
                    || requests.iter().any(|request| request.message == sent.message) =>
            {
                telling.insert(sent.message, sent);
                let to = sent.to.node();
                if of_node == Some(node) {
                    course.told.extend(to);
                    course.passed_to.extend(to.filter(|_| passes_it_on(sent)));
                }
                if sent.late.is_some() {
                    course.on_the_way(of_node, to, Way { late: sent.late, lost: None });
                }
            }
            Happening::Received { message, from } if number < decided => {
                let Some(sent) = telling.get(message) else { continue };
                let passes_on = sent.question.is_some();
                if passes_on && hands_over(&events[number + 1..], *place, passes_it_on) {
                    continue;
                }
                let knew = of_node.is_some_and(|place| !knowing.insert(place));
                // That it is asked says nothing more.
                let says = knew && !passes_on && of_node == Some(node);
                if let Some(from) = from.node().filter(|_| says) {
                    let kinds = course.heard.entry(from).or_default();
                    let new = sent.kind.iter().filter(|kind| !kinds.contains(kind));
                    let new: Vec<String> = new.cloned().collect();
                    kinds.extend(new);
                }
            }
            Happening::Lost { message, to, why } => {
                let Some(sent) = telling.get(message) else { continue };
                let way = Way { late: sent.late, lost: Some(*why) };
                course.on_the_way(of_node, to.node(), way);
            }
            _ => {}
        }
    }
    course
}

/// Whether a node that has taken up a request passes it on to another one before it decides anything: then it has nothing to
/// do with it, unless others tell it.
fn hands_over(rest: &[TraceEvent], place: Place, passes_it_on: impl Fn(&Sent) -> bool) -> bool {
    let own = rest.iter().filter(|event| event.place == place);
    let mut own = own.take_while(|event| !matches!(event.what, Happening::Decides { .. }));
    own.any(|event| match &event.what {
        Happening::Sent(sent) => sent.to.node().is_some() && passes_it_on(sent),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use checkers::history::FaultId;

    use super::*;

    const CLIENT: Place = Place::Client(SessionId(7));
    const QUESTION: Question = Question { client: SessionId(7), number: 3 };

    fn node(id: u32) -> Place {
        Place::Node(NodeId(id))
    }

    /// What happened, one thing each millisecond.
    fn trace(events: Vec<(Place, Happening)>) -> Vec<TraceEvent> {
        let at = |index: usize| Time::from_millis(index as u64);
        let events = events.into_iter().enumerate();
        events.map(|(index, (place, what))| TraceEvent { at: at(index), place, what }).collect()
    }

    fn sent(message: u64, to: Place, question: Option<Question>) -> Happening {
        let (kind, late, copies) = (None, None, Vec::new());
        Happening::Sent(Sent { message, to, bytes: 1, kind, question, late, copies })
    }

    fn received(message: u64, from: Place) -> Happening {
        Happening::Received { message, from }
    }

    fn decides() -> Happening {
        Happening::Decides { to: CLIENT, question: Some(QUESTION.number) }
    }

    /// What is told of a client that asked the first node, was told nothing, and asked the second one, which had heard
    /// this from the first in between.
    fn told(heard: Option<Question>) -> String {
        let asked = Some(QUESTION);
        let trace = trace(vec![
            (CLIENT, sent(0, node(1), asked)),
            (node(1), received(0, CLIENT)),
            (node(1), decides()),
            (node(1), sent(1, CLIENT, asked)),
            (node(1), Happening::Lost { message: 1, to: CLIENT, why: Loss::Cut(FaultId(0)) }),
            (CLIENT, sent(2, node(2), asked)),
            (node(2), received(2, CLIENT)),
            (node(1), sent(3, node(2), heard)),
            (node(2), received(3, node(1))),
            (node(2), sent(4, CLIENT, asked)),
            (CLIENT, received(4, node(2))),
        ]);
        let word = word(&trace, SessionId(7), Time::ZERO, Time::from_millis(20));
        word.expect("it was answered").to_words()
    }

    #[test]
    fn an_answer_that_went_straight_to_its_client_was_passed_on_by_nobody() {
        let words = told(None);
        assert!(words.starts_with("; n2, asked again at 0.005 s,"), "{words}");
        assert!(!words.contains("passed on what"), "{words}");
    }

    #[test]
    fn an_answer_that_one_node_sent_to_another_was_passed_on_by_that() {
        let words = told(Some(QUESTION));
        assert!(words.contains(" passed on what n1 decided at 0.002 s"), "{words}");
    }
}
