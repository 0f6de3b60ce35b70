<?php
// Calls a function of subject.php and writes each result as a line; see wire.py for the lines.
// Every call is made in a process of its own. Arguments: mark, room, seconds, how many may be lost,
// the function. calls.php gives number and arguments of each call.
namespace wavecoder;

final class Opaque extends \Exception {}

final class Driver {
    private $out; private string $mark; private int $room;

    public function __construct(string $mark, int $room) {
        $this->out = \fopen('php://fd/9', 'w'); $this->mark = $mark; $this->room = $room;
    }
    public function say(int $number, string $line): void {
        \fwrite($this->out, "{$this->mark} $number $line\n"); \fflush($this->out);
    }
    public static function encode(mixed $value, int $depth = 0): string {
        if ($depth > 60) throw new Opaque('a value too deep');
        if ($value === null) return 'null';
        if (\is_bool($value)) return $value ? 'true' : 'false';
        if (\is_int($value)) return (string) $value;
        if (\is_float($value)) {
            if (\is_nan($value)) return 'NaN';
            if (\is_infinite($value)) return $value > 0 ? 'Infinity' : '-Infinity';
            $text = \var_export($value, true);
            return $text;
        }
        if (\is_string($value)) {
            $flags = \JSON_UNESCAPED_SLASHES;
            $text = \json_encode($value, $flags);
            if ($text !== false) return $text;
            $made = '"';
            foreach (\str_split($value) as $byte) $made .= \sprintf(\ord($byte) > 127 ? '\\udc%02x' : '\\u%04x', \ord($byte));
            return $made . '"';
        }
        if (\is_array($value)) {
            $made = [];
            if (\array_is_list($value)) {
                foreach ($value as $one) $made[] = self::encode($one, $depth + 1);
                return '[' . \implode(',', $made) . ']';
            }
            foreach ($value as $key => $one) $made[] = '[' . self::encode($key, $depth + 1) . ',' . self::encode($one, $depth + 1) . ']';
            return '{"m":[' . \implode(',', $made) . ']}';
        }
        if (\is_object($value) && \get_class($value) === 'stdClass') {
            $made = [];
            foreach ((array) $value as $key => $one) $made[] = '[' . self::encode((string) $key, $depth + 1) . ',' . self::encode($one, $depth + 1) . ']';
            return '{"m":[' . \implode(',', $made) . ']}';
        }
        if ($value instanceof \Generator) {
            $made = [];
            foreach ($value as $one) { $made[] = self::encode($one, $depth + 1); if (\count($made) > 2000) throw new Opaque('too many items'); }
            return '[' . \implode(',', $made) . ']';
        }
        throw new Opaque('a value of the type ' . \get_debug_type($value));
    }
    private static function tried(mixed $value): ?string {
        try { return self::encode($value); } catch (Opaque $opaque) { return null; }
    }
    public static function words(\Throwable $error): string {
        return \substr(\preg_replace('/\s+/', ' ', \get_class($error) . ': ' . $error->getMessage()), 0, 300);
    }
    public function called(callable $function, array $given): string {
        $before = \array_map([self::class, 'tried'], $given);
        try {
            $slots = [];
            foreach ($given as $at => $_) $slots[$at] = &$given[$at];
            $result = $function(...$slots);
            $line = self::encode($result);
            if ($result === null) {
                $after = \array_map([self::class, 'tried'], $given);
                if ($after !== $before && !\in_array(null, $after, true)) $line = '[' . \implode(',', $after) . ']';
            }
        } catch (Opaque $opaque) {
            return 'O ' . $opaque->getMessage();
        } catch (\Throwable $error) {
            return 'R ' . self::words($error);
        }
        return \strlen($line) <= $this->room ? "V $line" : 'O a value of ' . \strlen($line) . ' characters';
    }
}

[, $mark, $room, $seconds, $most, $function] = $argv;
$driver = new Driver($mark, (int) $room);
\ini_set('memory_limit', '512M');
\error_reporting(\E_ALL & ~\E_DEPRECATED & ~\E_WARNING & ~\E_NOTICE);
try {
    require 'subject.php';
    if (!\is_callable($function)) throw new \Error("Call to undefined function $function()");
} catch (\Throwable $error) {
    $driver->say(-1, 'F ' . Driver::words($error));
    exit(0);
}
$calls = require 'calls.php';
$lost = 0;
foreach ($calls as [$number, $given]) {
    if ($lost >= (int) $most) { $driver->say($number, 'T it was not run: too many calls before it did not end'); continue; }
    $pid = \pcntl_fork();
    if ($pid === 0) {
        $said = false;
        \register_shutdown_function(function () use ($driver, $number, &$said) {
            if ($said) return;
            $last = \error_get_last();
            $words = $last === null ? '' : \preg_replace('/\s+/', ' ', $last['message']);
            if (\str_starts_with($words, 'Maximum execution time')) { $driver->say($number, 'T it did not end'); \posix_kill(\posix_getpid(), 14); }
            $driver->say($number, 'C ' . ($words === '' ? 'it ended its process' : \substr($words, 0, 200)));
        });
        \pcntl_signal(\SIGALRM, \SIG_DFL);
        \pcntl_alarm((int) \ceil(3 * (float) $seconds + 1));
        \set_time_limit((int) \ceil((float) $seconds));  // of CPU
        $line = $driver->called($function, $given());
        $said = true;
        $driver->say($number, $line);
        exit(0);
    }
    \pcntl_waitpid($pid, $status);
    if (\pcntl_wifsignaled($status) && \pcntl_wtermsig($status) === 14) {
        $lost += 1;
        $driver->say($number, 'T it did not end');
    } else {
        $driver->say($number, 'C exit status ' . $status);
    }
}
