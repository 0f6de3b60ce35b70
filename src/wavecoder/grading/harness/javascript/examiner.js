// In a process of its own: the tests. They call the program's function through `call`, which asks
// the other process. At the end the token goes from descriptor 3 to descriptor 4.
const { compileFunction } = require('vm');

const [tests] = process.argv.slice(1);
const strangers = new Map(); // number: the stand-in for what is no plain value
const end = process.reallyExit.bind(process);

// The program may send this signal, and Node would open its debugger to it.
process.on('SIGUSR1', () => {});

class Failed extends Error {}

function leave(code, words) {
  writeSync(2, words.slice(0, 2000));
  end(code);
}

// It equals itself; whatever else a test does with it fails that test.
function stranger(number, kind) {
  if (!strangers.has(number)) {
    const refuse = () => {
      throw new Failed(`the program gave back a ${kind.slice(0, 100)}, which is no plain value`);
    };
    const traps = {};
    for (const name of Object.getOwnPropertyNames(Reflect)) traps[name] = refuse;
    strangers.set(number, new Proxy({}, traps));
  }
  return strangers.get(number);
}

function keep(value) {
  for (const [number, one] of strangers) if (one === value) return [number, ''];
  throw new TypeError('a test gives the program what is no plain value');
}

function tell(message) {
  try {
    send(message);
  } catch {
    end(2); // the program is gone, and its own end says why
  }
}

function call(name, given) {
  tell(['call', name, encode(given, keep)]);
  let what, value, words;
  try {
    const answer = receive();
    if (answer === null) end(2);
    [what, value, words] = answer;
    if (what === 'value') return decode(value, stranger);
    if (what !== 'raised') throw new TypeError('an answer of no known kind');
  } catch (error) {
    leave(3, String(error));
  }
  throw Object.assign(new Error(String(words)), { name: String(value).slice(0, 100) });
}

const console_ = {
  assert(holds, ...words) {
    if (!holds) throw new Failed(words.map(String).join(' '));
  },
};

try {
  const run = compileFunction(tests, ['console', 'wavecoderCall'], { filename: 'tests.js' });
  tell(['start']);
  run(console_, call);
} catch (error) {
  const line = /tests\.js:(\d+)/.exec(error.stack);
  const where = line ? ` (line ${line[1]} of the tests)` : '';
  if (error instanceof Failed) leave(1, `Assertion failed${where}: ${error.message}`);
  leave(2, `${error.name}: ${error.message}`);
}
const token = Buffer.alloc(16);
if (readSync(3, token, 0, 16, null) !== 16) leave(4, 'no token');
writeSync(4, token);
tell(['end']);
end(0);
