# The dialect's prelude: what every mapping may use.

# Without the keys whose value is null; an absent optional field means "the source does not say".
def compact: with_entries(select(.value != null));
# Without empty lists, objects and texts too.
def present: with_entries(select(.value != null and .value != [] and .value != {} and .value != ""));
# Null for a blank text, the trimmed text otherwise.
def blank_to_null: if type == "string" then (sub("^\\s+"; "") | sub("\\s+$"; "") | if . == "" then null else . end) else . end;
# The texts that are there, joined; null when none is.
def join_present($by): [.[] | blank_to_null | select(. != null)] | if length == 0 then null else join($by) end;
# The value under a native word, or UNKNOWN: a state nobody mapped is shown, never guessed.
def lookup($table): if . == null then "UNKNOWN" else $table[tostring] // "UNKNOWN" end;
# RFC 3339 in UTC from the forms platforms send: without a zone it is UTC, a space stands for the T. Null stays null.
def utc:
  blank_to_null
  | if . == null or startswith("0000-00-00") or startswith("0001-01-01") then null
    else sub("^(?<d>[0-9]{4}-[0-9]{2}-[0-9]{2}) "; "\(.d)T")
      | if test("^[0-9]{4}-[0-9]{2}-[0-9]{2}$") then . + "T00:00:00" else . end
      | if test("(Z|z|[+-][0-9]{2}:[0-9]{2})$") then .
        elif test("[+-][0-9]{4}$") then .[:-2] + ":" + .[-2:]
        else . + "Z" end
    end;
# Microseconds since 1970 of an RFC 3339 time: the version of platforms without a counter. 0 when there is none.
def micros:
  utc
  | if . == null then 0
    else capture("^(?<s>[0-9T:-]{19})(\\.(?<f>[0-9]+))?(?<z>Z|z|[+-][0-9]{2}:[0-9]{2})$") as $t
      | ($t.s + "Z" | fromdateiso8601) * 1000000
        + ((($t.f // "") + "000000")[:6] | tonumber)
        - (if $t.z | test("^[Zz]$") then 0
           else ($t.z[1:3] | tonumber) * 3600000000 + ($t.z[4:6] | tonumber) * 60000000 | if $t.z[:1] == "-" then -. else . end
           end)
    end;
# A two-letter country code in upper case; null for anything else.
def country_code: blank_to_null | if . != null and test("^[A-Za-z]{2}$") then ascii_upcase else null end;
def is_zero: . == null or dec_cmp(.; "0") == 0;
def is_positive: . != null and dec_cmp(.; "0") > 0;
