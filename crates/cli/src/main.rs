//! `firesteel`: the SQL shell. A thin start; see [`run`].

mod args;
mod failure;
mod format;
mod interrupt;
mod meta;
mod pager;
mod progress;
mod repl;
mod run;
mod sample;
mod script;
mod shell;
mod sink;
mod warnings;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    run::main()
}
