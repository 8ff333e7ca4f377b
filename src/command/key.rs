//! `order-center key …`

use crate::graphql;
use crate::http::ApiKeys;
use crate::serve;
use clap::{Subcommand, ValueEnum};
use secrecy::ExposeSecret as _;

use super::{Failure, Settings};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Creates a key and prints it: the only time that it is shown.
    Create {
        /// Whose or what it is for; shown in lists and logs.
        #[arg(long)]
        name: String,
        /// What it may do.
        #[arg(long, value_enum)]
        role: Role,
        #[command(flatten)]
        settings: Settings,
    },
    /// Lists all keys without their secrets.
    List {
        #[command(flatten)]
        settings: Settings,
    },
    /// Revokes a key; running centers stop taking it within seconds.
    Revoke {
        /// The id, as `key list` shows it.
        id: String,
        #[command(flatten)]
        settings: Settings,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Role {
    /// Reads orders.
    Reader,
    /// Also acts on orders and sees quarantine.
    Operator,
    /// Also administers sources and keys.
    Admin,
}

impl Command {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (Self::Create { settings, .. } | Self::List { settings } | Self::Revoke { settings, .. }) = &self;
        let database = serve::open(&settings.load(None)?).await?;
        let done = self.run_on(&ApiKeys::new(database.clone())).await;
        database.close().await;
        done
    }

    async fn run_on(self, keys: &ApiKeys) -> Result<(), Failure> {
        let now = chrono::Utc::now();
        match self {
            Self::Create { name, role, .. } => {
                let role = match role {
                    Role::Reader => graphql::Role::Reader,
                    Role::Operator => graphql::Role::Operator,
                    Role::Admin => graphql::Role::Admin,
                };
                let (key, secret) = keys.create(&name, role, now).await?;
                super::print(&format!("{}\n", secret.expose_secret()))?;
                eprintln!("key {} of {} ({role:?}); it is not shown again", key.id, key.name);
            }
            Self::List { .. } => {
                for key in keys.list().await? {
                    let created = key.created_at.format("%Y-%m-%d");
                    let revoked =
                        key.revoked_at.map_or_else(String::new, |at| format!("  revoked {}", at.format("%F")));
                    super::print(&format!(
                        "{}  {:<8}  {created}  {}{revoked}\n",
                        key.id,
                        format!("{:?}", key.role),
                        key.name
                    ))?;
                }
            }
            Self::Revoke { id, .. } => {
                if !keys.revoke(&id, now).await? {
                    return Err(Failure(format!(
                        "there is no key {id} that is not revoked; see `order-center key list`"
                    )));
                }
                super::print(&format!("revoked {id}\n"))?;
            }
        }
        Ok(())
    }
}
