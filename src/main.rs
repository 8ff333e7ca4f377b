//! The program `order-center`.

use std::process::ExitCode;

/// Mappings make and drop many small values: an order costs a quarter less CPU with it than with the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    order_center::command::main()
}
