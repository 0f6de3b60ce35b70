// Calls a function of `subject.js` and writes each result as a line; see wire.py for the lines.
// Arguments: place of the first call, mark, room, milliseconds of a call. `calls.js` gives the
// argument lists. Values are told by what the engine says of them, and no method of theirs is asked.
'use strict';
(() => {
  const fs = require('fs'), vm = require('vm'), path = require('path');
  const { types } = require('util'), { isBuiltin } = require('module');
  const [first, mark, room, milliseconds] = process.argv.slice(2);
  const { write, exit, cpuUsage } = { write: fs.writeSync, exit: process.reallyExit.bind(process), cpuUsage: process.cpuUsage.bind(process) };
  const { getPrototypeOf, getOwnPropertyDescriptor, keys } = Object;
  const { isArray } = Array, quote = JSON.stringify, text = String;
  const plain = Object.prototype, arrayed = Array.prototype;
  const mapEntries = Map.prototype.entries, setValues = Set.prototype.values;
  const NEXT = getPrototypeOf(new Map().entries()).next, SETNEXT = getPrototypeOf(new Set().values()).next;
  const say = (number, line) => write(9, `${mark} ${number} ${line}\n`);
  class Opaque { constructor(words) { this.words = words; } }

  const all = (iterator, next) => {
    const found = [];
    for (let one = next.call(iterator); !one.done; one = next.call(iterator)) found.push(one.value);
    return found;
  };
  const encode = (value, depth) => {
    if (depth > 60) throw new Opaque('a value too deep');
    switch (typeof value) {
      case 'undefined': return 'null';
      case 'boolean': return value ? 'true' : 'false';
      case 'number': return value === Infinity ? 'Infinity' : value === -Infinity ? '-Infinity' : value !== value ? 'NaN' : Object.is(value, -0) ? '-0.0' : text(value);
      case 'bigint': return text(value);
      case 'string': return quote(value);
      case 'object': break;
      default: throw new Opaque(`a ${typeof value}`);
    }
    if (value === null) return 'null';
    if (types.isProxy(value)) throw new Opaque('a proxy');
    const list = (items) => '[' + items.map((one) => encode(one, depth + 1)).join(',') + ']';
    const own = (key) => {
      const found = getOwnPropertyDescriptor(value, key);
      if (found && !('value' in found)) throw new Opaque('a property with a getter');
      return found ? found.value : undefined;
    };
    if (isArray(value)) {
      if (value.length > 100000) throw new Opaque('a list too long');
      const items = [];
      for (let at = 0; at < value.length; at++) items.push(own(at));
      return list(items);
    }
    if (types.isTypedArray(value)) return list(Array.from(value));
    if (types.isSet(value)) return '{"s":' + list(all(setValues.call(value), SETNEXT)) + '}';
    const pairs = (entries) => '{"m":' + '[' + entries.map((one) => '[' + encode(one[0], depth + 1) + ',' + encode(one[1], depth + 1) + ']').join(',') + ']}';
    if (types.isMap(value)) return pairs(all(mapEntries.call(value), NEXT));
    if (types.isGeneratorObject(value)) {
      const items = [];
      for (const one of value) { if (items.push(one) > 2000) throw new Opaque('too many items'); }
      return list(items);
    }
    const kind = getPrototypeOf(value);
    if (kind === plain || kind === null) return pairs(keys(value).map((key) => [key, own(key)]));
    throw new Opaque('an object of a class');
  };
  const tried = (value) => { try { return encode(value, 0); } catch (error) { return null; } };
  const words = (error) => {
    try {
      const said = error instanceof Error ? `${error.name}: ${error.message}` : `Thrown: ${tried(error)}`;
      return said.replace(/\s+/g, ' ').slice(0, 300);
    } catch (other) { return 'Error: '; }
  };

  const load = () => {
    const module = { exports: {} };
    Object.assign(globalThis, {
      module, exports: module.exports,
      require: (name) => {
        if (isBuiltin(name)) return require(name);
        if (fs.existsSync(path.join('node_modules', name))) return require(path.resolve('node_modules', name));
        throw new Error(`Cannot find module ${name}`);
      },
    });
    vm.runInThisContext(fs.readFileSync('subject.js', 'utf8'), { filename: 'subject.js', timeout: 10000 });
    const name = process.env.WAVECODER_FUNCTION;
    const found = vm.runInThisContext(`typeof ${name} !== 'undefined' ? ${name} : module.exports.${name}`);
    if (typeof found !== 'function') throw new Error(`there is no function ${name}`);
    return found;
  };
  let target;
  try { target = load(); } catch (error) { say(-1, `F ${words(error)}`); exit(0); }
  const numbers = JSON.parse(fs.readFileSync('numbers', 'utf8'));
  const given = vm.runInThisContext(fs.readFileSync('calls.js', 'utf8'));
  let current;
  globalThis.__wavecoder = () => {
    current.result = target.apply(undefined, current.given);
    if (types.isGeneratorObject(current.result)) current.made = encode(current.result, 0);
  };
  const script = new vm.Script('__wavecoder()');
  const call = (at, wait) => {
    current = { given: given[at]() };
    const before = current.given.map(tried);
    const began = cpuUsage();
    try {
      script.runInThisContext({ timeout: wait });
    } catch (error) {
      if (error instanceof Opaque) return `O ${error.words}`;
      if (error && error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') {
        const used = cpuUsage(began);
        // A machine that gave it no time is not its fault.
        if (wait < 2 * milliseconds && (used.user + used.system) / 1000 < 0.7 * wait) return call(at, 3 * wait);
        return 'T it did not end';
      }
      return `R ${words(error)}`;
    }
    const { result, made } = current;
    if (types.isPromise(result)) return 'O a promise';
    try {
      let line = made || encode(result, 0);
      if (result === undefined) {
        const after = current.given.map(tried);
        if (!after.includes(null) && after.join() !== before.join()) line = `[${after.join()}]`;
      }
      return line.length <= +room ? `V ${line}` : `O a value of ${line.length} characters`;
    } catch (error) {
      return error instanceof Opaque ? `O ${error.words}` : `O ${words(error)}`;
    }
  };
  let lost = 0;
  for (let at = +first; at < numbers.length; at++) {
    fs.writeFileSync('at', `${at}\n`);
    if (lost >= +process.env.WAVECODER_LOST) { say(numbers[at], 'T it was not run: too many calls before it did not end'); continue; }
    const line = call(at, +milliseconds);
    if (line[0] === 'T') lost += 1;
    say(numbers[at], line);
  }
  fs.writeFileSync('at', `${numbers.length}\n`);
  exit(0);
})();
