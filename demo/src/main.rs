//! The program `demo`.

use std::process::ExitCode;

fn main() -> ExitCode {
    demo::command::main()
}
