//! The allocator of the programs: mimalloc. What is measured is what is used, so the benchmarks link it too.
//!
//! Memory that a query gives back is what the next one takes. To give it to the system in between costs a page fault when it
//! is used again, and the system clears it. So two options are not as mimalloc has them:
//! - Linux gives large areas out in pages of 2 MiB. mimalloc returns unused memory in pieces of 64 KiB, which breaks these pages
//!   up; here it returns whole ones. Grouping 10 million keys by six columns, three times: 75,000 to 110,000 page faults, with
//!   that 24,000 to 30,000.
//! - It returns what was unused for a second; here, for ten. TPC-H SF 1, all queries three times: 22,000 page faults, with that
//!   1,300, and two thirds of the time in the kernel.

use std::ffi::c_long;

use libmimalloc_sys::{mi_option_set, mi_option_t};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An option of mimalloc 3 whose number the bindings do not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocatorOption {
    number: mi_option_t,
    value: c_long,
    /// Where it is set for a process; the first has its name.
    variables: [&'static str; 2],
}

/// `mi_option_purge_delay`: milliseconds for which memory is unused before it is given back.
pub const PURGE_DELAY: AllocatorOption =
    AllocatorOption { number: 15, value: 10_000, variables: ["MIMALLOC_PURGE_DELAY", "MIMALLOC_RESET_DELAY"] };
/// `mi_option_allow_thp`. 2: memory is given back in huge pages only. (1, the default: they are used, and broken up.)
pub const ALLOW_THP: AllocatorOption =
    AllocatorOption { number: 43, value: 2, variables: ["MIMALLOC_ALLOW_THP", "MIMALLOC_MINIMAL_PURGE_SIZE"] };

/// Sets the options of the allocator. To be called when the process starts; the environment has the last word.
pub fn configure() {
    for option in [PURGE_DELAY, ALLOW_THP] {
        if option.variables.iter().all(|variable| std::env::var_os(variable).is_none()) {
            #[allow(
                unsafe_code,
                reason = "a setter of the C library that takes two numbers; `tests/options.rs` checks them"
            )]
            // SAFETY: it stores a number in a static of its own, in a slot whose index it checks.
            unsafe {
                mi_option_set(option.number, option.value);
            }
        }
    }
}

impl AllocatorOption {
    /// The variable of the environment that sets it.
    pub fn variable(self) -> &'static str {
        self.variables[0]
    }

    /// What [`configure`] sets it to.
    pub fn value(self) -> c_long {
        self.value
    }

    /// What mimalloc goes by.
    pub fn current(self) -> c_long {
        #[allow(unsafe_code, reason = "a getter of the C library")]
        // SAFETY: it reads a number from a static of its own, in a slot whose index it checks.
        unsafe {
            libmimalloc_sys::mi_option_get(self.number)
        }
    }
}
