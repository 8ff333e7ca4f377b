//! The program `order-center`.

use std::process::ExitCode;

fn main() -> ExitCode {
    order_center::command::main()
}
