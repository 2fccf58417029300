//! What each key is taken for: the model that offers all that is asked of it.

use std::cell::LazyCell;
use std::collections::BTreeSet;

use crate::history::{History, KeyId, Kinds, Op, OpKind, Operation, Value};

/// What a key is taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Model {
    /// Whatever its operations say.
    #[default]
    Auto,
    /// A register; also with compare-and-set.
    Register,
    /// A text that is added to.
    AppendString,
    /// A set.
    Set,
    /// A counter.
    Counter,
    /// A queue.
    FifoQueue,
    /// A lock.
    Mutex,
    /// Registers that transactions read and write.
    MultiRegister,
}

impl Model {
    /// Every model, with the name in flags.
    pub const ALL: [(&'static str, Model); 10] = [
        ("auto", Model::Auto),
        ("register", Model::Register),
        ("cas-register", Model::Register),
        ("append-string-kv", Model::AppendString),
        ("append-string", Model::AppendString),
        ("set", Model::Set),
        ("counter", Model::Counter),
        ("fifo-queue", Model::FifoQueue),
        ("mutex", Model::Mutex),
        ("multi-register", Model::MultiRegister),
    ];

    /// The name in flags.
    pub fn name(self) -> &'static str {
        let known = Model::ALL.iter().rev().find(|(_, model)| *model == self);
        known.map(|(name, _)| *name).expect("every model is in the table")
    }

    /// What can be asked of it.
    fn offers(self) -> Kinds {
        Kinds::of(match self {
            Model::Auto => &OpKind::ALL,
            Model::Register => &OpKind::REGISTER,
            Model::AppendString => &[OpKind::Read, OpKind::Write, OpKind::Append],
            Model::Set => &[OpKind::Read, OpKind::Add, OpKind::Remove],
            Model::Counter => &[OpKind::Read, OpKind::Increment],
            Model::FifoQueue => &[OpKind::Enqueue, OpKind::Dequeue],
            Model::Mutex => &[OpKind::Acquire, OpKind::Release],
            Model::MultiRegister => &[OpKind::Txn],
        })
    }
}

impl Kinds {
    /// Whether they are of what no model is of, and a checker of its own judges.
    fn have_a_checker(self) -> bool {
        const OTHERS: [OpKind; 6] = [
            OpKind::Generate,
            OpKind::Send,
            OpKind::Poll,
            OpKind::Commit,
            OpKind::Committed,
            OpKind::Echo,
        ];
        OTHERS.iter().any(|kind| self.contains(*kind))
    }

    /// The models that offer all of them.
    fn offered_by(self) -> BTreeSet<Model> {
        let models = Model::ALL.iter().skip(1).map(|(_, model)| *model);
        models.filter(|model| self.are_in(model.offers())).collect()
    }
}

/// What the keys of a history are taken for.
pub(super) struct Keys {
    /// By key; none where no model fits.
    pub(super) models: Vec<Option<Model>>,
    /// Why no model fits a key, each in a sentence.
    pub(super) reasons: Vec<String>,
}

impl Keys {
    /// Takes every key for what the history [says](History::taken_for), or else for what its operations
    /// say.
    pub(super) fn new(history: &History) -> Keys {
        match history.model() {
            Model::Auto => Keys::by_operations(history),
            model => Keys::all(history, model),
        }
    }

    /// Takes every key for what its operations say. Where it was only read, which fits several models,
    /// the keys that fit only one tell which: whoever keeps sets reads sets. Otherwise it is a register,
    /// unless it was only read and held what an empty set, counter or text holds; or, where other keys are
    /// texts that are added to, it holds texts and was empty: to them, that is being absent.
    fn by_operations(history: &History) -> Keys {
        let mut known: Vec<(Kinds, BTreeSet<Model>)> = Vec::new();
        let mut certain: BTreeSet<Model> = BTreeSet::new();
        let kinds = history.kinds();
        for kinds in kinds {
            if !known.iter().any(|(other, _)| other == kinds) {
                let models = kinds.offered_by();
                if models.len() == 1 {
                    certain.extend(&models);
                }
                known.push((*kinds, models));
            }
        }
        let only_read = Kinds::of(&[OpKind::Read]);
        let may_be_any = LazyCell::new(|| {
            let of_key = |read: &Operation<'_>| kinds[read.op.key().index()];
            let reads = history.operations().filter(|read| of_key(read) == only_read);
            reads.filter_map(|read| read.value_read()).any(|value| history.value(value).is_blank())
        });
        let may_be_text = LazyCell::new(|| texts(history));
        let only_txns = Kinds::of(&[OpKind::Txn]);
        let only_lists = LazyCell::new(|| transactions_only_read_lists(history));
        let model = |key: KeyId, kinds: Kinds| {
            let (_, models) = known.iter().find(|(other, _)| *other == kinds)?;
            let likely: Vec<Model> = models.intersection(&certain).copied().collect();
            match likely[..] {
                [Model::AppendString] if models.len() > 1 && kinds != only_read => {
                    let is_text = may_be_text[key.index()];
                    Some(if is_text { Model::AppendString } else { Model::Register })
                }
                _ if kinds == only_txns && *only_lists => None,
                [one] => Some(one),
                [_, ..] if kinds == only_read => None,
                [] if kinds == only_read && *may_be_any => None,
                _ => models.first().copied(),
            }
        };
        let fits_none = |key: KeyId, kinds: Kinds| {
            if kinds.offered_by().is_empty() {
                let names = kinds.names();
                format!("no model offers all that is asked of key {}: {names}", history.key(key))
            } else {
                format!("key {} was only read: nothing says what it is", history.key(key))
            }
        };
        Keys::by(kinds, model, fits_none)
    }

    /// Takes every key for this model, or for what the history says.
    pub(super) fn taken_for(history: &History, model: Model) -> Keys {
        match model {
            Model::Auto => Keys::new(history),
            model => Keys::all(history, model),
        }
    }

    /// Takes every key for the same.
    fn all(history: &History, model: Model) -> Keys {
        let fits = |_, kinds: Kinds| Some(model).filter(|model| kinds.are_in(model.offers()));
        let fits_none = |key: KeyId, kinds: Kinds| {
            format!(
                "the model {} does not offer all that is asked of key {}: {}",
                model.name(),
                history.key(key),
                kinds.names()
            )
        };
        Keys::by(history.kinds(), fits, fits_none)
    }

    fn by(
        kinds: &[Kinds],
        model: impl Fn(KeyId, Kinds) -> Option<Model>,
        fits_none: impl Fn(KeyId, Kinds) -> String,
    ) -> Keys {
        let of_keys = (0..).map(KeyId).zip(kinds);
        let models: Vec<Option<Model>> = of_keys.map(|(key, kinds)| model(key, *kinds)).collect();
        let mut reasons = Vec::new();
        for ((key, kinds), model) in (0..).map(KeyId).zip(kinds).zip(&models) {
            // Generators of unique values, logs and echoes have checkers of their own.
            if model.is_none() && !kinds.have_a_checker() {
                reasons.push(fits_none(key, *kinds));
            }
        }
        Keys { models, reasons }
    }

    /// How many keys are taken for this.
    pub(super) fn count(&self, model: Model) -> usize {
        self.models.iter().filter(|known| **known == Some(model)).count()
    }

    /// Whether the key is taken for this.
    pub(super) fn are(&self, key: KeyId, model: Model) -> bool {
        self.models[key.index()] == Some(model)
    }
}

/// Whether transactions do nothing but read, and what one of them read is a list: nobody says whether that is a
/// value which was written, or what was appended.
fn transactions_only_read_lists(history: &History) -> bool {
    let mut shows_a_list = false;
    for operation in history.operations() {
        let Op::Txn { body, .. } = operation.op else { continue };
        for body in [Some(body), operation.value_read()].into_iter().flatten() {
            let Value::List(steps) = history.value(body) else { continue };
            for step in steps.iter() {
                let Value::List(parts) = step else { continue };
                match &parts[..] {
                    [Value::Text(name), _, shown] if matches!(&**name, "r" | "read") => {
                        shows_a_list |= matches!(shown, Value::List(_));
                    }
                    _ => return false,
                }
            }
        }
    }
    shows_a_list
}

/// Which keys hold nothing but texts, and were the empty one.
fn texts(history: &History) -> Vec<bool> {
    let mut others = vec![false; history.key_count()];
    let mut empty = others.clone();
    for operation in history.operations() {
        let key = operation.op.key().index();
        for value in [operation.value_read(), operation.value_written()].into_iter().flatten() {
            match history.value(value) {
                Value::Text(text) => empty[key] |= text.is_empty(),
                Value::Nil => {}
                Value::Int(_) | Value::List(_) => others[key] = true,
            }
        }
    }
    empty.iter().zip(others).map(|(empty, other)| *empty && !other).collect()
}
