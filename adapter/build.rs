//! Embeds the adapters that come with the program, so that one binary is the whole product.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let adapters = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../adapters");
    println!("cargo:rerun-if-changed=../adapters");
    let mut table =
        String::from("type File = (&'static str, &'static str);\nstatic BUILTIN: &[(&str, &[File])] = &[\n");
    for folder in entries(&adapters).into_iter().filter(|path| path.join("adapter.toml").is_file()) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let _ = writeln!(table, "    ({name:?}, &[");
        add(&name, &folder, &folder, &mut table);
        table.push_str("    ]),\n");
    }
    table.push_str("];\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("builtin.rs");
    fs::write(out, table).expect("OUT_DIR is writable");
}

/// Adds the files of a folder. They are named from the crate's own folder: clones may share a target folder, and this
/// table with it.
fn add(adapter: &str, root: &Path, folder: &Path, table: &mut String) {
    for path in entries(folder) {
        let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        if path.is_dir() {
            add(adapter, root, &path, table);
        } else if [".toml", ".jq", ".graphql"].iter().any(|ending| relative.ends_with(ending)) {
            let path = format!("/../adapters/{adapter}/{relative}");
            let include = format!("include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {path:?}))");
            let _ = writeln!(table, "        ({relative:?}, {include}),");
        }
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}
