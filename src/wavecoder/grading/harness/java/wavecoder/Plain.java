package wavecoder;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** What the program gave back, as values of the standard library whose methods it did not write. */
public final class Plain {
    private Plain() {}

    public static boolean of(boolean value) {
        return value;
    }

    public static char of(char value) {
        return value;
    }

    public static int of(int value) {
        return value;
    }

    public static long of(long value) {
        return value;
    }

    public static float of(float value) {
        return value;
    }

    public static double of(double value) {
        return value;
    }

    /** Boxed values and texts stay the objects they are: a test compares some by identity. */
    @SuppressWarnings("unchecked")
    public static <T> T of(T value) {
        return (T) plain(value);
    }

    private static Object plain(Object value) {
        if (value == null || value instanceof String || value instanceof Integer
                || value instanceof Boolean || value instanceof Double || value instanceof Long
                || value instanceof Character || value instanceof Float || value instanceof Short
                || value instanceof Byte) {
            return value;
        }
        if (value instanceof Optional) {
            Optional<?> optional = (Optional<?>) value;
            return optional.isPresent() ? Optional.of(plain(optional.get())) : optional;
        }
        if (value instanceof List) {
            List<Object> list = new ArrayList<>();
            for (Object item : ((List<?>) value).toArray()) {
                list.add(plain(item));
            }
            return list;
        }
        if (value instanceof Set) {
            Set<Object> set = new HashSet<>();
            for (Object item : ((Set<?>) value).toArray()) {
                set.add(plain(item));
            }
            return set;
        }
        if (value instanceof Map) {
            Map<Object, Object> map = new HashMap<>();
            for (Object one : ((Map<?, ?>) value).entrySet().toArray()) {
                Map.Entry<?, ?> entry = (Map.Entry<?, ?>) one;
                map.put(plain(entry.getKey()), plain(entry.getValue()));
            }
            return map;
        }
        if (value.getClass().isArray()) {
            return value instanceof Object[] ? plainArray((Object[]) value) : value;
        }
        throw new IllegalArgumentException("the program gave back a " + value.getClass().getName());
    }

    private static Object plainArray(Object[] values) {
        Object[] copy = values.clone();
        for (int i = 0; i < copy.length; i++) {
            copy[i] = plain(copy[i]);
        }
        return copy;
    }
}
