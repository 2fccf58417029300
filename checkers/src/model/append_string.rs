//! A text that is put, added to at its end, and read: one key of Porcupine's key-value model.

use std::collections::BTreeMap;

use super::SequentialSpec;

/// The text. A history of it says in [`puts_left`](Self::puts_left) what it is going to put.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AppendString {
    /// What it holds.
    pub text: String,
    /// The texts that are still to be put in its place, and how often. From one to the next it only
    /// grows: so a search can tell, from what it holds, that a read can no longer be explained.
    pub puts_left: BTreeMap<String, u32>,
}

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
            AppendOp::Get => return AppendRet::Text(self.text.clone()),
            AppendOp::Put(text) => {
                self.text.clone_from(text);
                if let Some(left) = self.puts_left.get_mut(text) {
                    *left -= 1;
                    if *left == 0 {
                        self.puts_left.remove(text);
                    }
                }
            }
            AppendOp::Append(text) => self.text.push_str(text),
        }
        AppendRet::Done
    }

    fn is_valid_step(&mut self, op: &AppendOp, ret: &AppendRet) -> bool {
        match (op, ret) {
            (AppendOp::Get, AppendRet::Text(text)) => self.text == *text,
            _ => self.invoke(op) == *ret,
        }
    }

    fn is_pure(op: &AppendOp, _ret: &AppendRet) -> bool {
        *op == AppendOp::Get
    }

    fn may_return(&self, _op: &AppendOp, ret: &AppendRet) -> bool {
        match ret {
            AppendRet::Text(text) => {
                let may_grow_from = |begin: &String| text.starts_with(&**begin);
                may_grow_from(&self.text) || self.puts_left.keys().any(may_grow_from)
            }
            AppendRet::Done => true,
        }
    }

    fn heap_bytes(&self) -> usize {
        let puts = self.puts_left.keys().map(|text| text.capacity() + size_of::<(String, u32)>());
        self.text.capacity() + puts.sum::<usize>()
    }
}
