import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { JsonScanner, JsonSyntaxError } from '../../../../src/api/gateway/json-scanner.ts';

/** Where the first value ends, given the text in pieces; undefined if there is none. */
function endOf(text: string, pieceBytes = Infinity): number | undefined {
  const scanner = new JsonScanner();
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const end = scanner.scan(bytes.subarray(at, at + pieceBytes), 0);
    if (end !== undefined) return at + end;
  }
  return scanner.end() ? bytes.length : undefined;
}

function refusal(text: string): string {
  try {
    endOf(text);
  } catch (error) {
    if (error instanceof JsonSyntaxError) return error.message;
    throw error;
  }
  throw new Error('accepted');
}

describe('the end of a value', () => {
  test.each([
    ['{}', 2],
    [' {} {}', 3],
    ['{"a":"}\\"{"}x', 12],
    ['[[],[{}]]]', 9],
    ['"a"b', 3],
    ['true', 4],
    ['nullnull', 4],
    ['12 ', 2],
    ['0', 1],
    ['01', 1],
    ['-0.5e+7', 7],
    ['1e5]', 3],
    ['1-', 1],
  ])('of %s', (text, end) => {
    expect(endOf(text)).toBe(end);
    expect(endOf(text, 1)).toBe(end);
  });

  test.each(['', ' \n\t\r'])('is not in %j', (text) => {
    expect(endOf(text)).toBeUndefined();
  });
});

describe('refusals in the words of encoding/json', () => {
  test.each([
    ['x', "invalid character 'x' looking for beginning of value"],
    ["'", String.raw`invalid character '\'' looking for beginning of value`],
    ['{,', "invalid character ',' looking for beginning of object key string"],
    ['{"a":1,}', "invalid character '}' looking for beginning of object key string"],
    ['{"a" 1', "invalid character '1' after object key"],
    ['{"a":1 "', `invalid character '"' after object key:value pair`],
    ['[1 2', "invalid character '2' after array element"],
    ['[1}', "invalid character '}' after array element"],
    ['[,', "invalid character ',' looking for beginning of value"],
    ['[1,]', "invalid character ']' looking for beginning of value"],
    ['"\n', String.raw`invalid character '\n' in string literal`],
    ['"\u0001', String.raw`invalid character '\x01' in string literal`],
    [String.raw`"\x`, "invalid character 'x' in string escape code"],
    [String.raw`"\u00g`, String.raw`invalid character 'g' in \u hexadecimal character escape`],
    ['tru ', "invalid character ' ' in literal true (expecting 'e')"],
    ['-a', "invalid character 'a' in numeric literal"],
    ['1.e', "invalid character 'e' after decimal point in numeric literal"],
    ['1ex', "invalid character 'x' in exponent of numeric literal"],
    ['1e+-', "invalid character '-' in exponent of numeric literal"],
    ['{"a":', 'unexpected EOF'],
    ['"a', 'unexpected EOF'],
    ['-', 'unexpected EOF'],
    ['1.', 'unexpected EOF'],
    ['[1', 'unexpected EOF'],
    ['é', "invalid character 'Ã' looking for beginning of value"],
    ['['.repeat(10_001), 'exceeded max depth'],
  ])('%s', (text, words) => {
    expect(refusal(text)).toBe(words);
  });
});

test('the grammar is that of JSON.parse', () => {
  const noise = fc.string({
    unit: fc.constantFrom(...Array.from('{}[]",:0123.eE+-\\utrfalsn \n')),
  });
  const damaged = fc
    .tuple(fc.json(), fc.nat(200), fc.constantFrom(...Array.from('{}[]",:01.e-\\ ')))
    .map(([json, at, by]) => json.slice(0, at) + by + json.slice(at + 1));
  fc.assert(
    fc.property(
      fc.oneof(noise, damaged, fc.json()),
      fc.integer({ min: 1, max: 9 }),
      (text, size) => {
        let isJson = true;
        try {
          JSON.parse(text);
        } catch {
          isJson = false;
        }
        let end: number | undefined;
        try {
          end = endOf(text, size);
        } catch (error) {
          if (!(error instanceof JsonSyntaxError)) throw error;
        }
        const bytes = Buffer.from(text);
        const isWhole =
          end !== undefined && bytes.subarray(end).toString().trim() === '' && end <= bytes.length;
        expect(isWhole).toBe(isJson);
      },
    ),
    { numRuns: 3000 },
  );
});
