"""Names that cannot be changed without changing what code does: keywords and built-in functions."""

__all__ = ["BUILT_IN", "KEYWORDS"]

_KEYWORDS = """
False None True and as assert async await break class continue def del elif else except finally
for from global if import in is lambda nonlocal not or pass raise return try while with yield
abstract auto case catch char const constexpr default delete do double enum export extends
extern false final fn func function goto implements instanceof interface let long loop match
move mut namespace new nil null nullptr package private protected public self short signed
sizeof static struct switch template this throw throws trait true typedef typeof undefined
unsafe unsigned use using var virtual void volatile where
bool boolean byte int float i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize f32 f64
int32 int64 uint32 uint64 float32 float64
"""
_BUILT_IN = """
abs all any ascii bin bytearray bytes callable chr complex dict divmod enumerate eval filter
format frozenset getattr hasattr hash hex id input isinstance issubclass iter len list map max
min next object oct open ord pow print range repr reversed round set slice sorted str sum super
tuple type zip math re collections itertools functools heapq
append cap copy make panic
Array Arrays ArrayList Boolean Collections HashMap HashSet Integer List Map Math Number Object
Set String Vec strconv string strings sort vector std sqrt swap push_back to_string stoi
"""

KEYWORDS = frozenset(_KEYWORDS.split())
"""Those of several languages together; each keeps its text wherever it stands."""

BUILT_IN = frozenset(_BUILT_IN.split())
"""In the case in which code has them; each keeps its text only where it is called or looked into,
as a variable may bear its name."""
