//! A text that is put, added to at its end, and read: one key of Porcupine's key-value model.

use super::SequentialSpec;

/// The text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AppendString(pub String);

/// What can be asked of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AppendOp {
    /// Returns what it holds.
    Get,
    /// Makes it hold the text.
    Put(String),
    /// Adds the text at its end.
    Append(String),
}

/// What it returns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AppendRet {
    /// What it holds.
    Text(String),
    /// It was put, or added to.
    Done,
}

impl SequentialSpec for AppendString {
    type Op = AppendOp;
    type Ret = AppendRet;

    fn invoke(&mut self, op: &AppendOp) -> AppendRet {
        match op {
            AppendOp::Get => return AppendRet::Text(self.0.clone()),
            AppendOp::Put(text) => self.0.clone_from(text),
            AppendOp::Append(text) => self.0.push_str(text),
        }
        AppendRet::Done
    }

    fn is_valid_step(&mut self, op: &AppendOp, ret: &AppendRet) -> bool {
        match (op, ret) {
            (AppendOp::Get, AppendRet::Text(text)) => self.0 == *text,
            _ => self.invoke(op) == *ret,
        }
    }

    fn is_pure(op: &AppendOp, _ret: &AppendRet) -> bool {
        *op == AppendOp::Get
    }

    const LOOKS_AHEAD: bool = true;

    /// What it holds now, or what is still put in its place, only grows until then: by texts of which one
    /// is next, one is last, and all together are long enough.
    fn may_return(&self, _op: &AppendOp, ret: &AppendRet, others: &[&AppendOp]) -> bool {
        let AppendRet::Text(text) = ret else { return true };
        let appended = || {
            others.iter().filter_map(|other| match other {
                AppendOp::Append(text) if !text.is_empty() => Some(&**text),
                _ => None,
            })
        };
        let may_grow_from = |begin: &str| {
            text.strip_prefix(begin).is_some_and(|rest| {
                rest.is_empty()
                    || appended().any(|next| rest.starts_with(next))
                        && appended().any(|last| rest.ends_with(last))
                        && appended().map(str::len).sum::<usize>() >= rest.len()
            })
        };
        may_grow_from(&self.0)
            || others.iter().any(|other| matches!(other, AppendOp::Put(put) if may_grow_from(put)))
    }

    fn may_grow_to(&self, _op: &AppendOp, ret: &AppendRet) -> bool {
        match ret {
            AppendRet::Text(text) => text.starts_with(&self.0),
            AppendRet::Done => true,
        }
    }

    fn shows(_op: &AppendOp, ret: &AppendRet) -> Option<AppendString> {
        match ret {
            AppendRet::Text(text) => Some(AppendString(text.clone())),
            AppendRet::Done => None,
        }
    }

    fn makes(op: &AppendOp) -> Option<AppendString> {
        match op {
            AppendOp::Put(text) => Some(AppendString(text.clone())),
            AppendOp::Get | AppendOp::Append(_) => None,
        }
    }

    fn heap_bytes(&self) -> usize {
        self.0.capacity()
    }
}
