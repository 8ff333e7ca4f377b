"""How schemathesis writes the scalars of the schema that GraphQL itself does not know."""

import schemathesis
from hypothesis import strategies as st
from schemathesis.graphql import nodes

TEXT = {
    "DateTime": st.datetimes().map(lambda at: at.isoformat() + "Z"),
    "Date": st.dates().map(lambda day: day.isoformat()),
    "Decimal": st.decimals(-10**9, 10**9, allow_nan=False, allow_infinity=False, places=4).map(str),
    "Cursor": st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", max_size=60),
    "CurrencyCode": st.sampled_from(["EUR", "GBP", "USD", "JPY", "KWD"]),
    "CountryCode": st.sampled_from(["DE", "GB", "FR", "US"]),
    "URL": st.just("https://example.com/order"),
    "Url": st.just("https://example.com/order"),
    "UUID": st.uuids().map(str),
}
for name, strategy in TEXT.items():
    schemathesis.graphql.scalar(name, strategy.map(nodes.String))

for name in ("Long", "Int64", "BigInt"):
    schemathesis.graphql.scalar(name, st.integers(-(2**53), 2**53).map(nodes.Int))

ANY = st.one_of(
    st.booleans().map(nodes.Boolean),
    st.integers(-9, 9).map(nodes.Int),
    st.text(max_size=20).map(nodes.String),
)
for name in ("JSON", "Json", "_Any"):
    schemathesis.graphql.scalar(name, ANY)
