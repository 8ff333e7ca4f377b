//! The program `order-module`.

use std::process::ExitCode;

fn main() -> ExitCode {
    order_modules::command::main()
}
