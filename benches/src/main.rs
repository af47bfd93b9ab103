//! `firesteel-bench`: TPC-H data, runs of its queries with verified answers, comparisons of runs, the same queries in
//! other engines, and what skew and wrong estimates cost.

mod args;
mod compare;
mod data;
mod engine;
mod environment;
mod estimates;
mod failure;
mod r#gen;
mod peers;
mod report;
mod run;
mod skew;
mod skewed;
mod suite;
mod turns;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Command, CommandLine};
use crate::failure::Failure;

fn main() -> ExitCode {
    firesteel_allocator::configure();
    let outcome = match CommandLine::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Gen(args) => r#gen::generate(&args).map(|()| true),
        Command::Skew(args) => skew::run(&args),
        Command::Estimates(args) => estimates::run(&args),
        Command::Compare(args) => compare::compare(&args).map(|()| true),
        Command::Peers(args) => peers::peers(&args),
        Command::Serve => peers::serve().map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(if matches!(failure, Failure::Usage(_)) { 2 } else { 1 })
        }
    }
}
