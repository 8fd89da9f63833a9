//! `striate completions SHELL`: a script for the shell.

use clap::CommandFactory;
use striate::Result;

use crate::args::{Cli, CompletionsArgs};
use crate::out;

pub fn run(args: &CompletionsArgs) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "striate", &mut script);
    out::raw(&script);
    Ok(())
}
