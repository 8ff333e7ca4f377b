//! API keys: 256 random bits shown once, kept as their SHA-256.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::database::{Database, DatabaseError};
use crate::graphql::{Principal, Role};

/// What every key begins with, so that secret scanners can find a leaked one.
const PREFIX: &str = "oc_";

/// Why a key could not be created, listed or revoked.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The name is empty, too long or not printable.
    #[error("a key's name is 1 to 100 printable characters")]
    Name,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// The database failed.
    #[error("could not {0} the key")]
    Store(&'static str, #[source] DatabaseError),
    /// A stored row cannot be read back.
    #[error("could not understand the stored key {0}")]
    Row(String),
}

/// A key as it is listed: without its secret, which nobody has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id; the principal of what is done with it.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it was created. UTC.
    pub created_at: DateTime<Utc>,
    /// When it was revoked. UTC.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// The keys of a center. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ApiKeys(Database);

/// What is stored of a key.
pub(crate) type KeyHash = [u8; 32];

/// The hash of a secret; `None` for a text that cannot be a key.
pub(crate) fn hash(secret: &str) -> Option<KeyHash> {
    let random = secret.strip_prefix(PREFIX)?;
    (random.len() == 43).then(|| Sha256::digest(secret.as_bytes()).into())
}

fn hex(hash: &KeyHash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl ApiKeys {
    /// The keys in this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self(database)
    }

    /// Creates a key and returns it with its secret: the only time that it is shown.
    ///
    /// # Errors
    /// [`KeyError`].
    pub async fn create(&self, name: &str, role: Role, now: DateTime<Utc>) -> Result<(ApiKey, SecretString), KeyError> {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
            return Err(KeyError::Name);
        }
        let mut random = [0_u8; 32];
        getrandom::fill(&mut random).map_err(|_| KeyError::Random)?;
        let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
        let hash: KeyHash = Sha256::digest(secret.as_bytes()).into();
        let id = uuid::Uuid::now_v7().to_string();
        self.0
            .execute(
                "insert into api_keys (id, name, role, key_hash, created_at) values ($1, $2, $3, $4, $5)",
                &[
                    id.as_str().into(),
                    name.into(),
                    role_name(role).into(),
                    hex(&hash).into(),
                    now.timestamp_micros().into(),
                ],
            )
            .await
            .map_err(|e| KeyError::Store("store", e))?;
        let key = ApiKey { id, name: name.to_owned(), role, created_at: now, revoked_at: None };
        Ok((key, secret.into()))
    }

    /// Every key, revoked ones too, oldest first.
    ///
    /// # Errors
    /// [`KeyError`].
    pub async fn list(&self) -> Result<Vec<ApiKey>, KeyError> {
        let sql = "select id, name, role, created_at, revoked_at from api_keys order by created_at, id";
        let rows = self.0.fetch_all(sql, &[]).await.map_err(|e| KeyError::Store("list", e))?;
        rows.iter()
            .map(|row| {
                let read = |e| KeyError::Store("read", e);
                let id = row.text(0).map_err(read)?;
                let time = |micros| DateTime::from_timestamp_micros(micros).ok_or_else(|| KeyError::Row(id.clone()));
                Ok(ApiKey {
                    name: row.text(1).map_err(read)?,
                    role: parse_role(&row.text(2).map_err(read)?).ok_or_else(|| KeyError::Row(id.clone()))?,
                    created_at: time(row.int(3).map_err(read)?)?,
                    revoked_at: row.opt_int(4).map_err(read)?.map(time).transpose()?,
                    id,
                })
            })
            .collect()
    }

    /// Revokes a key. False when there is none of this id that is not revoked already.
    ///
    /// # Errors
    /// [`KeyError`].
    pub async fn revoke(&self, id: &str, now: DateTime<Utc>) -> Result<bool, KeyError> {
        self.0
            .execute(
                "update api_keys set revoked_at = $2 where id = $1 and revoked_at is null",
                &[id.into(), now.timestamp_micros().into()],
            )
            .await
            .map(|touched| touched > 0)
            .map_err(|e| KeyError::Store("revoke", e))
    }

    /// Whether a key was ever created. A center whose last key was revoked is closed, not open.
    ///
    /// # Errors
    /// [`KeyError`].
    pub async fn any(&self) -> Result<bool, KeyError> {
        let found = self.0.fetch_optional("select id from api_keys limit 1", &[]).await;
        found.map(|row| row.is_some()).map_err(|e| KeyError::Store("look for", e))
    }

    /// Whose key this is, unless it was revoked.
    pub(crate) async fn find(&self, hash: &KeyHash) -> Result<Option<Principal>, KeyError> {
        let read = |e| KeyError::Store("read", e);
        let wanted = hex(hash);
        let sql = "select id, name, role, key_hash from api_keys where key_hash = $1 and revoked_at is null";
        let Some(row) = self.0.fetch_optional(sql, &[wanted.as_str().into()]).await.map_err(read)? else {
            return Ok(None);
        };
        let id = row.text(0).map_err(read)?;
        let role = parse_role(&row.text(2).map_err(read)?).ok_or_else(|| KeyError::Row(id.clone()))?;
        let same = row.text(3).map_err(read)?.as_bytes().ct_eq(wanted.as_bytes());
        Ok(bool::from(same).then_some(Principal { id, name: row.text(1).map_err(read)?, role }))
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Reader => "READER",
        Role::Operator => "OPERATOR",
        Role::Admin => "ADMIN",
    }
}

fn parse_role(text: &str) -> Option<Role> {
    [Role::Reader, Role::Operator, Role::Admin].into_iter().find(|role| role_name(*role) == text)
}
