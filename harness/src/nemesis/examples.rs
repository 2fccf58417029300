//! How faults are written that a plan names one by one.

use serde::Serialize;

/// One kind of them, or one way in which a kind differs much.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Example {
    /// The kind.
    pub kind: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
    /// How it is written in a plan.
    pub written: &'static str,
}

/// An example of every kind of faults there is.
pub const EXAMPLES: &[Example] = &[
    Example {
        kind: "partition",
        about: "messages on some links are lost while it lasts",
        written: r#"fault = { kind = "partition", shape = { shape = "isolate", target = "leader" } }"#,
    },
    Example {
        kind: "delay",
        about: "messages take longer, each by a time of its own",
        written: r#"fault = { kind = "delay", shape = { shape = "halves" }, longest = "100ms" }"#,
    },
    Example {
        kind: "reorder",
        about: "some messages take longer, and others overtake them",
        written: r#"fault = { kind = "reorder", shape = { shape = "everywhere" }, chance = "1/4", longest = "300ms" }"#,
    },
    Example {
        kind: "delay-spike",
        about: "messages wait until it ends, and then arrive together",
        written: r#"fault = { kind = "delay-spike", shape = { shape = "deaf", target = "follower" } }"#,
    },
    Example {
        kind: "loss",
        about: "some messages are lost",
        written: r#"fault = { kind = "loss", shape = { shape = "everywhere" }, chance = "1/3" }"#,
    },
    Example {
        kind: "duplicate",
        about: "some messages arrive again",
        written: r#"fault = { kind = "duplicate", shape = { shape = "everywhere" }, chance = "1/3", latest = "300ms" }"#,
    },
    Example {
        kind: "flap",
        about: "links are cut and whole in turns",
        written: r#"fault = { kind = "flap", shape = { shape = "mute", target = { node = 2 } }, every = "200ms" }"#,
    },
    Example {
        kind: "bandwidth",
        about: "links carry so many bytes a second; what finds no room to wait is lost",
        written: r#"fault = { kind = "bandwidth", shape = { shape = "everywhere" }, bytes_a_second = 20000, queue_bytes = 10000 }"#,
    },
    Example {
        kind: "drop",
        about: "one message is lost, the n-th of a kind that is sent while it lasts",
        written: r#"fault = { kind = "drop", message = { of = "append", from = "leader", to = { node = 2 }, nth = 2 } }"#,
    },
    Example {
        kind: "crash",
        about: "nodes lose power until it ends; what was not synced is gone",
        written: r#"fault = { kind = "crash", target = "leader" }"#,
    },
    Example {
        kind: "restart",
        about: "nodes lose power and start again when it ends, which may be soon",
        written: r#"fault = { kind = "restart", target = "all" }"#,
    },
    Example {
        kind: "kill",
        about: "processes end until it ends; what was written stays, synced or not",
        written: r#"fault = { kind = "kill", target = "minority" }"#,
    },
    Example {
        kind: "pause",
        about: "processes stand still; messages wait, clocks go on",
        written: r#"fault = { kind = "pause", target = "leader" }"#,
    },
    Example {
        kind: "slow",
        about: "each message keeps a node busy for so long, and each sync takes as much longer",
        written: r#"fault = { kind = "slow", target = "one", cost = "5ms" }"#,
    },
    Example {
        kind: "rolling-restart",
        about: "the processes of all nodes end and start again, one after the other",
        written: r#"fault = { kind = "rolling-restart", down = "500ms", apart = "1s" }"#,
    },
    Example {
        kind: "clock-jump",
        about: "wall clocks are ahead by so many milliseconds, or behind",
        written: r#"fault = { kind = "clock-jump", target = "leader", by_ms = -500 }"#,
    },
    Example {
        kind: "clock-drift",
        about: "clocks count so many nanoseconds of so many that pass",
        written: r#"fault = { kind = "clock-drift", target = "minority", rate = { counts = 1, of = 4 } }"#,
    },
    Example {
        kind: "clock-strobe",
        about: "wall clocks jump to and fro",
        written: r#"fault = { kind = "clock-strobe", target = "one", by_ms = 2000, every = "100ms" }"#,
    },
    Example {
        kind: "wipe",
        about: "nodes lose power and disk, and start with nothing when it ends",
        written: r#"fault = { kind = "wipe", target = "majority" }"#,
    },
    Example {
        kind: "membership",
        about: "the system adds a node, removes one, or replaces one by another",
        written: r#"fault = { kind = "membership", change = { replace = { target = "leader" } } }"#,
    },
    Example {
        kind: "membership",
        about: "the same: a spare node comes",
        written: r#"fault = { kind = "membership", change = "add" }"#,
    },
    Example {
        kind: "disk",
        about: "syncs take longer",
        written: r#"fault = { kind = "disk", target = "one", defect = { slow = { longest = "50ms" } } }"#,
    },
    Example {
        kind: "disk",
        about: "nothing more fits on disks",
        written: r#"fault = { kind = "disk", target = "leader", defect = "full" }"#,
    },
    Example {
        kind: "disk",
        about: "of so many reads, writes and syncs, one fails",
        written: r#"fault = { kind = "disk", target = "leader", defect = { error = { one_of = 3 } } }"#,
    },
    Example {
        kind: "disk",
        about: "the next sync fails, says so once, and has lost what it was to make last",
        written: r#"fault = { kind = "disk", target = "follower", defect = "sync-fail" }"#,
    },
    Example {
        kind: "disk",
        about: "bits of what was synced flip",
        written: r#"fault = { kind = "disk", target = "one", defect = { bit-flip = { bits = 8 } } }"#,
    },
    Example {
        kind: "disk",
        about: "syncs lie; when it ends, the power is lost, and what they lied about",
        written: r#"fault = { kind = "disk", target = "all", defect = "lost-writes" }"#,
    },
    Example {
        kind: "disk",
        about: "when it ends, disks hold what they held when it began",
        written: r#"fault = { kind = "disk", target = "one", defect = "rollback" }"#,
    },
];

/// What targets there are, and shapes of links, in a sentence each.
pub const TARGETS_AND_SHAPES: [&str; 4] = [
    "target: \"one\", \"leader\", \"follower\", \"minority\", \"leader-with-minority\", \"majority\", \"all\" or { node = 2 }",
    "shape: \"isolate\", \"mute\", \"deaf\" (one way), each with a target: links between nodes; \"halves\", \"majorities-ring\", \"bridge\"",
    "shape: \"clients\", \"requests\", \"answers\" (one way), each with a target: links with clients; \"everywhere\": all links",
    "from, to: \"leader\", \"follower\", \"clients\", \"anyone\" or { node = 2 }",
];
