//! `order-center adapter new`: the beginning of an adapter, which passes its own check.

use std::path::{Path, PathBuf};

use order_adapter::builtin_names;

use super::super::{Failure, print};

/// The files of a new adapter; `NAME` in them becomes its name.
const FILES: &[(&str, &str)] = &[
    ("adapter.toml", include_str!("scaffold/adapter.toml")),
    ("map/order.jq", include_str!("scaffold/order.jq")),
    ("fixtures/order.json", include_str!("scaffold/order.json")),
    ("fixtures/order.expected.json", include_str!("scaffold/order.expected.json")),
    ("fixtures/no-order.json", include_str!("scaffold/no-order.json")),
    ("fixtures/no-order.expected.json", include_str!("scaffold/no-order.expected.json")),
    ("README.md", include_str!("scaffold/README.md")),
];

pub(super) fn run(name: &str, parent: &Path) -> Result<(), Failure> {
    let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= 40
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !is_name {
        let rule = "at most 40 lower-case letters, digits and hyphens, a letter first";
        return Err(Failure(format!("{name:?} is no name for an adapter: {rule}, such as my-shop")));
    }
    if builtin_names().contains(&name) {
        return Err(Failure(format!("there is an adapter {name} in this program: give yours another name")));
    }
    let folder: PathBuf = parent.join(name);
    if folder.exists() {
        return Err(Failure(format!("{} exists already: nothing was written", folder.display())));
    }
    for (path, text) in FILES {
        let path = folder.join(path);
        let written = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        written
            .and_then(|()| std::fs::write(&path, text.replace("NAME", name)))
            .map_err(|e| Failure(format!("could not write {}: {e}", path.display())))?;
    }
    let folder = folder.display();
    print(&format!(
        "{folder} is an adapter that maps one made-up order. Now:\n\
         1. put a real record of the platform into {folder}/fixtures/ and see it: order-center adapter map {folder} {folder}/fixtures/order.json\n\
         2. change {folder}/map/order.jq until it says the same as the platform does\n\
         3. order-center adapter check {folder} --accept    # and look at what it keeps as expected\n"
    ))
}
