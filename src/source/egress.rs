//! The guard of every connection the center opens to a source.
//!
//! It owns the HTTP client that adapters use and the rule which addresses it may reach. It refuses redirects, proxies,
//! silent retries, and link-local, metadata and multicast addresses, whether they stand in the URL, in an odd spelling
//! of it, or behind a DNS name. That is because base URLs are configuration: a host an operator names may well be
//! private (home-grown modules are), but no order module lives where clouds hand out credentials.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
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
    /// A name leads to such an address.
    #[error("the host name {0} leads to {1}, a link-local, metadata, multicast or unspecified address")]
    Name(String, IpAddr),
    /// TLS could not be set up.
    #[error("could not set up the HTTP client")]
    Client(#[source] reqwest::Error),
}

/// Checks a base URL from configuration. The host is the one that the URL parser found, so `http://2852039166/` and
/// `http://0xa9.254.43518/` are seen as the addresses they are.
///
/// # Errors
/// [`EgressError`] says which rule the URL breaks.
pub fn check(url: &Url) -> Result<(), EgressError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(EgressError::Scheme(url.clone()));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(EgressError::Parts);
    }
    let literal = url.host_str().and_then(|host| host.trim_matches(['[', ']']).parse().ok());
    match literal {
        Some(address) if is_never_called(address) => Err(EgressError::Address(address)),
        _ => Ok(()),
    }
}

/// The client of one source. Every request ends within `timeout`, the answer's body included.
///
/// # Errors
/// [`EgressError::Client`] when TLS cannot be set up.
pub fn client(timeout: Duration) -> Result<Client, EgressError> {
    client_that_resolves(
        timeout,
        GuardedResolver(|host| Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.collect()) })),
    )
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

/// Refuses a name of which any address is never called. The client connects to the addresses given here, so a second
/// answer of the name server cannot slip in between.
struct GuardedResolver(fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let lookup = self.0;
        Box::pin(async move {
            let addresses = lookup(name.as_str().to_owned()).await?;
            match addresses.iter().map(SocketAddr::ip).find(|ip| is_never_called(*ip)) {
                Some(ip) => Err(EgressError::Name(name.as_str().to_owned(), ip).into()),
                None => Ok(Box::new(addresses.into_iter()) as Addrs),
            }
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
    use super::{GuardedResolver, check, client_that_resolves, is_never_called};
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
            assert!(check(&url.parse().expect(url)).is_ok(), "{url}");
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
            assert!(check(&url.parse().expect(url)).is_err(), "{url}");
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
        let resolver = GuardedResolver(|_| {
            Box::pin(async { Ok(["127.0.0.1:0", "169.254.169.254:0"].map(|a| a.parse().expect(a)).to_vec()) })
        });
        let client = client_that_resolves(Duration::from_secs(5), resolver).expect("a client");
        let error = client.get("http://orders.example.com:9/").send().await.expect_err("must not connect");
        assert!(error.is_connect(), "nothing was sent: {error:?}");
        assert!(format!("{error:?}").contains("169.254.169.254"), "{error:?}");
    }
}
