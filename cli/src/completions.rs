//! `striate completions SHELL`: a script for the shell.

use clap::CommandFactory;
use striate::Result;

use crate::args::{Cli, CompletionsArgs};

pub fn run(args: &CompletionsArgs) -> Result<()> {
    clap_complete::generate(args.shell, &mut Cli::command(), "striate", &mut std::io::stdout());
    Ok(())
}
