//! Adapter packages: kept under name and version, addressed by their content.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};
use order_adapter::{Package, builtin_names, runs};
use order_contract::SourceKey;

use super::{Catalog, CatalogError};
use crate::database::{DatabaseError, Row, Transaction};
use crate::ingest::time;
use crate::mapping::Mapper;
use crate::source::Adapter;
use crate::source::factory::{PROTOCOL, content_address};

/// The most bytes of one package: mappings are some thousand lines at most.
const BYTES_MAX: usize = 512 * 1024;
/// The most files of one package.
const FILES_MAX: usize = 200;
/// The deepest nesting of brackets in a file. Compilers recurse; no mapping that a person wrote comes near.
const NESTING_MAX: usize = 100;

/// An adapter that sources can run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageInfo {
    /// Its name.
    pub name: String,
    /// `MAJOR.MINOR.PATCH`.
    pub version: String,
    /// The platform, for people.
    pub title: String,
    /// The content's address: SHA-256 over all paths and texts, in hexadecimal.
    pub sha256: String,
    /// Whether it comes with this program.
    pub builtin: bool,
    /// When it was uploaded, or first pinned by a source; none for one that only comes with the program. UTC.
    pub created_at: Option<DateTime<Utc>>,
}

impl PackageInfo {
    /// As sources name it: `NAME@VERSION`.
    #[must_use]
    pub fn adapter(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

pub(super) type Files = BTreeMap<String, String>;

/// A package that was opened and may be stored.
struct Opened {
    info: PackageInfo,
    files: Files,
}

impl Catalog {
    /// Keeps a package. The same content again changes nothing. Fixtures that come with it must hold; they are not kept.
    ///
    /// # Errors
    /// [`CatalogError::Invalid`] with the file and line at fault, [`CatalogError::PackageExists`].
    pub async fn upload(&self, files: Files, actor: &str) -> Result<PackageInfo, CatalogError> {
        // What a stranger wrote is compiled beside the tasks that answer others.
        let opened = tokio::task::spawn_blocking(|| open(files)).await;
        let (mut opened, package) = opened.map_err(|_| invalid("the mapping cannot be compiled".to_owned()))??;
        if let Some(own) = builtin(&opened.info.name)
            && own.info.version == opened.info.version
            && own.info.sha256 != opened.info.sha256
        {
            return Err(CatalogError::PackageExists(opened.info.adapter()));
        }
        self.check_fixtures(&package).await?;
        let mut transaction = self.begin("store an adapter package").await?;
        self.store(&mut transaction, &opened, actor).await?;
        self.announce(&mut transaction).await?;
        commit(transaction, "store an adapter package").await?;
        opened.info.created_at = Some((self.clock)());
        Ok(opened.info)
    }

    async fn check_fixtures(&self, package: &Package) -> Result<(), CatalogError> {
        let mapper = Mapper::new(&self.config.factory.workers, package);
        let reports = mapper.check_fixtures(package).await.map_err(|e| invalid(e.to_string()))?;
        let failed = reports.iter().find_map(|report| Some((&report.fixture, report.failures.first()?)));
        failed.map_or(Ok(()), |(fixture, failure)| {
            let hint = "mend the mapping, or keep what it maps to now with `order-center adapter check --accept`";
            Err(invalid(format!("{fixture} does not hold: {failure}; {hint}")))
        })
    }

    /// Every adapter that a source can run on, beside the protocol: by name, newest version first.
    ///
    /// # Errors
    /// [`CatalogError::Database`].
    pub async fn packages(&self) -> Result<Vec<PackageInfo>, CatalogError> {
        let read = |e| CatalogError::Database("read the adapter packages", e);
        let sql = "select name, version, title, sha256, created_at from adapter_packages";
        let rows = self.database.fetch_all(sql, &[]).await.map_err(read)?;
        let mut found = rows.iter().map(info).collect::<Result<Vec<_>, _>>().map_err(read)?;
        for own in builtins().iter().map(|own| &own.info) {
            match found.iter_mut().find(|info| (&info.name, &info.sha256) == (&own.name, &own.sha256)) {
                Some(stored) => stored.builtin = true,
                None => found.push(own.clone()),
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name).then(numbers(&b.version).cmp(&numbers(&a.version))));
        Ok(found)
    }

    /// Removes a version that no source runs on.
    ///
    /// # Errors
    /// [`CatalogError::PackageUsed`], [`CatalogError::Invalid`] when it is not there.
    pub async fn remove_package(&self, adapter: &str) -> Result<(), CatalogError> {
        let what = "remove an adapter package";
        let failed = |e| CatalogError::Database(what, e);
        let mut transaction = self.begin(what).await?;
        let used = "select key from sources where adapter = $1 and removed_at is null order by key limit 1";
        if let Some(row) = transaction.fetch_optional(used, &[adapter.into()]).await.map_err(failed)? {
            let source_key = row.text(0).map_err(failed)?;
            let source_key = SourceKey::try_new(source_key).map_err(|_| CatalogError::Row("sources"))?;
            return Err(CatalogError::PackageUsed { adapter: adapter.to_owned(), source_key });
        }
        let (name, version) = adapter.split_once('@').unwrap_or((adapter, ""));
        let sql = "delete from adapter_packages where name = $1 and version = $2";
        if transaction.execute(sql, &[name.into(), version.into()]).await.map_err(failed)? == 0 {
            return Err(unknown(adapter));
        }
        self.announce(&mut transaction).await?;
        commit(transaction, what).await
    }

    /// The adapter that a source names as `NAME@VERSION`: without a version the newest there is.
    pub(super) async fn choose(&self, adapter: &str) -> Result<String, CatalogError> {
        if adapter == PROTOCOL {
            return Ok(adapter.to_owned());
        }
        let (name, version) = adapter.split_once('@').map_or((adapter, None), |(name, version)| (name, Some(version)));
        let fits = |info: &PackageInfo| info.name == name && version.is_none_or(|version| info.version == version);
        let chosen = self.packages().await?.into_iter().find(fits);
        chosen.map(|info| info.adapter()).ok_or_else(|| unknown(adapter))
    }

    /// Stores an adapter that comes with the program when a source begins to run on it, so that another version of the
    /// program changes no source.
    pub(super) async fn pin(
        &self,
        transaction: &mut Transaction,
        chosen: &str,
        actor: &str,
    ) -> Result<(), CatalogError> {
        match builtins().iter().find(|own| own.info.adapter() == chosen) {
            Some(own) => self.store(transaction, own, actor).await,
            None => Ok(()),
        }
    }

    /// What a pinned adapter is made of.
    pub(super) async fn adapter(&self, pinned: &str) -> Result<Adapter, CatalogError> {
        if pinned == PROTOCOL {
            return Ok(Adapter::Protocol);
        }
        let read = |e| CatalogError::Database("read an adapter package", e);
        let (name, version) = pinned.split_once('@').unwrap_or((pinned, ""));
        let sql = "select files from adapter_packages where name = $1 and version = $2";
        let row = self.database.fetch_optional(sql, &[name.into(), version.into()]).await.map_err(read)?;
        let Some(row) = row else {
            // Not pinned yet: a trial of an adapter that comes with the program.
            let own = builtins().iter().find(|own| own.info.adapter() == pinned).ok_or_else(|| unknown(pinned))?;
            return Ok(Adapter::Package(Arc::new(own.files.clone())));
        };
        let files = row.text(0).map_err(read)?;
        let files: Files = serde_json::from_str(&files).map_err(|_| CatalogError::Row("adapter_packages"))?;
        Ok(Adapter::Package(Arc::new(files)))
    }

    async fn store(&self, transaction: &mut Transaction, opened: &Opened, actor: &str) -> Result<(), CatalogError> {
        let failed = |e| CatalogError::Database("store an adapter package", e);
        let PackageInfo { name, version, title, sha256, .. } = &opened.info;
        let files = serde_json::to_string(&opened.files).map_err(|_| CatalogError::Row("adapter_packages"))?;
        let insert = "insert into adapter_packages (name, version, title, sha256, files, created_at, created_by) \
                      values ($1, $2, $3, $4, $5, $6, $7) on conflict (name, version) do nothing";
        let values = [
            name.as_str().into(),
            version.as_str().into(),
            title.as_str().into(),
            sha256.as_str().into(),
            files.into(),
            self.micros().into(),
            actor.into(),
        ];
        if transaction.execute(insert, &values).await.map_err(failed)? > 0 {
            return Ok(());
        }
        let held = "select sha256 from adapter_packages where name = $1 and version = $2";
        let row = transaction.fetch_optional(held, &[name.as_str().into(), version.as_str().into()]).await;
        let held = row.map_err(failed)?.map(|row| row.text(0)).transpose().map_err(failed)?;
        if held.as_deref() == Some(sha256) { Ok(()) } else { Err(CatalogError::PackageExists(opened.info.adapter())) }
    }
}

fn unknown(adapter: &str) -> CatalogError {
    let (name, _) = adapter.split_once('@').unwrap_or((adapter, ""));
    let near = builtin_names()
        .into_iter()
        .chain([PROTOCOL])
        .max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)))
        .filter(|near| strsim::jaro_winkler(name, near) > 0.7)
        .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    let reason = format!("there is no adapter `{adapter}`: `adapters` lists them{near}");
    CatalogError::Invalid { field: "adapter", reason }
}

/// The adapters that come with the program, opened once.
fn builtins() -> &'static [Opened] {
    static BUILTINS: OnceLock<Vec<Opened>> = OnceLock::new();
    let opened = |name: &&str| {
        let package = Package::find(name).map_err(|e| invalid(e.to_string()))?;
        let files = package.paths().filter_map(|path| Some((path.to_owned(), package.file(path)?.to_owned())));
        let (mut opened, _) = open(files.collect())?;
        opened.info.builtin = true;
        Ok::<_, CatalogError>(opened)
    };
    BUILTINS.get_or_init(|| {
        let tried = builtin_names().into_iter().map(|name| (name, opened(&name)));
        let usable = tried.filter_map(|(name, opened)| {
            // A test opens every one of them; this is for a program that was built otherwise.
            opened
                .inspect_err(|error| tracing::error!(adapter = name, %error, "a built-in adapter cannot be used"))
                .ok()
        });
        usable.collect()
    })
}

/// The adapter of this name that comes with the program.
fn builtin(name: &str) -> Option<&'static Opened> {
    builtins().iter().find(|own| own.info.name == name)
}

fn invalid(reason: String) -> CatalogError {
    CatalogError::Invalid { field: "files", reason }
}

/// Reads a package and compiles its mappings; runs nothing of it. What only stands beside is in the package and not kept.
fn open(whole: Files) -> Result<(Opened, Package), CatalogError> {
    let files: Files = whole.iter().filter(|(path, _)| runs(path)).map(|(p, text)| (p.clone(), text.clone())).collect();
    if files.len() > FILES_MAX || files.values().map(String::len).sum::<usize>() > BYTES_MAX {
        return Err(invalid(format!("a package has at most {FILES_MAX} files and {BYTES_MAX} bytes")));
    }
    for (path, text) in &files {
        if path.starts_with('/') || path.contains('\\') || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(invalid(format!("{path:?} is no path within a package")));
        }
        if nesting(text) > NESTING_MAX {
            return Err(invalid(format!("{path} nests brackets deeper than {NESTING_MAX}")));
        }
    }
    let package = Package::open(whole).map_err(|e| invalid(e.to_string()))?;
    let manifest = &package.manifest;
    if manifest.name == PROTOCOL || !is_name(&manifest.name) {
        let reason = format!("{:?} is no adapter name: a to z, 0 to 9 and '-', and not `{PROTOCOL}`", manifest.name);
        return Err(invalid(reason));
    }
    if numbers(&manifest.version).is_none() {
        return Err(invalid(format!("version is {:?}; it must be MAJOR.MINOR.PATCH", manifest.version)));
    }
    let info = PackageInfo {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        title: manifest.title.clone(),
        sha256: content_address(files.iter().map(|(path, text)| (path.as_str(), text.as_str()))),
        builtin: false,
        created_at: None,
    };
    Ok((Opened { info, files }, package))
}

fn is_name(name: &str) -> bool {
    (1..=40).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// The numbers of a semantic version, for comparing.
fn numbers(version: &str) -> Option<[u64; 3]> {
    let parts: Vec<u64> = version.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    parts.try_into().ok()
}

fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' | b'(' => depth += 1,
            b']' | b'}' | b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn info(row: &Row) -> Result<PackageInfo, DatabaseError> {
    Ok(PackageInfo {
        name: row.text(0)?,
        version: row.text(1)?,
        title: row.text(2)?,
        sha256: row.text(3)?,
        builtin: false,
        created_at: Some(time(row.int(4)?)),
    })
}

pub(super) async fn commit(transaction: Transaction, what: &'static str) -> Result<(), CatalogError> {
    transaction.commit().await.map_err(|e| CatalogError::Database(what, e))
}
