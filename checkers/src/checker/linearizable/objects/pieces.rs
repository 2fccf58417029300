//! Texts that miss what was appended, or have it in another order.
//!
//! Where nothing is put in its place, a text only grows. So what was appended before a read began is in what
//! it shows, behind whatever somebody had read before that; and of two, the one that was over before the
//! other one began is in front. Where there is one place at which each of them can be, that is where they
//! are, whatever else was appended: two or three operations prove what is wrong, of any number.

use super::Smaller;
use crate::checker::linearizable::search::Call;
use crate::checker::linearizable::shrink::Part;
use crate::model::append_string::{AppendOp, AppendRet, AppendString};

/// A text that was appended before a read began, and the only place that it can have there.
#[derive(Clone, Copy)]
struct Placed {
    append: usize,
    /// The read, and from where on it can be there.
    read: usize,
    from: usize,
    at: usize,
}

/// The first read, in the order in which they began, that does not show what was appended before it; or
/// two texts that are in another order than they were appended in, and the read that shows them so.
pub(super) fn misplaced(
    start: &AppendString,
    calls: &[Call<AppendString>],
) -> Option<Smaller<usize, AppendString>> {
    let placed = match places(start, calls) {
        Ok(placed) => placed,
        Err(missing) => return Some(missing),
    };
    let mut by_end: Vec<&Placed> = placed.iter().collect();
    by_end.sort_by_key(|one| calls[one.append].completed);
    let mut by_end = by_end.into_iter().peekable();
    let mut by_begin: Vec<&Placed> = placed.iter().collect();
    by_begin.sort_by_key(|one| calls[one.append].invoked);
    let mut furthest: Option<&Placed> = None;
    for later in by_begin {
        let is_over = |one: &&Placed| calls[one.append].completed < calls[later.append].invoked;
        while let Some(over) = by_end.next_if(is_over) {
            furthest = furthest.filter(|known| known.at >= over.at).or(Some(over));
        }
        let before = furthest.filter(|before| before.at > later.at);
        let swapped = before.and_then(|before| swapped(start, calls, before, later));
        if swapped.is_some() {
            return swapped;
        }
    }
    None
}

/// Where each text is that was appended before a read began, if only one place can be; in the first such read.
fn places(
    start: &AppendString,
    calls: &[Call<AppendString>],
) -> Result<Vec<Placed>, Smaller<usize, AppendString>> {
    let reads = |place: &usize| shown(calls, *place).is_some();
    let mut by_begin: Vec<usize> = (0..calls.len()).filter(reads).collect();
    let mut by_end = by_begin.clone();
    by_begin.sort_by_key(|place| calls[*place].invoked);
    by_end.sort_by_key(|place| calls[*place].completed);
    // What was read before each of them began is in front of it.
    let mut longest: Vec<Option<usize>> = Vec::new();
    for read in &by_end {
        let known = longest.last().copied().flatten();
        let len = |read: usize| shown(calls, read).map_or(0, str::len);
        let is_longer = known.is_none_or(|known| len(*read) > len(known));
        longest.push(if is_longer { Some(*read) } else { known });
    }
    let mut placed = Vec::new();
    for (append, call) in calls.iter().enumerate() {
        let Some(text) = appended(call).filter(|_| call.ret.is_some()) else { continue };
        let next = by_begin.partition_point(|read| calls[*read].invoked <= call.completed);
        let Some(&read) = by_begin.get(next) else { continue };
        let whole = shown(calls, read).expect("it is a read");
        let over = by_end.partition_point(|read| calls[*read].completed < call.invoked);
        let before = over.checked_sub(1).and_then(|last| longest[last]);
        let in_front = before.map_or(&*start.0, |before| shown(calls, before).unwrap_or_default());
        // One that does not begin with what was read before is wrong for another reason.
        let Some(rest) = whole.strip_prefix(in_front) else { continue };
        let from = in_front.len();
        match rest.find(text) {
            None => {
                let shown_by = before.filter(|_| whole.contains(text));
                return Err(Smaller {
                    start: nothing(),
                    shown_by,
                    calls: missing(calls, append, read),
                });
            }
            Some(at) if rest.rfind(text) == Some(at) => {
                placed.push(Placed { append, read, from, at: from + at });
            }
            Some(_) => {}
        }
    }
    Ok(placed)
}

/// Of all that was appended only what a read does not show.
fn missing(calls: &[Call<AppendString>], append: usize, read: usize) -> Part<usize, AppendString> {
    let nothing = AppendRet::Text(String::new());
    vec![
        (append, calls[append].clone()),
        (read, Call { ret: Some(nothing), ..calls[read].clone() }),
    ]
}

/// Of all that was appended only two texts, with a read that shows them in the other order.
fn swapped(
    start: &AppendString,
    calls: &[Call<AppendString>],
    before: &Placed,
    later: &Placed,
) -> Option<Smaller<usize, AppendString>> {
    let read = [before, later].into_iter().max_by_key(|one| calls[one.read].invoked)?.read;
    let whole = shown(calls, read)?;
    // Where each of them is in one and the same read, if only one place can be.
    let place = |one: &Placed| {
        let (rest, text) = (whole.get(one.from..)?, appended(&calls[one.append])?);
        let at = rest.find(text)?;
        (rest.rfind(text) == Some(at)).then_some((one.from + at, text))
    };
    let ((first, text), (second, of_later)) = (place(before)?, place(later)?);
    let is_swapped = second + of_later.len() <= first && whole.starts_with(&*start.0);
    is_swapped.then(|| {
        let both = AppendRet::Text(format!("{of_later}{text}"));
        let read = (read, Call { ret: Some(both), ..calls[read].clone() });
        let [before, later] = [before, later].map(|one| (one.append, calls[one.append].clone()));
        Smaller { start: nothing(), shown_by: None, calls: vec![before, later, read] }
    })
}

fn nothing() -> AppendString {
    AppendString::default()
}

fn appended(call: &Call<AppendString>) -> Option<&str> {
    match &call.op {
        AppendOp::Append(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn shown(calls: &[Call<AppendString>], place: usize) -> Option<&str> {
    match &calls[place].ret {
        Some(AppendRet::Text(text)) => Some(text),
        _ => None,
    }
}
