//! Which form of answer a client wants: the `Accept` header with its weights.

use http::HeaderMap;
use http::header::ACCEPT;

/// A form of answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    /// `application/json`: a document that fails to parse or validate is answered with 200. Also the default.
    Json,
    /// `application/graphql-response+json`: the status tells whether the request was executed.
    GraphqlResponse,
    /// A browser that navigates here.
    Html,
}

impl Media {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json; charset=utf-8",
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Html => "text/html; charset=utf-8",
        }
    }

    /// The offered form that the client prefers; `None` when it accepts none of them. Among equals the earlier offer
    /// wins, except that one the client names is preferred to one that it takes by a wildcard.
    pub(crate) fn negotiate(headers: &HeaderMap, offers: &[Self]) -> Option<Self> {
        let ranges: Vec<Range<'_>> = headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(Range::parse)
            .collect();
        if ranges.is_empty() {
            return offers.first().copied();
        }
        let mut best: Option<(u16, u8, Self)> = None;
        for &offer in offers {
            // The most specific range that matches decides, RFC 9110 §12.5.1.
            let Some((specificity, weight)) = ranges.iter().filter_map(|range| range.weigh(offer)).max() else {
                continue;
            };
            if weight > 0 && best.is_none_or(|(other, otherwise, _)| (weight, specificity) > (other, otherwise)) {
                best = Some((weight, specificity, offer));
            }
        }
        best.map(|(_, _, media)| media)
    }
}

/// One range of an `Accept` header.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    /// In thousandths.
    weight: u16,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let mut weight = 1000;
        for parameter in parts {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => weight = thousandths(value.trim())?,
                // Everything here is UTF-8.
                "charset" if !value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8") => return None,
                _ => {}
            }
        }
        Some(Self { kind: kind.trim(), subtype: subtype.trim(), weight })
    }

    fn weigh(&self, offer: Media) -> Option<(u8, u16)> {
        let (kind, subtype) = offer.content_type().split(';').next()?.split_once('/')?;
        match (self.kind, self.subtype) {
            ("*", "*") => Some((0, self.weight)),
            (mine, "*") if mine.eq_ignore_ascii_case(kind) => Some((1, self.weight)),
            (mine, sub) if mine.eq_ignore_ascii_case(kind) && sub.eq_ignore_ascii_case(subtype) => {
                Some((2, self.weight))
            }
            _ => None,
        }
    }
}

/// `0.75` to 750.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 {
        return None;
    }
    let value = whole.parse::<u16>().ok()?.checked_mul(1000)? + format!("{fraction:0<3}").parse::<u16>().ok()?;
    (value <= 1000).then_some(value)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn chosen(accept: &[&'static str]) -> Option<Media> {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(ACCEPT, HeaderValue::from_static(value));
        }
        Media::negotiate(&headers, &[Media::Json, Media::GraphqlResponse, Media::Html])
    }

    #[test]
    fn the_heaviest_form_that_we_have_is_chosen() {
        for (accept, expected) in [
            (&[][..], Some(Media::Json)),
            (&["*/*"], Some(Media::Json)),
            (&["application/*"], Some(Media::Json)),
            (&["application/graphql-response+json"], Some(Media::GraphqlResponse)),
            (&["application/graphql-response+json; charset=utf-8"], Some(Media::GraphqlResponse)),
            (&["application/graphql-response+json; charset=latin1"], Some(Media::Json)),
            (&["application/graphql-response+json, application/json;q=0.9"], Some(Media::GraphqlResponse)),
            (&["application/graphql-response+json;q=0.5, application/json;q=0.9"], Some(Media::Json)),
            (&["application/json;q=0.001", "APPLICATION/GraphQL-response+JSON; Q=0.002"], Some(Media::GraphqlResponse)),
            (&["application/json;q=0, */*;q=0.1"], Some(Media::GraphqlResponse)),
            (&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], Some(Media::Html)),
            (&["image/png"], None),
            (&["application/json;q=0"], None),
        ] {
            assert_eq!(chosen(accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn weights_are_exact_thousandths() {
        for (text, expected) in
            [("1", Some(1000)), ("1.000", Some(1000)), ("0.5", Some(500)), ("0.", Some(0)), ("1.1", None), ("x", None)]
        {
            assert_eq!(thousandths(text), expected, "{text}");
        }
    }
}
