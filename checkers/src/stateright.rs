//! Specifications that were written for [stateright](https://docs.rs/stateright), as they are.

use std::hash::Hash;

use stateright::semantics::SequentialSpec as Theirs;

use crate::checker::linearizable::Call;
use crate::model::SequentialSpec;

/// A specification of stateright, or what is asked of one or returned by it, which the search judges
/// by. Of equality only [`PartialEq`] is asked, since theirs has no more: it has to be reflexive all
/// the same, which it is for everything but `NaN`.
///
/// Operations are never taken for pure, and nothing is known of the states: with some lines that
/// implement [`SequentialSpec`] itself, the same is found sooner.
///
/// ```
/// use stateright::semantics::register::{Register, RegisterOp, RegisterRet};
/// use stormglass_checkers::checker::linearizable::{Budget, Found, search};
/// use stormglass_checkers::stateright::Stateright;
///
/// // A read that began after the write was over returned what had been there before.
/// let calls = [
///     Stateright::<Register<char>>::call(RegisterOp::Write('b'), Some(RegisterRet::WriteOk), 0, 1),
///     Stateright::call(RegisterOp::Read, Some(RegisterRet::ReadOk('a')), 2, 3),
/// ];
/// let found = search(&Stateright(Register('a')), &calls, &mut Budget::of_states(1_000));
/// assert_eq!(found, Found::NoOrder { stuck: 1 });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Hash)]
pub struct Stateright<T>(pub T);

impl<T: PartialEq> Eq for Stateright<T> {}

impl<S> Stateright<S>
where
    S: Theirs + Clone + PartialEq + Hash,
    S::Op: Clone + PartialEq + Hash,
    S::Ret: Clone + PartialEq + Hash,
{
    /// An operation of it: what was asked, what was answered (none if that is not known), and the
    /// numbers of the events of its invocation and its completion.
    pub fn call(
        op: S::Op,
        ret: Option<S::Ret>,
        invoked: u32,
        completed: u32,
    ) -> Call<Stateright<S>> {
        Call { op: Stateright(op), ret: ret.map(Stateright), invoked, completed }
    }
}

impl<S> SequentialSpec for Stateright<S>
where
    S: Theirs + Clone + PartialEq + Hash,
    S::Op: Clone + PartialEq + Hash,
    S::Ret: Clone + PartialEq + Hash,
{
    type Op = Stateright<S::Op>;
    type Ret = Stateright<S::Ret>;

    fn invoke(&mut self, op: &Self::Op) -> Self::Ret {
        Stateright(self.0.invoke(&op.0))
    }

    fn is_valid_step(&mut self, op: &Self::Op, ret: &Self::Ret) -> bool {
        self.0.is_valid_step(&op.0, &ret.0)
    }
}
