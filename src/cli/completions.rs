//! `udmill completions`: a script that lets a shell complete commands and options.

use std::io;

use clap_complete::Shell;

use super::{Exit, Failure};

/// Arguments of `udmill completions`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    udmill completions bash > /etc/bash_completion.d/udmill\n  \
    udmill completions zsh > \"${fpath[1]}/_udmill\"\n  \
    udmill completions fish > ~/.config/fish/completions/udmill.fish")]
pub struct Args {
    /// The shell
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(["bash", "zsh", "fish"]))]
    shell: String,
}

/// Writes the script to standard output.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let shell = match args.shell.as_str() {
        "bash" => Shell::Bash,
        "zsh" => Shell::Zsh,
        _ => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::command(), "udmill", &mut script);
    io::Write::write_all(&mut io::stdout().lock(), &script).map_err(|fault| Failure::io("standard output", &fault))?;
    Ok(Exit::Done)
}
