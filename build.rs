//! Migrations are embedded at compile time; cargo must notice a new one.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
