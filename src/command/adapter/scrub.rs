//! Takes secrets and personal data out of a record, and nothing else: numbers keep their digits, texts their length.

/// Objects that describe a person.
const PERSONS: &[&str] = &[
    "customer",
    "billing",
    "shipping",
    "billingaddress",
    "shippingaddress",
    "shippingaddresses",
    "address",
    "addresses",
    "defaultaddress",
    "user",
    "buyer",
    "recipient",
    "destination",
    "administrator",
    "addressinvoice",
    "addressdelivery",
];
/// What of a person tells no person.
const HARMLESS: &[&str] = &[
    "id",
    "country",
    "countrycode",
    "countrycodev2",
    "countryiso2",
    "currency",
    "currencycode",
    "type",
    "state",
    "status",
    "typename",
    "amount",
    "createdat",
    "updatedat",
    "code",
    "locale",
    "languagecode",
];
/// Fields that are personal or secret wherever they stand.
const PRIVATE: &[&str] = &[
    "email",
    "phone",
    "firstname",
    "lastname",
    "fullname",
    "displayname",
    "middlename",
    "company",
    "companyname",
    "street",
    "streetname",
    "streetline",
    "address1",
    "address2",
    "addressline",
    "city",
    "zip",
    "postcode",
    "postalcode",
    "ipaddress",
    "browserip",
    "clientip",
    "customeripaddress",
    "useragent",
    "customeruseragent",
    "token",
    "secret",
    "password",
    "apikey",
    "accesstoken",
    "signature",
    "orderkey",
    "statusurl",
    "orderstatusurl",
    "customernote",
    "landingsite",
    "latitude",
    "longitude",
    "birthday",
    "taxid",
    "vatnumber",
];

struct Frame {
    is_object: bool,
    person: bool,
    key: String,
    wants_key: bool,
}

/// The record with what is private masked: letters become x, digits 0.
pub(super) fn scrub(json: &str) -> String {
    let bytes = json.as_bytes();
    let (mut out, mut frames, mut at) = (String::with_capacity(json.len()), Vec::<Frame>::new(), 0);
    while at < bytes.len() {
        let start = at;
        at += 1;
        match bytes[start] {
            open @ (b'{' | b'[') => {
                let (person, key) = frames.last().map_or((false, String::new()), |outer| {
                    (outer.person || PERSONS.contains(&outer.key.as_str()), outer.key.clone())
                });
                frames.push(Frame { is_object: open == b'{', person, key, wants_key: open == b'{' });
            }
            b'}' | b']' => {
                frames.pop();
            }
            b',' => {
                if let Some(frame) = frames.last_mut() {
                    frame.wants_key = frame.is_object;
                }
            }
            b'"' => {
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at = (at + 1).min(bytes.len());
                let text: String = serde_json::from_str(&json[start..at]).unwrap_or_default();
                match frames.last_mut() {
                    Some(frame) if frame.wants_key => {
                        frame.key = plain(&text);
                        frame.wants_key = false;
                    }
                    Some(frame) if is_private(frame) => {
                        out.push_str(&serde_json::to_string(&masked(&text)).unwrap_or_default());
                        continue;
                    }
                    _ => {}
                }
            }
            b'-' | b'0'..=b'9' => {
                while at < bytes.len() && matches!(bytes[at], b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-') {
                    at += 1;
                }
                if frames.last().is_some_and(|frame| PRIVATE.contains(&frame.key.as_str())) {
                    out.push('0');
                    continue;
                }
            }
            _ => {}
        }
        out.push_str(&json[start..at]);
    }
    out
}

/// A field's name without case and separators.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn is_private(frame: &Frame) -> bool {
    let key = frame.key.as_str();
    let numbered = key.trim_end_matches(|c: char| c.is_ascii_digit());
    PRIVATE.contains(&key)
        || PRIVATE.contains(&numbered)
        || (frame.person && !HARMLESS.contains(&key) && !key.ends_with("id"))
}

fn masked(text: &str) -> String {
    let mask = |c: char| match c {
        c if c.is_numeric() => '0',
        c if c.is_uppercase() => 'X',
        c if c.is_alphabetic() => 'x',
        c => c,
    };
    text.chars().map(mask).collect()
}

#[cfg(test)]
mod tests {
    use super::scrub;

    #[test]
    fn persons_and_secrets_go_and_everything_else_stays_to_the_byte() {
        for (record, scrubbed) in [
            (r#"{"id": 12345678901234567890, "total": 19.90}"#, r#"{"id": 12345678901234567890, "total": 19.90}"#),
            (r#"{"email":"ada@shop.io","name":"Mug"}"#, r#"{"email":"xxx@xxxx.xx","name":"Mug"}"#),
            (
                r#"{"billing": {"first_name": "Ada", "country": "GB", "postcode": "N1 9GU", "name": "Ada B."}}"#,
                r#"{"billing": {"first_name": "Xxx", "country": "GB", "postcode": "X0 0XX", "name": "Xxx X."}}"#,
            ),
            (
                r#"{"customer":{"id":"c1","orders":[{"title":"A\"b"}]}}"#,
                r#"{"customer":{"id":"c1","orders":[{"title":"X\"x"}]}}"#,
            ),
            (
                r#"{"order_key":"wc_9a","latitude":51.5,"line_items":[{"name":"Tee"}]}"#,
                r#"{"order_key":"xx_0x","latitude":0,"line_items":[{"name":"Tee"}]}"#,
            ),
            (r#"{"streetLine1":"1 High St","sku":"A1"}"#, r#"{"streetLine1":"0 Xxxx Xx","sku":"A1"}"#),
        ] {
            assert_eq!(scrub(record), scrubbed);
        }
    }
}
