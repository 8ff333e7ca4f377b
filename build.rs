//! Bundles the GraphiQL page with npm, so that the binary can serve it offline. Without npm, with a registry out of
//! reach, or with `ORDER_CENTER_SKIP_GRAPHIQL` set, the page loads pinned files from a CDN instead. A build never
//! fails for the sake of this page, and never writes into the source tree.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What the bundle is made of. The examples are read by the page itself and need no bundling.
const SOURCES: [&str; 7] =
    [".npmrc", "build.mjs", "package.json", "package-lock.json", "src/main.js", "src/page.css", "src/page.js"];
/// Longer than a slow `npm ci`, shorter than anyone's patience.
const NPM_LIMIT: Duration = Duration::from_secs(180);

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    println!("cargo:rerun-if-env-changed=ORDER_CENTER_SKIP_GRAPHIQL");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=graphiql/src");
    for name in SOURCES.iter().filter(|name| !name.starts_with("src/")) {
        println!("cargo:rerun-if-changed=graphiql/{name}");
    }
    println!("cargo:rerun-if-changed=migrations"); // embedded at compile time: cargo must notice a new one

    let source = root.join("graphiql");
    let bundle = if env::var_os("ORDER_CENTER_SKIP_GRAPHIQL").is_some() {
        None
    } else {
        bundle(&source, &out.join("graphiql"))
            .inspect_err(|why| {
                println!("cargo:warning=GraphiQL is not embedded; the page will load it from a CDN: {why}")
            })
            .ok()
    };
    let table = table(bundle.as_deref(), &source.join("src/examples"));
    fs::write(out.join("graphiql_assets.rs"), table).expect("OUT_DIR is writable");
}

/// The folder of gzipped files, built anew only when a source changed.
fn bundle(source: &Path, work: &Path) -> Result<PathBuf, String> {
    let mut hasher = DefaultHasher::new();
    for name in SOURCES {
        fs::read(source.join(name)).map_err(|e| format!("{name}: {e}"))?.hash(&mut hasher);
    }
    let stamp = format!("{:016x}", hasher.finish());
    let (dist, stamp_file) = (work.join("dist"), work.join("stamp"));
    if fs::read_to_string(&stamp_file).is_ok_and(|built| built == stamp) {
        return Ok(dist);
    }

    fs::create_dir_all(work.join("src")).map_err(|e| e.to_string())?;
    for name in SOURCES {
        fs::copy(source.join(name), work.join(name)).map_err(|e| format!("{name}: {e}"))?;
    }
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let install = ["ci", "--ignore-scripts", "--prefer-offline", "--fetch-retries=1", "--fetch-timeout=30000"];
    run(npm, &install, work)?;
    run("node", &["build.mjs", "dist"], work)?;
    // Some 220 MB that nothing needs any more.
    fs::remove_dir_all(work.join("node_modules")).map_err(|e| e.to_string())?;
    fs::write(stamp_file, stamp).map_err(|e| e.to_string())?;
    Ok(dist)
}

fn run(program: &str, args: &[&str], folder: &Path) -> Result<(), String> {
    let log = folder.join(format!("{}.log", program.trim_end_matches(".cmd")));
    let file = fs::File::create(&log).map_err(|e| e.to_string())?;
    let mut child = Command::new(program)
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file)
        .spawn()
        .map_err(|e| format!("cannot start {program}: {e}"))?;
    let deadline = Instant::now() + NPM_LIMIT;
    loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("{program} ended with {status}, see {}", log.display())),
            None if Instant::now() > deadline => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{program} took longer than {} s", NPM_LIMIT.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// The Rust source of the embedded tables: the bundle's files (name without `.gz`, bytes) and the example tabs
/// (query, variables).
fn table(bundle: Option<&Path>, examples: &Path) -> String {
    let mut text = String::from("static BUNDLE: Option<&[(&str, &[u8])]> = ");
    match bundle {
        None => text.push_str("None"),
        Some(folder) => {
            text.push_str("Some(&[\n");
            for path in files(folder, ".gz") {
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                let _ = writeln!(text, "    ({name:?}, include_bytes!({path:?})),");
            }
            text.push_str("])");
        }
    }
    text.push_str(";\nstatic EXAMPLES: &[(&str, &str)] = &[\n");
    // Named from the crate's own folder: clones may share a target folder, and this file with it.
    let include = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        format!("include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/graphiql/src/examples/{name}\"))")
    };
    for path in files(examples, ".graphql") {
        let variables = path.with_extension("variables.json");
        let variables = if variables.is_file() { include(&variables) } else { "\"\"".into() };
        let _ = writeln!(text, "    ({}, {variables}),", include(&path));
    }
    text.push_str("];\n");
    text
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|e| e.path()).filter(|p| p.to_string_lossy().ends_with(ending)).collect();
    files.sort();
    files
}
