//! Secrets of registered sources: by reference, or sealed with a key that is not in the database.
//!
//! A reference is read whenever its source is plugged in. A value is sealed with AES-256-GCM at once; source and name are
//! bound into the seal, so that a ciphertext copied to another row opens nothing.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use order_contract::SourceKey;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest, Sha256};

use crate::ingest::hex;

/// Reads `env:NAME` or `file:PATH`, or says in a sentence why not. Given by the configuration, which alone reads the
/// environment and says which names and folders are open to registered sources.
pub type SecretReader = Arc<dyn Fn(&str) -> Result<SecretString, String> + Send + Sync>;

/// Why a secret cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The reference cannot be followed.
    #[error("{0}")]
    Reference(String),
    /// There is no key to seal with.
    #[error(
        "a secret in clear is kept only where `catalog.secret_key` is set (32 random bytes in base64); give `env:NAME` \
         or `file:PATH` instead"
    )]
    NoKey,
    /// Another key sealed it.
    #[error("it was sealed with another key than `catalog.secret_key` is now: give it again")]
    OtherKey,
    /// The seal is broken.
    #[error("its seal is broken: give it again")]
    Broken,
    /// The key is none.
    #[error("the key that seals secrets must be 32 bytes in base64, as `openssl rand -base64 32` prints them")]
    Key,
    /// No randomness.
    #[error("the system gives no random numbers")]
    Random,
    /// Nothing was given.
    #[error("it is empty")]
    Empty,
}

/// A secret as an administrator gives it.
#[derive(Clone, Debug)]
pub enum GivenSecret {
    /// `env:NAME` or `file:PATH`.
    Reference(String),
    /// The secret itself: it is sealed.
    Value(SecretString),
}

/// The key that seals secrets.
#[derive(Clone)]
pub struct SealKey {
    key: Arc<LessSafeKey>,
    /// Tells keys apart; the key does not follow from it.
    id: String,
}

impl SealKey {
    /// A key of 32 bytes in base64.
    ///
    /// # Errors
    /// [`SecretError::Key`].
    pub fn new(text: &SecretString) -> Result<Self, SecretError> {
        let bytes = BASE64.decode(text.expose_secret().trim()).map_err(|_| SecretError::Key)?;
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| SecretError::Key)?;
        let id = hex(&Sha256::digest([b"order-center seal", bytes.as_slice()].concat())[..4]);
        Ok(Self { key: Arc::new(LessSafeKey::new(key)), id })
    }

    fn seal(&self, bound: &str, secret: &SecretString) -> Result<String, SecretError> {
        // A random nonce: a key seals far fewer secrets than the 2^32 after which two could meet.
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| SecretError::Random)?;
        let mut text = secret.expose_secret().as_bytes().to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(bound), &mut text)
            .map_err(|_| SecretError::Random)?;
        Ok(format!("sealed:{}:{}", self.id, BASE64.encode([nonce.as_slice(), &text].concat())))
    }

    fn open(&self, bound: &str, sealed: &str) -> Result<SecretString, SecretError> {
        let (id, text) = sealed.split_once(':').ok_or(SecretError::Broken)?;
        if id != self.id {
            return Err(SecretError::OtherKey);
        }
        let bytes = BASE64.decode(text).map_err(|_| SecretError::Broken)?;
        let (nonce, text) = bytes.split_at_checked(NONCE_LEN).ok_or(SecretError::Broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SecretError::Broken)?;
        let mut text = text.to_vec();
        let clear = self.key.open_in_place(nonce, Aad::from(bound), &mut text).map_err(|_| SecretError::Broken)?;
        std::str::from_utf8(clear).map(SecretString::from).map_err(|_| SecretError::Broken)
    }
}

/// Keeps and reads secrets. Cheap to clone.
#[derive(Clone)]
pub struct Vault {
    /// Follows references.
    pub reader: SecretReader,
    /// Seals values; none: only references are taken.
    pub key: Option<SealKey>,
}

impl Vault {
    /// What to store of a secret: its reference, which must be readable now, or its seal.
    pub(super) fn keep(&self, source: &SourceKey, name: &str, given: &GivenSecret) -> Result<String, SecretError> {
        match given {
            GivenSecret::Reference(reference) => {
                (self.reader)(reference).map_err(SecretError::Reference)?;
                Ok(reference.clone())
            }
            GivenSecret::Value(secret) if secret.expose_secret().is_empty() => Err(SecretError::Empty),
            GivenSecret::Value(secret) => {
                self.key.as_ref().ok_or(SecretError::NoKey)?.seal(&bound(source, name), secret)
            }
        }
    }

    /// The secret that was stored as this text.
    pub(super) fn read(&self, source: &SourceKey, name: &str, stored: &str) -> Result<SecretString, SecretError> {
        match stored.strip_prefix("sealed:") {
            Some(sealed) => self.key.as_ref().ok_or(SecretError::OtherKey)?.open(&bound(source, name), sealed),
            None => (self.reader)(stored).map_err(SecretError::Reference),
        }
    }
}

fn bound(source: &SourceKey, name: &str) -> String {
    format!("{source}/{name}")
}

#[cfg(test)]
mod tests {
    use super::{SealKey, SecretError, Vault};
    use crate::catalog::GivenSecret;
    use order_contract::SourceKey;
    use secrecy::{ExposeSecret as _, SecretString};
    use std::sync::Arc;

    fn vault(key: Option<&str>) -> Vault {
        let key = key.map(|key| SealKey::new(&SecretString::from(key)).expect("a key"));
        Vault { reader: Arc::new(|reference| Err(format!("there is no {reference}"))), key }
    }

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const OTHER: &str = "HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHgA=";

    #[test]
    fn a_sealed_secret_opens_for_its_source_name_and_key_only() {
        let (shop, other) = (SourceKey::try_new("shop").expect("a key"), SourceKey::try_new("other").expect("a key"));
        let given = GivenSecret::Value("hunter2".into());
        let vault = vault(Some(KEY));
        let stored = vault.keep(&shop, "token", &given).expect("sealed");
        assert!(!stored.contains("hunter2") && stored.starts_with("sealed:"), "{stored}");
        assert_ne!(stored, vault.keep(&shop, "token", &given).expect("sealed"), "no two seals are the same");
        assert_eq!(vault.read(&shop, "token", &stored).expect("opens").expose_secret(), "hunter2");
        for (source, name) in [(&other, "token"), (&shop, "webhook_secret")] {
            assert!(matches!(vault.read(source, name, &stored), Err(SecretError::Broken)));
        }
        let mut torn = stored.clone();
        let at = torn.len() - 8;
        let other_letter = if torn[at..].starts_with('A') { "B" } else { "A" };
        torn.replace_range(at..=at, other_letter);
        for torn in [torn.as_str(), "sealed:", "sealed:x", &stored[..stored.len() / 2]] {
            assert!(vault.read(&shop, "token", torn).is_err(), "{torn}");
        }
        let elsewhere = self::vault(Some(OTHER));
        assert!(matches!(elsewhere.read(&shop, "token", &stored), Err(SecretError::OtherKey)));
    }

    #[test]
    fn without_a_key_only_references_are_taken_and_they_must_lead_somewhere() {
        let shop = SourceKey::try_new("shop").expect("a key");
        let vault = vault(None);
        assert!(matches!(vault.keep(&shop, "token", &GivenSecret::Value("x".into())), Err(SecretError::NoKey)));
        let missing = vault.keep(&shop, "token", &GivenSecret::Reference("env:NONE".into()));
        assert!(matches!(missing, Err(SecretError::Reference(why)) if why.contains("env:NONE")));
        for key in ["", "short", "AAECAwQFBgcICQoLDA0ODw=="] {
            assert!(SealKey::new(&SecretString::from(key)).is_err(), "{key}");
        }
    }
}
