package wavecoder;

import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.HashMap;
import java.util.Map;

/** Runs the tests' Main and answers behind its end. Nothing here is static: it has no state to find. */
public final class Launcher {
    private Launcher() {}

    public static void main(String[] args) throws Exception {
        byte[] token = new byte[16];
        int whole;
        try (FileInputStream secret = new FileInputStream("/proc/self/fd/3")) {
            whole = secret.read(token);
        }
        FileOutputStream answer = new FileOutputStream("/proc/self/fd/4");
        FileOutputStream errors = new FileOutputStream("/proc/self/fd/2");
        int code = 2;
        try {
            Class<?> main = new Loader(taken()).loadClass("Main");
            main.getMethod("main", String[].class).invoke(null, (Object) new String[0]);
            code = 0;
        } catch (java.lang.reflect.InvocationTargetException caught) {
            Throwable cause = caught.getCause();
            boolean wrong = cause.getClass() == AssertionError.class && byTests(cause);
            String name = wrong ? "a test's assertion failed" : cause.getClass().getName();
            errors.write((name + "\n").getBytes(StandardCharsets.UTF_8));
            code = wrong ? 1 : 2;
        } catch (LinkageError | ReflectiveOperationException error) {
            errors.write((error + "\n").getBytes(StandardCharsets.UTF_8));
        }
        if (code == 0 && whole == token.length) {
            answer.write(token);
        }
        Runtime.getRuntime().halt(code); // no hooks, no waiting for threads
    }

    private static boolean byTests(Throwable thrown) {
        StackTraceElement[] trace = thrown.getStackTrace();
        return trace.length > 0 && trace[0].getClassName().equals("Main");
    }

    /** Takes the compiled classes from the folder, so that the program finds no tests to read. */
    private static Map<String, byte[]> taken() throws IOException {
        Map<String, byte[]> classes = new HashMap<>();
        File[] files = new File(".").listFiles();
        for (File file : files == null ? new File[0] : files) {
            String name = file.getName();
            if (name.endsWith(".class")) {
                String stem = name.substring(0, name.length() - ".class".length());
                classes.put(stem, Files.readAllBytes(file.toPath()));
            }
            file.delete();
        }
        return classes;
    }

    private static final class Loader extends ClassLoader {
        private final Map<String, byte[]> classes;

        Loader(Map<String, byte[]> classes) {
            super(Launcher.class.getClassLoader());
            this.classes = classes;
        }

        @Override
        protected Class<?> findClass(String name) throws ClassNotFoundException {
            byte[] bytes = classes.remove(name);
            if (bytes == null) {
                throw new ClassNotFoundException(name);
            }
            return defineClass(name, bytes, 0, bytes.length);
        }
    }
}
