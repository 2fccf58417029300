//! Entropy that comes from the seed of the run.
//!
//! Libraries draw it from the operating system, by the function `getrandom` of the C library or by the system call of that
//! name. A program that this crate is linked into has both, and they give each thread numbers of its own, which
//! [`seed`] decides. Libraries that look the function up while they run find it where the program exports it: its
//! `build.rs` must say `cargo::rustc-link-arg-bins=-Wl,--export-dynamic-symbol=getrandom`.
//!
//! What has drawn once and keeps the numbers for longer than a run (the generator of a thread, the keys of hash maps)
//! is not the same in the next run of the process: so there is one process for each run.

use std::cell::Cell;
use std::ffi::{c_int, c_long, c_void};

use stormglass::prelude::NodeCx;

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0x5eed) };
}

/// Lets what this thread draws from now on be decided by the seed of the run, the node, and its start.
pub fn seed(cx: &NodeCx) {
    // Without a use, the linker might leave both functions out.
    std::hint::black_box((getrandom as *const (), syscall as *const ()));
    STATE.set(cx.random("entropy").number());
}

/// Numbers of splitmix64 (Steele, Lea & Flood 2014).
fn next() -> u64 {
    let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Fills memory with random bytes, as the function of that name in the C library.
///
/// # Safety
/// `buffer` must point to `len` bytes that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut c_void, len: usize, _flags: u32) -> isize {
    for (place, byte) in (0..len).zip(std::iter::repeat_with(next).flat_map(u64::to_le_bytes)) {
        // SAFETY: the caller says that so many bytes may be written.
        unsafe { buffer.cast::<u8>().add(place).write(byte) };
    }
    isize::try_from(len).expect("memory is smaller than that")
}

/// Makes a system call, as the function of that name in the C library; but for entropy.
///
/// # Safety
/// As the system call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    if number == libc::SYS_getrandom {
        // SAFETY: the call has the arguments of the function.
        return unsafe { getrandom(a as *mut c_void, b, c as u32) } as c_long;
    }
    // SAFETY: the caller answers for the call.
    let returned = unsafe { call(number, [a, b, c, d, e, f]) };
    if (-4095..0).contains(&returned) {
        // SAFETY: the C library gives a place that belongs to this thread.
        unsafe { *libc::__errno_location() = -returned as c_int };
        return -1;
    }
    returned
}

#[cfg(target_arch = "x86_64")]
unsafe fn call(number: c_long, [a, b, c, d, e, f]: [usize; 6]) -> c_long {
    let returned;
    // SAFETY: this is how Linux is called; it changes these two registers besides.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number => returned,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    returned
}

#[cfg(target_arch = "aarch64")]
unsafe fn call(number: c_long, [a, b, c, d, e, f]: [usize; 6]) -> c_long {
    let returned;
    // SAFETY: this is how Linux is called.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a => returned,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack),
        );
    }
    returned
}
