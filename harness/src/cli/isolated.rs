//! `stormglass isolated`: plays one run for another process of this program, which asks on the standard input.

use anyhow::anyhow;

use super::Context;
use crate::isolated;

pub(super) fn execute(context: &Context) -> anyhow::Result<u8> {
    let mut answer = Vec::new();
    isolated::serve(context.systems, std::io::stdin().lock(), &mut answer)
        .map_err(|error| anyhow!(error))?;
    context.output.bytes(&answer)?;
    Ok(0)
}
