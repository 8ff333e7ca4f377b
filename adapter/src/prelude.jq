# The dialect's prelude: what every mapping may use besides the native functions of native.rs and decimal.rs.

# Only what is of the type.
def booleans: select(type == "boolean");
def numbers: select(type == "number");
def strings: select(type == "string");
def arrays: select(type == "array");
def objects: select(type == "object");
# The texts that are there, joined; null when none is.
def join_present($by): [.[] | blank_to_null | select(. != null)] | if length == 0 then null else join($by) end;
