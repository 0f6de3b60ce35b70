// What every C++ subject is compiled with: the standard library, and how results become lines.
#include <bits/stdc++.h>
#if __has_include(<boost/any.hpp>)
#include <boost/any.hpp>
#define WAVECODER_ANY
#endif
#include <csignal>
#include <cxxabi.h>
#include <sys/time.h>
#include <unistd.h>
using namespace std;

namespace wavecoder {
struct Opaque { std::string words; };

inline std::string text(const std::string &value) {
    std::string made = "\"";
    char held[8];
    for (size_t at = 0; at < value.size();) {
        unsigned char one = value[at];
        size_t size = one < 0x80 ? 1 : one >= 0xc2 && one < 0xe0 ? 2 : one >= 0xe0 && one < 0xf0 ? 3 : one >= 0xf0 && one < 0xf5 ? 4 : 0;
        bool whole = size && at + size <= value.size();
        for (size_t next = 1; whole && next < size; next++) whole = (static_cast<unsigned char>(value[at + next]) & 0xc0) == 0x80;
        if (!whole) {
            std::snprintf(held, sizeof held, "\\udc%02x", one);
            made += held;
            size = 1;
        } else if (one < 0x20 || one == '"' || one == '\\' || one == 0x7f) {
            std::snprintf(held, sizeof held, "\\u%04x", one);
            made += held;
        } else made.append(value, at, size);
        at += size;
    }
    return made + "\"";
}

template <class T> std::string encode(const T &value);

template <class T> struct Plain {
    static std::string of(const T &value) {
        if constexpr (std::is_same_v<T, bool>) return value ? "true" : "false";
        else if constexpr (std::is_same_v<T, char>) return text(std::string(1, value));
        else if constexpr (std::is_integral_v<T>) return std::to_string(value);
        else if constexpr (std::is_floating_point_v<T>) {
            if (std::isnan(value)) return "NaN";
            if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
            char held[64];
            std::snprintf(held, sizeof held, std::is_same_v<T, float> ? "%.9g" : "%.17g", static_cast<double>(value));
            std::string made = held;
            return made.find_first_of(".e") == std::string::npos ? made + ".0" : made;
        } else if constexpr (std::is_enum_v<T>) return std::to_string(static_cast<long long>(value));
        else throw Opaque{"a value of a type of its own"};
    }
};
template <> struct Plain<std::string> { static std::string of(const std::string &value) { return text(value); } };
template <> struct Plain<std::string_view> { static std::string of(const std::string_view &value) { return text(std::string(value)); } };
template <> struct Plain<const char *> { static std::string of(const char *const &value) { return value ? text(value) : "null"; } };
template <> struct Plain<char *> { static std::string of(char *const &value) { return value ? text(value) : "null"; } };
template <class C> std::string row(const C &value) {
    std::string made = "[";
    bool first = true;
    for (const auto &one : value) {
        if (!first) made += ",";
        first = false;
        made += encode<typename C::value_type>(one);
    }
    return made + "]";
}
template <class C> std::string pairs(const C &value) {
    std::string made = "{\"m\":[";
    bool first = true;
    for (const auto &one : value) {
        if (!first) made += ",";
        first = false;
        made += "[" + encode(one.first) + "," + encode(one.second) + "]";
    }
    return made + "]}";
}
#define WAVECODER_ROW(NAME) template <class T> struct Plain<NAME<T>> { static std::string of(const NAME<T> &value) { return row(value); } };
WAVECODER_ROW(std::vector) WAVECODER_ROW(std::list) WAVECODER_ROW(std::deque) WAVECODER_ROW(std::forward_list)
#undef WAVECODER_ROW
template <class T, size_t N> struct Plain<std::array<T, N>> { static std::string of(const std::array<T, N> &value) { return row(value); } };
#define WAVECODER_SET(NAME) template <class T> struct Plain<NAME<T>> { static std::string of(const NAME<T> &value) { return "{\"s\":" + row(value) + "}"; } };
WAVECODER_SET(std::set) WAVECODER_SET(std::unordered_set)
#undef WAVECODER_SET
template <class K, class V> struct Plain<std::map<K, V>> { static std::string of(const std::map<K, V> &value) { return pairs(value); } };
template <class K, class V> struct Plain<std::unordered_map<K, V>> { static std::string of(const std::unordered_map<K, V> &value) { return pairs(value); } };
template <class A, class B> struct Plain<std::pair<A, B>> { static std::string of(const std::pair<A, B> &value) { return "[" + encode(value.first) + "," + encode(value.second) + "]"; } };
template <class... A> struct Plain<std::tuple<A...>> {
    static std::string of(const std::tuple<A...> &value) {
        std::string made;
        std::apply([&](const A &...one) { ((made += (made.empty() ? "[" : ",") + encode(one)), ...); }, value);
        return made.empty() ? "[]" : made + "]";
    }
};
template <class T> struct Plain<std::optional<T>> { static std::string of(const std::optional<T> &value) { return value ? encode(*value) : "null"; } };
template <class T> struct Plain<std::unique_ptr<T>> { static std::string of(const std::unique_ptr<T> &value) { return value ? encode(*value) : "null"; } };
template <class T> struct Plain<std::shared_ptr<T>> { static std::string of(const std::shared_ptr<T> &value) { return value ? encode(*value) : "null"; } };
#ifdef WAVECODER_ANY
template <> struct Plain<boost::any> {
    static std::string of(const boost::any &value) {
        if (value.empty()) return "null";
#define WAVECODER_AS(TYPE) if (const TYPE *found = boost::any_cast<TYPE>(&value)) return encode(*found);
        WAVECODER_AS(int) WAVECODER_AS(double) WAVECODER_AS(std::string) WAVECODER_AS(bool) WAVECODER_AS(char)
        WAVECODER_AS(float) WAVECODER_AS(long) WAVECODER_AS(long long) WAVECODER_AS(std::vector<int>)
#undef WAVECODER_AS
        throw Opaque{"a boost::any of another type"};
    }
};
#endif
template <class T> std::string encode(const T &value) { return Plain<std::remove_cv_t<T>>::of(value); }

inline const char *mark = "";
inline int number = 0;
inline size_t room = 0;
inline void say(std::string line) {
    for (char &one : line) if (one == '\n' || one == '\r') one = ' ';
    line = std::string(mark) + " " + std::to_string(number) + " " + line + "\n";
    if (write(9, line.data(), line.size()) < 0) _exit(1);
}
[[noreturn]] inline void value(const std::string &made) {
    say(made.size() <= room ? "V " + made : "O a value of " + std::to_string(made.size()) + " characters");
    _exit(0);
}
template <class... A> std::string all(const A &...given) {
    std::string made;
    ((made += (made.empty() ? "[" : ",") + encode(given)), ...);
    return made.empty() ? "[]" : made + "]";
}
// It refused: an assertion of the library (an index out of range) or a division by zero.
inline void refused(int signal) {
    const char *words = signal == SIGFPE ? " R arithmetic: division by zero or overflow\n" : " R abort: an assertion failed\n";
    char held[160];
    int size = std::snprintf(held, sizeof held, "%s %d%s", mark, number, words);
    if (write(9, held, size) < 0) _exit(1);
    _exit(0);
}
template <class F> [[noreturn]] void guarded(F run) {
    std::signal(SIGABRT, refused);
    std::signal(SIGFPE, refused);
    try {
        run();
    } catch (const Opaque &opaque) {
        say("O " + opaque.words);
    } catch (const std::exception &error) {
        int status;
        char *name = abi::__cxa_demangle(typeid(error).name(), nullptr, nullptr, &status);
        say("R " + std::string(name ? name : "exception") + ": " + std::string(error.what()).substr(0, 200));
    } catch (...) {
        say("R thrown: a value");
    }
    _exit(0);
}
inline void arm(double seconds) {
    struct itimerval cpu = {};
    cpu.it_value.tv_sec = static_cast<time_t>(seconds);
    cpu.it_value.tv_usec = static_cast<suseconds_t>((seconds - cpu.it_value.tv_sec) * 1e6);
    setitimer(ITIMER_PROF, &cpu, nullptr);
    alarm(static_cast<unsigned>(3 * seconds) + 1);
}
} // namespace wavecoder
