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

fn main() -> std::process::ExitCode {
    firesteel_allocator::configure();
    run::main()
}
