# The dialect's prelude: what every mapping may use besides the native functions of native.rs and decimal.rs.

# Only what is of the type.
def booleans: select(type == "boolean");
def numbers: select(type == "number");
def strings: select(type == "string");
def arrays: select(type == "array");
def objects: select(type == "object");

# The sum of all that `f` gives.
def total(f): [f] | dec_sum;
# The first that `f` gives that says something; a path that leads nowhere is none.
def pick(f): first((f)? | text | values) // null;
# Whether the input is among what `f` gives.
def one_of(f): . as $word | any(f; . == $word);
