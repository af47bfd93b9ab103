//! The allocator of the programs: mimalloc. What is measured is what is used, so the benchmarks link it too.
//!
//! Linux gives large areas out in pages of 2 MiB. mimalloc returns what was unused for a second in pieces of 4 KiB, which
//! breaks these pages up, and each piece that is used again is a page fault and is cleared anew. Grouping 10 million
//! keys by six columns, three times: 75,000 to 110,000 page faults, with [`keep_huge_pages`] 24,000 to 30,000.

use std::ffi::c_long;

use libmimalloc_sys::{mi_option_set, mi_option_t};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_allow_thp` of mimalloc 3, which the bindings do not name.
const ALLOW_THP: mi_option_t = 43;
/// Where it is set for a process.
const VARIABLES: [&str; 2] = ["MIMALLOC_ALLOW_THP", "MIMALLOC_MINIMAL_PURGE_SIZE"];
/// Memory is given back in huge pages only. (1, the default: they are used, and broken up.)
const KEEP: c_long = 2;

/// Gives unused memory back to the system in whole huge pages, if there are any. To be called when the process starts;
/// the environment has the last word.
pub fn keep_huge_pages() {
    if VARIABLES.iter().all(|variable| std::env::var_os(variable).is_none()) {
        #[allow(
            unsafe_code,
            reason = "a setter of the C library that takes two numbers; `tests/option.rs` checks them"
        )]
        // SAFETY: it stores a number in a static of its own, in a slot whose index it checks.
        unsafe {
            mi_option_set(ALLOW_THP, KEEP);
        }
    }
}

/// What mimalloc goes by.
#[doc(hidden)]
pub fn allow_thp() -> c_long {
    #[allow(unsafe_code, reason = "a getter of the C library")]
    // SAFETY: it reads a number from a static of its own, in a slot whose index it checks.
    unsafe {
        libmimalloc_sys::mi_option_get(ALLOW_THP)
    }
}
