//! The guard of every connection the center opens to a source.
//!
//! It owns the HTTP client that adapters use and the rule which addresses it may reach. It refuses redirects, proxies,
//! silent retries, and link-local, metadata and multicast addresses, whether they stand in the URL, in an odd spelling
//! of it, or behind a DNS name. A host in the configuration file may be private (home-grown modules are); one that was
//! named over the network may not, unless the configuration allows it by name. That is because no order module lives
//! where clouds hand out credentials, and who holds an API key must not look around in the network by it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url, redirect, retry};

/// The longest time to open one connection, TLS included.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(5);

/// How long an idle connection is kept: less than the 5 s after which common servers close theirs, because a request that
/// meets the closing leaves its outcome unknown.
const IDLE_KEPT: Duration = Duration::from_secs(4);

/// Why a source must not be called at this address.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The scheme is not HTTP.
    #[error("{0}: only http and https URLs can be a base URL")]
    Scheme(Url),
    /// It holds credentials, a query or a fragment.
    #[error(
        "a base URL is a scheme, a host and a path: credentials belong in the source's token, and there is no query"
    )]
    Parts,
    /// The address is one that no module lives at.
    #[error("{0} is a link-local, metadata, multicast or unspecified address, which is never called")]
    Address(IpAddr),
    /// The address is of a private network.
    #[error("{0} is of a private network; to allow it, name it in `catalog.private_hosts` of the configuration")]
    Private(String),
    /// A name leads to such an address.
    #[error("the host name {0} leads to {1}, a link-local, metadata, multicast or unspecified address")]
    Name(String, IpAddr),
    /// TLS could not be set up.
    #[error("could not set up the HTTP client")]
    Client(#[source] reqwest::Error),
}

/// Which hosts of private networks may be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All: the host stands in the configuration file.
    Private,
    /// Those that the configuration allows by name or address.
    Listed(Arc<[String]>),
}

impl Reach {
    fn allows(&self, host: &str) -> bool {
        match self {
            Self::Private => true,
            Self::Listed(hosts) => hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host)),
        }
    }
}

/// Checks a base URL. The host is the one that the URL parser found, so `http://2852039166/` and
/// `http://0xa9.254.43518/` are seen as the addresses they are.
///
/// # Errors
/// [`EgressError`] says which rule the URL breaks.
pub fn check(url: &Url, reach: &Reach) -> Result<(), EgressError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(EgressError::Scheme(url.clone()));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(EgressError::Parts);
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    match host.parse() {
        Ok(address) if is_never_called(address) => Err(EgressError::Address(address)),
        Ok(address) if is_private(address) && !reach.allows(host) => Err(EgressError::Private(host.to_owned())),
        _ => Ok(()),
    }
}

/// The client of one source. Every request ends within `timeout`, the answer's body included.
///
/// # Errors
/// [`EgressError::Client`] when TLS cannot be set up.
pub fn client(timeout: Duration, reach: Reach) -> Result<Client, EgressError> {
    let lookup: Lookup = |host| Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.collect()) });
    client_that_resolves(timeout, GuardedResolver { lookup, reach })
}

fn client_that_resolves(timeout: Duration, resolver: GuardedResolver) -> Result<Client, EgressError> {
    // An error means that a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("order-center/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .referer(false)
        .dns_resolver(resolver)
        .pool_idle_timeout(IDLE_KEPT)
        .connect_timeout(CONNECT_TIMEOUT_MAX.min(timeout / 2))
        .timeout(timeout)
        .build()
        .map_err(EgressError::Client)
}

type Lookup = fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

/// Refuses a name of which any address is never called, or private without being allowed. The client connects to the
/// addresses given here, so a second answer of the name server cannot slip in between.
struct GuardedResolver {
    lookup: Lookup,
    reach: Reach,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookup, allowed) = (self.lookup, self.reach.allows(name.as_str()));
        Box::pin(async move {
            let addresses = lookup(name.as_str().to_owned()).await?;
            if let Some(ip) = addresses.iter().map(SocketAddr::ip).find(|ip| is_never_called(*ip)) {
                return Err(EgressError::Name(name.as_str().to_owned(), ip).into());
            }
            if !allowed && addresses.iter().any(|address| is_private(address.ip())) {
                return Err(EgressError::Private(name.as_str().to_owned()).into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn is_never_called(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_never_called_v4(v4),
        IpAddr::V6(v6) => {
            v6.is_multicast()
                || v6.is_unspecified()
                || v6.is_unicast_link_local()
                || v6 == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
                || embedded_v4(v6).is_some_and(is_never_called_v4)
        }
    }
}

fn is_never_called_v4(address: Ipv4Addr) -> bool {
    /// Metadata services outside 169.254.0.0/16: Alibaba, Oracle, Azure.
    const METADATA: [Ipv4Addr; 3] =
        [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(168, 63, 129, 16)];
    address.octets()[0] == 0
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || METADATA.contains(&address)
}

/// Whether an address is of this machine or of a network that is not the public one.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unique_local()
                || v6.segments()[0] & 0xffc0 == 0xfec0 // site-local, as some networks still have
                || embedded_v4(v6).is_some_and(is_private_v4)
        }
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_loopback()
        || address.is_private()
        || (a == 100 && b & 0xc0 == 64) // shared by carriers, and by clouds for what is inside
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && b & 0xfe == 18) // benchmarks
        || a >= 240
}

/// The IPv4 address an IPv6 address leads to: mapped, compatible, NAT64 or 6to4. `::1` is itself and nothing else.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match s {
        [0, 0, 0, 0, 0, 0, 0, 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(v4(high, low)),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{GuardedResolver, Lookup, Reach, check, client_that_resolves, is_never_called};
    use std::time::Duration;

    #[test]
    fn private_hosts_are_allowed_and_metadata_never_is_however_it_is_spelled() {
        for url in [
            "http://127.0.0.1:8080/",
            "http://localhost/",
            "http://10.1.2.3/",
            "http://[::1]:9/",
            "http://[fd00::7]/",
            "https://orders.example.com/retail",
            "http://192.168.0.9/",
        ] {
            assert!(check(&url.parse().expect(url), &Reach::Private).is_ok(), "{url}");
        }
        for url in [
            "http://169.254.169.254/",
            "http://169.254.1.1/",
            "http://2852039166/",
            "http://0xa9fea9fe/",
            "http://0251.0376.0251.0376/",
            "http://169.254.43518/",
            "http://0/",
            "http://0.0.0.0:8080/",
            "http://[::]/",
            "http://[fe80::1]/",
            "http://[febf::1]/",
            "http://[fd00:ec2::254]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://[::169.254.169.254]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[2002:a9fe:a9fe::1]/",
            "http://[ff02::1]/",
            "http://224.0.0.1/",
            "http://255.255.255.255/",
            "http://100.100.100.200/",
            "http://168.63.129.16/",
            "http://user:secret@localhost/",
            "http://localhost/?x=1",
            "http://localhost/#x",
            "ftp://localhost/",
            "file:///etc/passwd",
        ] {
            assert!(check(&url.parse().expect(url), &Reach::Private).is_err(), "{url}");
        }
    }

    #[test]
    fn addresses_beside_the_refused_ones_are_allowed() {
        for address in
            ["169.253.255.255", "169.255.0.0", "1.0.0.0", "fec0::1", "::1", "::ffff:10.0.0.1", "fd00:ec2::253"]
        {
            assert!(!is_never_called(address.parse().expect(address)), "{address}");
        }
    }

    #[tokio::test]
    async fn a_name_is_not_called_when_any_of_its_addresses_is_refused() {
        let metadata: Lookup =
            |_| Box::pin(async { Ok(["127.0.0.1:0", "169.254.169.254:0"].map(|a| a.parse().expect(a)).to_vec()) });
        let private: Lookup =
            |_| Box::pin(async { Ok(["93.184.215.14:0", "10.0.0.7:0"].map(|a| a.parse().expect(a)).to_vec()) });
        let listed = |hosts: &[&str]| Reach::Listed(hosts.iter().map(|host| (*host).to_owned()).collect());
        let cases = [
            (metadata, Reach::Private, "169.254.169.254"),
            (metadata, listed(&["orders.example.com"]), "169.254.169.254"),
            (private, listed(&["orders.example.org"]), "Private"),
        ];
        for (lookup, reach, says) in cases {
            let resolver = GuardedResolver { lookup, reach };
            let client = client_that_resolves(Duration::from_secs(5), resolver).expect("a client");
            let error = client.get("http://orders.example.com:9/").send().await.expect_err("must not connect");
            assert!(error.is_connect(), "nothing was sent: {error:?}");
            assert!(format!("{error:?}").contains(says), "{error:?}");
        }
    }

    #[test]
    fn what_was_named_over_the_network_reaches_private_hosts_only_by_name() {
        let listed = Reach::Listed(["10.1.2.3", "::1"].map(str::to_owned).into());
        for url in ["http://10.1.2.3/", "http://[::1]:9/", "https://orders.example.com/", "http://8.8.8.8/"] {
            assert!(check(&url.parse().expect(url), &listed).is_ok(), "{url}");
        }
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://10.1.2.4/",
            "http://172.16.0.1/",
            "http://192.168.0.9/",
            "http://100.64.0.1/",
            "http://198.18.0.1/",
            "http://240.0.0.1/",
            "http://[fd00::7]/",
            "http://[::ffff:10.1.2.4]/",
            "http://[64:ff9b::7f00:1]/",
        ] {
            assert!(check(&url.parse().expect(url), &listed).is_err(), "{url}");
        }
    }
}
