//! The folder that a demonstration lives in: the modules' databases, the center's, and what ties them together.
//!
//! It owns the names in the folder, the modules' credentials and the note of what was loaded. It refuses to mix
//! two files in one folder. That is so that a second start continues exactly where the first one ended.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use order_modules::Line;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::invoices::Survey;

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file in it cannot be read, written or removed.
    #[error("cannot {0} {path}", path = .1.display())]
    File(&'static str, PathBuf, #[source] std::io::Error),
    /// The note is not one that we wrote.
    #[error("{} is damaged: start over with --fresh", .0.display())]
    Note(PathBuf, #[source] serde_json::Error),
    /// It holds the orders of another file.
    #[error("{} holds the orders of another file: start over with --fresh, or name another --data-dir", .0.display())]
    OtherFile(PathBuf),
    /// Another demonstration uses it.
    #[error("another demonstration runs in {}: stop it, or name another --data-dir", .0.display())]
    InUse(PathBuf),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

/// What is remembered between two starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Note {
    /// The file: its lines, invoices and sum.
    file: (u64, usize, String),
    /// The lines whose modules have all of their orders.
    filled: Vec<String>,
    token: String,
    webhook_secret: String,
}

/// A folder, ready to be used, and nobody else's until this value is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    note: Note,
    _lock: fs::File,
}

impl Folder {
    /// Opens or creates the folder for a file; `fresh` removes what earlier demonstrations left in it.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn open(path: &Path, fresh: bool, survey: &Survey) -> Result<Self, FolderError> {
        fs::create_dir_all(path).map_err(|e| FolderError::File("create", path.to_owned(), e))?;
        let lock = lock(path)?;
        let file = (survey.lines, survey.invoices(), survey.value.to_string());
        let note = path.join(NOTE);
        if fresh {
            for name in [NOTE, CENTER] {
                remove(&path.join(name))?;
            }
            for line in Line::ALL {
                remove(&database(path, *line))?;
            }
        }
        let folder = match fs::read(&note) {
            Ok(text) => {
                let note = serde_json::from_slice(&text).map_err(|e| FolderError::Note(note, e))?;
                Self { path: path.to_owned(), note, _lock: lock }
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let note = Note { file: file.clone(), filled: Vec::new(), token: random()?, webhook_secret: random()? };
                let folder = Self { path: path.to_owned(), note, _lock: lock };
                folder.save()?;
                folder
            }
            Err(e) => return Err(FolderError::File("read", note, e)),
        };
        if folder.note.file == file { Ok(folder) } else { Err(FolderError::OtherFile(path.to_owned())) }
    }

    /// Whether the module of this line has all of its orders.
    #[must_use]
    pub fn is_filled(&self, line: Line) -> bool {
        self.note.filled.iter().any(|name| name == line.name())
    }

    /// Remembers that it has.
    ///
    /// # Errors
    /// [`FolderError::File`].
    pub fn set_filled(&mut self, line: Line) -> Result<(), FolderError> {
        if !self.is_filled(line) {
            self.note.filled.push(line.name().into());
        }
        self.save()
    }

    /// The database of a line's module.
    #[must_use]
    pub fn module_database(&self, line: Line) -> PathBuf {
        database(&self.path, line)
    }

    /// The center's database, unless another one is named.
    #[must_use]
    pub fn center_database(&self) -> PathBuf {
        self.path.join(CENTER)
    }

    /// The token that the modules want from the center.
    #[must_use]
    pub fn token(&self) -> SecretString {
        self.note.token.clone().into()
    }

    /// The secret that the modules sign webhooks with.
    #[must_use]
    pub fn webhook_secret(&self) -> SecretString {
        format!("whsec_{}", self.note.webhook_secret).into()
    }

    /// Writes the note beside the old one and puts it in its place, readable by its owner only.
    fn save(&self) -> Result<(), FolderError> {
        let (path, new) = (self.path.join(NOTE), self.path.join(format!("{NOTE}.new")));
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let text = serde_json::to_vec_pretty(&self.note).map_err(|e| FolderError::Note(path.clone(), e))?;
        let written = options.open(&new).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()
        });
        written.and_then(|()| fs::rename(&new, &path)).map_err(|e| FolderError::File("write", path, e))
    }
}

/// Keeps others out of the folder as long as the file is open.
fn lock(path: &Path) -> Result<fs::File, FolderError> {
    let name = path.join(LOCK);
    let file = fs::File::create(&name).map_err(|e| FolderError::File("write", name.clone(), e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(FolderError::InUse(path.to_owned())),
        Err(fs::TryLockError::Error(e)) => Err(FolderError::File("lock", name, e)),
    }
}

const LOCK: &str = "demo.lock";
const NOTE: &str = "demo.json";
const CENTER: &str = "center.db";

fn database(path: &Path, line: Line) -> PathBuf {
    path.join(format!("{}.db", line.name()))
}

/// Removes a file, if it is there, with what SQLite keeps beside it.
///
/// # Errors
/// [`FolderError::File`].
pub fn remove(path: &Path) -> Result<(), FolderError> {
    for suffix in ["", "-wal", "-shm"] {
        let mut gone = path.as_os_str().to_owned();
        gone.push(suffix);
        match fs::remove_file(&gone) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(FolderError::File("remove", gone.into(), e)),
            _ => {}
        }
    }
    Ok(())
}

/// 256 random bits in base64.
fn random() -> Result<String, FolderError> {
    let mut bytes = [0; 32];
    rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes).map_err(|_| FolderError::Random)?;
    Ok(base64::engine::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes))
}
