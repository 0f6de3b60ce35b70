// In the program's process: load the program once the examiner is ready, then call its functions
// as it asks. Nothing here is secret or trusted; all that leaves this process is data.
const { compileFunction } = require('vm');
const { createRequire } = require('module');
const { readFileSync } = require('fs');
const { dirname, resolve } = require('path');

const end = process.reallyExit.bind(process);
const path = resolve(process.argv[1]);
const numbers = new Map();
const values = [];

function keep(value) {
  if (!numbers.has(value)) {
    numbers.set(value, values.length);
    values.push(value);
  }
  return [numbers.get(value), kind(value)];
}

function kind(value) {
  const made = Object(value).constructor;
  return typeof made === 'function' ? String(made.name) : typeof value;
}

if (receive() === null) end(1);
const text = readFileSync(path, 'utf8').replace(/^\uFEFF?(#!.*)?/, '');
const module_ = { exports: {} };
// The last words give a way to the program's own names, which live in its function alone.
const look = compileFunction(
  `${text}\n;return (wavecoderName) => eval(wavecoderName);`,
  ['exports', 'require', 'module', '__filename', '__dirname'],
  { filename: path },
).call(module_.exports, module_.exports, createRequire(path), module_, path, dirname(path));
if (typeof look !== 'function') end(1);

for (;;) {
  const request = receive();
  if (request === null) end(1);
  const [what, name, given] = request;
  if (what === 'end') end(0);
  let answer;
  try {
    const result = look(name)(...decode(given, (number) => values[number]));
    answer = ['value', encode(result, keep)];
  } catch (error) {
    const known = error instanceof Error;
    answer = ['raised', known ? String(error.name) : typeof error, known ? String(error.message) : ''];
  }
  send(answer);
}
