// How a program's process and its examiner talk: frames on descriptors 5 (in) and 6 (out), each a
// length of four bytes and JSON. Values travel as plain data; what is none is named by a number.
const { readSync, writeSync } = require('fs');
const { parse, stringify } = JSON; // a program may change what it finds
const MOST = 64 << 20; // bytes of a frame

function receive() {
  const size = exactly(4);
  if (size === null) return null;
  const length = size.readUInt32LE(0);
  if (length > MOST) throw new RangeError('a frame is too long');
  const data = exactly(length);
  return data === null ? null : parse(data.toString('utf8'));
}

function exactly(size) {
  const data = Buffer.alloc(size);
  for (let at = 0; at < size; ) {
    const more = readSync(5, data, at, size - at, null);
    if (more === 0) return null;
    at += more;
  }
  return data;
}

function send(message) {
  const text = Buffer.from(stringify(message), 'utf8');
  const data = Buffer.alloc(4 + text.length);
  data.writeUInt32LE(text.length, 0);
  text.copy(data, 4);
  for (let at = 0; at < data.length; ) at += writeSync(6, data, at, data.length - at);
}

// A value as JSON: what JSON has no word for is a list of a tag and what belongs to it.
function encode(value, keep) {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      if (Number.isFinite(value) && !Object.is(value, -0)) return value;
      return ['number', Object.is(value, -0) ? '-0' : String(value)];
    case 'bigint':
      return ['bigint', String(value)];
    case 'undefined':
      return ['undefined'];
    case 'object': {
      if (value === null) return null;
      if (Array.isArray(value)) return ['array', Array.from(value, (one) => encode(one, keep))];
      const above = Object.getPrototypeOf(value);
      if (above === Object.prototype || above === null) {
        return ['object', Object.keys(value).map((key) => [key, encode(value[key], keep)])];
      }
    }
  }
  return ['kept', ...keep(value)];
}

// What `encode` made, checked: whoever sent it may have made it himself.
function decode(data, kept) {
  if (data === null || typeof data !== 'object') return data;
  const [tag, body] = data;
  switch (tag) {
    case 'number':
      return Number(body);
    case 'bigint':
      return BigInt(body);
    case 'undefined':
      return undefined;
    case 'array':
      return body.map((one) => decode(one, kept));
    case 'object': {
      const object = {};
      for (const [key, value] of body) {
        // Not assigned: a key may be `__proto__`.
        Object.defineProperty(object, String(key), {
          value: decode(value, kept),
          configurable: true,
          enumerable: true,
          writable: true,
        });
      }
      return object;
    }
    case 'kept':
      return kept(Number(body), String(data[2]));
  }
  throw new TypeError('a value of no known kind');
}
