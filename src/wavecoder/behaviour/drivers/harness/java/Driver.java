package wavecoder;

import java.io.FileOutputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collection;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** Makes the calls of `Calls` and writes each result as a line; see wire.py for the lines. */
public final class Driver {
    public interface Call { Object[] given() throws Throwable; Object run(Object[] given) throws Throwable; boolean isVoid(); }
    static final class Opaque extends RuntimeException {
        Opaque(String words) { super(words, null, false, false); }
    }
    private static OutputStream out;
    private static String mark;
    private static int room;
    private static volatile long began, deadline;
    private static volatile int current;

    private static synchronized void say(int number, String line) throws Exception {
        out.write((mark + " " + number + " " + line + "\n").getBytes(StandardCharsets.UTF_8));
    }

    private static void text(String value, StringBuilder made) {
        made.append('"');
        for (int at = 0; at < value.length(); at++) {
            char one = value.charAt(at);
            if (one == '"' || one == '\\') made.append('\\').append(one);
            else if (one < 32 || one > 126) made.append(String.format("\\u%04x", (int) one));
            else made.append(one);
        }
        made.append('"');
    }

    private static boolean ours(Object value) {
        Class<?> kind = value.getClass();
        String name = kind.getName();
        // `new HashMap() {{ … }}` is a class of the subject's own, as are ours of the arguments.
        while (name.contains("$") && kind.isAnonymousClass() && !name.startsWith("java.")) { kind = kind.getSuperclass(); name = kind.getName(); }
        return name.startsWith("java.util.");
    }

    private static void encode(Object value, StringBuilder made, int depth) {
        if (depth > 60) throw new Opaque("a value too deep");
        if (value == null) { made.append("null"); return; }
        Class<?> kind = value.getClass();
        if (kind == String.class) text((String) value, made);
        else if (kind == StringBuilder.class || kind == StringBuffer.class) text(value.toString(), made);
        else if (kind == Character.class) text(value.toString(), made);
        else if (kind == Boolean.class || kind == Integer.class || kind == Long.class || kind == Short.class || kind == Byte.class || kind == java.math.BigInteger.class) made.append(value);
        else if (kind == Double.class || kind == Float.class) {
            made.append(value);
        } else if (kind.isArray()) {
            made.append('[');
            for (int at = 0; at < java.lang.reflect.Array.getLength(value); at++) {
                if (at > 0) made.append(',');
                encode(java.lang.reflect.Array.get(value, at), made, depth + 1);
            }
            made.append(']');
        } else if (kind == Optional.class) encode(((Optional<?>) value).orElse(null), made, depth + 1);
        else if (kind == java.util.OptionalInt.class) encode(((java.util.OptionalInt) value).isPresent() ? ((java.util.OptionalInt) value).getAsInt() : null, made, depth);
        else if (value instanceof Enum) text(((Enum<?>) value).name(), made);
        else if (value instanceof Map && ours(value)) {
            made.append("{\"m\":[");
            boolean first = true;
            for (Map.Entry<?, ?> one : ((Map<?, ?>) value).entrySet()) {
                if (!first) made.append(',');
                first = false;
                made.append('[');
                encode(one.getKey(), made, depth + 1);
                made.append(',');
                encode(one.getValue(), made, depth + 1);
                made.append(']');
            }
            made.append("]}");
        } else if (value instanceof Map.Entry && (ours(value))) {
            made.append('[');
            encode(((Map.Entry<?, ?>) value).getKey(), made, depth + 1);
            made.append(',');
            encode(((Map.Entry<?, ?>) value).getValue(), made, depth + 1);
            made.append(']');
        } else if (value instanceof Collection && ours(value)) {
            boolean set = value instanceof Set;
            made.append(set ? "{\"s\":[" : "[");
            boolean first = true;
            for (Object one : (Collection<?>) value) {
                if (!first) made.append(',');
                first = false;
                encode(one, made, depth + 1);
            }
            made.append(set ? "]}" : "]");
        } else throw new Opaque("a value of the type " + kind.getSimpleName());
    }

    private static String encoded(Object value) {
        StringBuilder made = new StringBuilder();
        encode(value, made, 0);
        return made.toString();
    }

    private static String tried(Object[] values) {
        try { return encoded(values); } catch (Opaque opaque) { return null; }
    }

    private static String called(Call call) {
        try {
            Object[] given = call.given();
            String before = tried(given);
            Object result = call.run(given);
            String made;
            if (call.isVoid()) {
                String after = tried(given);
                made = after != null && !after.equals(before) ? after : "null";
            } else made = encoded(result);
            return made.length() <= room ? "V " + made : "O a value of " + made.length() + " characters";
        } catch (Opaque opaque) {
            return "O " + opaque.getMessage();
        } catch (OutOfMemoryError error) {
            return "C it ran out of memory";
        } catch (Throwable error) {
            String words = error.getClass().getSimpleName() + ": " + error.getMessage();
            words = words.replaceAll("\\s+", " ");
            return "R " + words.substring(0, Math.min(300, words.length()));
        }
    }

    private static long used() {
        return ProcessHandle.current().info().totalCpuDuration().map(java.time.Duration::toMillis).orElse(0L);
    }

    private static void watch(long milliseconds) {
        Thread thread = new Thread(() -> {
            int seen = -1;
            long since = 0, cpu = 0;
            while (true) {
                try { Thread.sleep(Math.max(10, milliseconds / 10)); } catch (InterruptedException stopped) { continue; }
                if (seen != current) { seen = current; since = System.nanoTime(); cpu = used(); continue; }
                long wall = (System.nanoTime() - since) / 1000000;
                if (wall > 3 * milliseconds + 1000 || (wall > milliseconds && used() - cpu > milliseconds)) Runtime.getRuntime().halt(142);
            }
        });
        thread.setDaemon(true);
        thread.start();
    }

    /** Arguments: mark, room, milliseconds of a call, place of the first call. */
    public static void main(String[] words) throws Throwable {
        mark = words[0];
        room = Integer.parseInt(words[1]);
        out = new FileOutputStream("/proc/self/fd/9");
        Path progress = Path.of("at");
        Call[] calls;
        int[] numbers;
        try {
            Class<?> made = Class.forName("WavecoderCalls");
            calls = (Call[]) made.getField("CALLS").get(null);
            numbers = (int[]) made.getField("NUMBERS").get(null);
        } catch (Throwable error) {
            Throwable cause = error.getCause() == null ? error : error.getCause();
            say(-1, "F " + (cause.getClass().getSimpleName() + ": " + cause.getMessage()).replaceAll("\\s+", " "));
            Runtime.getRuntime().halt(0);
            return;
        }
        watch(Long.parseLong(words[2]));
        for (int at = Integer.parseInt(words[3]); at < calls.length; at++) {
            current = at;
            Files.writeString(progress, at + "\n");
            say(numbers[at], called(calls[at]));
        }
        System.out.flush();
        Files.writeString(progress, calls.length + "\n");
        Runtime.getRuntime().halt(0);
    }
}
